"""Selects of channels and roles in a message. Discord shows them by their names.

https://discord.com/developers/docs/components/reference
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from .payloads import truncate

MAX_CHOSEN = 25


def role_select(custom_id: str, chosen: Collection[int], *, placeholder: str) -> dict[str, Any]:
    """Return a select of any number of roles. It is disabled if more are chosen than it can hold."""
    return _id_select(6, "role", custom_id, chosen, most=MAX_CHOSEN, placeholder=placeholder)


def channel_select(
    custom_id: str, chosen: Collection[int], *, kinds: Collection[int], most: int = MAX_CHOSEN, placeholder: str
) -> dict[str, Any]:
    """Return a select of up to `most` channels of the kinds. It is disabled if more are chosen than it can hold."""
    select = _id_select(8, "channel", custom_id, chosen, most=most, placeholder=placeholder)
    return select | {"channel_types": sorted(kinds)}


def _id_select(
    kind: int, what: str, custom_id: str, chosen: Collection[int], *, most: int, placeholder: str
) -> dict[str, Any]:
    fits = len(chosen) <= most
    return {
        "type": kind,
        "custom_id": custom_id,
        "placeholder": truncate(placeholder, 150),
        "min_values": 0,
        "max_values": most,
        "default_values": [{"id": str(each), "type": what} for each in chosen] if fits else [],
        "disabled": not fits,
    }
