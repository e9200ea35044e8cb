"""The application's client with the endpoints that the simulator serves and Sparkle does not use."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from discord_api.client import DiscordClient, _Route
from discord_api.payloads import Message


class FullClient(DiscordClient):
    """DiscordClient with follow-ups, and with the deletion and editing of messages."""

    def followup(self, token: str, message: Message) -> dict[str, Any]:
        """Create a follow-up message; return it."""
        route = replace(self._webhook("POST", token, "?wait=true"), idempotent=False)
        return self._message(route, message, edit=False)

    def delete_original(self, token: str) -> None:
        """Delete the original response of an interaction."""
        self._send(self._webhook("DELETE", token, "/messages/@original"))

    def edit_message(self, channel_id: int, message_id: int, message: Message) -> dict[str, Any]:
        """Edit a message of the bot; return it."""
        path = f"/channels/{channel_id:d}/messages/{message_id:d}"
        return self._message(_Route("PATCH", path, f"PATCH channel {channel_id:d}"), message, edit=True)
