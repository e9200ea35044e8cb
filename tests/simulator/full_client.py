"""The application's client with the endpoints that the simulator serves and Sparkle does not use."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from discord_api.client import DiscordClient
from discord_api.payloads import Message


class FullClient(DiscordClient):
    """DiscordClient with follow-ups, and with the deletion of the original response."""

    def followup(self, token: str, message: Message) -> dict[str, Any]:
        """Create a follow-up message; return it."""
        route = replace(self._webhook("POST", token, "?wait=true"), idempotent=False)
        return self._message(route, message, edit=False)

    def delete_original(self, token: str) -> None:
        """Delete the original response of an interaction."""
        self._send(self._webhook("DELETE", token, "/messages/@original"))
