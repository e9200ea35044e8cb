"""Discord's permission bits, as far as they matter here. Pure."""

from collections.abc import Iterable

ADMINISTRATOR = 1 << 3
MANAGE_GUILD = 1 << 5
VIEW_CHANNEL = 1 << 10
SEND_MESSAGES = 1 << 11
MANAGE_MESSAGES = 1 << 13
EMBED_LINKS = 1 << 14
ATTACH_FILES = 1 << 15
READ_MESSAGE_HISTORY = 1 << 16
MENTION_EVERYONE = 1 << 17
USE_APPLICATION_COMMANDS = 1 << 31
MODERATE_MEMBERS = 1 << 40

ALL = (1 << 53) - 1
MEMBER = VIEW_CHANNEL | SEND_MESSAGES | EMBED_LINKS | ATTACH_FILES | READ_MESSAGE_HISTORY | USE_APPLICATION_COMMANDS
BOT = MEMBER


def of_member(*, owner: bool, roles: Iterable[int]) -> int:
    """Return what a member may: everything for the owner and administrators, else the union of the roles' bits."""
    if owner:
        return ALL
    bits = 0
    for role in roles:
        bits |= role
    return ALL if bits & ADMINISTRATOR else bits


def may(bits: int, needed: int) -> bool:
    """Return whether `bits` hold all of `needed`; administrators hold everything."""
    return bool(bits & ADMINISTRATOR) or bits & needed == needed
