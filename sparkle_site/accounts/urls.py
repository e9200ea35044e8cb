"""The URLs of allauth that Sparkle uses: signing in and out, and the second factor; and operators' first password."""

from allauth.account import views as account
from allauth.socialaccount import views as social
from django.urls import include, path

from . import set_password

urlpatterns = [
    path("login/", account.login, name="account_login"),
    path("logout/", account.logout, name="account_logout"),
    path("inactive/", account.account_inactive, name="account_inactive"),
    path("reauthenticate/", account.reauthenticate, name="account_reauthenticate"),
    path("discord/cancelled/", social.login_cancelled, name="socialaccount_login_cancelled"),
    path("discord/error/", social.login_error, name="socialaccount_login_error"),
    path("discord/signup/", social.signup, name="socialaccount_signup"),
    path("set-password/<uidb64>/<token>/", set_password.SetPasswordView.as_view(), name="set_password"),
    path("2fa/", include("allauth.mfa.urls")),
    path("", include("sparkle_site.accounts.discord.urls")),
]
