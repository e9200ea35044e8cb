"""Tells a message of an open request from one that shows its end, by the message's buttons."""

from __future__ import annotations

from typing import Any

from discord_api import custom_id


def is_open(components: list[dict[str, Any]]) -> bool:
    """Return whether a message's buttons are those of a request that has not ended, in whatever language."""
    actions = [custom_id.parse(each.get("custom_id", "")) for row in components for each in row.get("components", [])]
    return any(action is not None and action.name == "cancel" for action in actions)
