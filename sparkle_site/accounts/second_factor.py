"""Operators and observers see every server: a password or a Discord account alone does not open that."""

from __future__ import annotations

from allauth.mfa.utils import is_mfa_enabled
from django.conf import settings
from django.contrib.auth.models import User


def missing(user: User) -> bool:
    """Whether the user is an operator or observer who must set up a second factor first.

    Until then the rights of an operator count nowhere on the site (sparkle_site.admin.scope).
    """
    if not (user.is_superuser or user.is_staff):
        return False
    return bool(settings.OPERATORS_NEED_2FA) and not is_mfa_enabled(user)
