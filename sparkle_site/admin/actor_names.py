"""Names of those who acted, as the viewer may see them. Moderators never see an operator's name or IP address."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q

from .access import Access

OPERATORS = "Sparkle operators"


def display_name(viewer: Access, user: User | None, address: str) -> tuple[str, str]:
    """Return the name and the IP address of the user who acted, empty for the system."""
    if viewer.sees_all_guilds:
        return (user.get_full_name() or user.get_username()) if user else "", address
    if user is None:
        # The system, or a deleted account, whose address may be an operator's.
        return "", ""
    if _is_operator(user):
        return OPERATORS, ""
    return user.get_full_name() or user.get_username(), address


def display_stored_name(viewer: Access, stored: Any) -> str:
    """Return a stored name for display: a username, a Discord id, or a name of the system such as "member".

    A name that may be an operator's username is shown only to operators.
    """
    name = str(stored or "")
    if viewer.sees_all_guilds or not name:
        return name
    snowflake = name.removeprefix("discord-")
    if not (snowflake.isascii() and snowflake.isdigit()):
        return name if name in _SYSTEM_NAMES else OPERATORS
    account = Q(username=f"discord-{snowflake}") | Q(socialaccount__provider="discord", socialaccount__uid=snowflake)
    is_operator = User.objects.filter(account & (Q(is_superuser=True) | Q(is_staff=True))).exists()
    return OPERATORS if is_operator else name


_SYSTEM_NAMES = frozenset({"member", "system", "upkeep", "retention"})


def _is_operator(user: User) -> bool:
    # Moderators sign in with Discord. Accounts created in the admin belong to operators.
    return user.is_superuser or user.is_staff or not user.username.startswith("discord-")
