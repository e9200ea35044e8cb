"""Of allauth's addresses only those that Sparkle uses: signing in and out, and the second factor."""

from allauth.account import views as account
from django.urls import include, path

urlpatterns = [
    path("login/", account.login, name="account_login"),
    path("logout/", account.logout, name="account_logout"),
    path("inactive/", account.account_inactive, name="account_inactive"),
    path("reauthenticate/", account.reauthenticate, name="account_reauthenticate"),
    path("", include("allauth.socialaccount.urls")),
    path("2fa/", include("allauth.mfa.urls")),
    path("", include("sparkle_site.accounts.discord.urls")),
]
