"""Operators and observers see every server: a password or a Discord account alone does not open that."""

from __future__ import annotations

from allauth.mfa.utils import is_mfa_enabled
from django.http import HttpRequest


def missing(request: HttpRequest) -> bool:
    """Whether the user needs a second factor and has none."""
    user = request.user
    return (user.is_superuser or user.is_staff) and not is_mfa_enabled(user)
