"""Names of those who acted, as the viewer may see them. Moderators never see an operator's name or IP address."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q

from discord_api import snowflakes

from . import member_names
from .access import Access

OPERATORS = "Sparkle operators"
MODERATOR = "A moderator"
PREFIX = "discord-"


def name_of(user: User) -> str:
    """Return the name of an account. The user name of a Discord account is its id, which says nothing to a reader."""
    name = str(user.get_full_name() or user.get_username())
    return MODERATOR if name.startswith(PREFIX) else name


def of_account(user_id: int) -> str:
    """Return the name of a Discord user who has signed in here, else ""."""
    account = User.objects.filter(username=f"{PREFIX}{user_id}").first()
    return account.get_full_name() if account else ""


def display_name(viewer: Access, user: User | None, address: str) -> tuple[str, str]:
    """Return the name and the IP address of the user who acted, empty for the system."""
    if viewer.sees_all_guilds:
        return name_of(user) if user else "", address
    if user is None:
        # The system, or a deleted account, whose address may be an operator's.
        return "", ""
    if _is_operator(user):
        return OPERATORS, ""
    return name_of(user), address


def display_stored_name(viewer: Access, stored: Any) -> str:
    """Return a stored name for display: a username, a Discord id, or a name of the system such as "member".

    A name that may be an operator's username is shown only to operators.
    """
    name = str(stored or "")
    snowflake = name.removeprefix(PREFIX)
    if not (snowflake.isascii() and snowflake.isdigit()):
        return name if viewer.sees_all_guilds or not name or name in _SYSTEM_NAMES else OPERATORS
    if not viewer.sees_all_guilds:
        account = Q(username=f"{PREFIX}{snowflake}") | Q(
            socialaccount__provider="discord", socialaccount__uid=snowflake
        )
        if User.objects.filter(account & (Q(is_superuser=True) | Q(is_staff=True))).exists():
            return OPERATORS
    known = snowflakes.parse(snowflake) or 0
    signed_in = name.startswith(PREFIX)
    found = member_names.in_guilds([known], viewer.guild_ids).get(known) or (of_account(known) if signed_in else "")
    return found or (MODERATOR if signed_in else member_names.UNKNOWN)


_SYSTEM_NAMES = frozenset({"member", "system", "upkeep", "retention"})


def _is_operator(user: User) -> bool:
    # Moderators sign in with Discord. Accounts created in the admin belong to operators.
    return user.is_superuser or user.is_staff or not user.username.startswith(PREFIX)
