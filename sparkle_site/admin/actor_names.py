"""Who acted, as a viewer may know it: a server's moderators learn no operator's name and no operator's address."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q

from .access import Access

OPERATORS = "Sparkle operators"


def display_name(viewer: Access, user: User | None, address: str) -> tuple[str, str]:
    """Return the name and the address of the user who acted; empty for the system itself."""
    if viewer.sees_all_guilds:
        return (user.get_full_name() or user.get_username()) if user else "", address
    if user is None:
        # The system, or an account that was deleted since: nobody knows whose the address was.
        return "", ""
    if _operates(user):
        return OPERATORS, ""
    return user.get_full_name() or user.get_username(), address


def display_stored_name(viewer: Access, written: Any) -> str:
    """Return a name as events and bans hold it: a username, a snowflake, or a word for the system ("member").

    What may be an operator's own username is shown to operators alone.
    """
    name = str(written or "")
    if viewer.sees_all_guilds or not name:
        return name
    snowflake = name.removeprefix("discord-")
    if not (snowflake.isascii() and snowflake.isdigit()):
        return name if name in _THE_SYSTEM else OPERATORS
    account = Q(username=f"discord-{snowflake}") | Q(socialaccount__provider="discord", socialaccount__uid=snowflake)
    operates = User.objects.filter(account & (Q(is_superuser=True) | Q(is_staff=True))).exists()
    return OPERATORS if operates else name


_THE_SYSTEM = frozenset({"member", "system", "upkeep", "retention"})


def _operates(user: User) -> bool:
    # Moderators come from Discord; every account that was made here by hand belongs to the operators.
    return user.is_superuser or user.is_staff or not user.username.startswith("discord-")
