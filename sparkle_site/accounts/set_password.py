"""The page behind an operator's one-time link. The link ends with its use, a sign-in or PASSWORD_RESET_TIMEOUT."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.contrib.auth.views import PasswordResetConfirmView
from django.http import HttpResponse
from django.urls import reverse, reverse_lazy
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode


class SetPasswordView(PasswordResetConfirmView):
    template_name = "account/set_password.html"
    success_url = reverse_lazy("account_login")

    def form_valid(self, form: Any) -> HttpResponse:
        response = super().form_valid(form)
        messages.success(self.request, "Your password is set. Sign in with it.")
        return response


def path_for(user: User) -> str:
    """Return the path of a link that sets this user's password; it works for anyone who has it."""
    name = urlsafe_base64_encode(force_bytes(user.pk))
    return reverse("set_password", args=[name, default_token_generator.make_token(user)])
