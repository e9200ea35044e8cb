"""Discord as an allauth provider, with URLs from the settings and the list of the user's servers."""

from __future__ import annotations

from typing import Any

from allauth.socialaccount.providers.discord.provider import DiscordProvider
from django.http import HttpRequest

from .views import DiscordAdapter


class Discord(DiscordProvider):
    oauth2_adapter_class = DiscordAdapter

    def get_default_scope(self) -> list[str]:
        return ["identify", "guilds"]

    def extract_extra_data(self, data: dict[str, Any]) -> dict[str, Any]:
        # Stores no email address and no list of servers.
        return {key: data.get(key) for key in ("id", "username", "global_name", "avatar")}

    def get_auth_params_from_request(self, request: HttpRequest, action: str) -> dict[str, Any]:
        # No query parameter is passed on to Discord.
        return dict(self.get_auth_params())

    def get_scope_from_request(self, request: HttpRequest) -> list[str]:
        return list(self.get_scope())


provider_classes = [Discord]
