"""The way to Discord and back."""

from __future__ import annotations

from typing import Any

import requests
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.providers.base import ProviderException
from allauth.socialaccount.providers.discord.views import DiscordOAuth2Adapter
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from django.conf import settings
from django.http import HttpRequest

TIMEOUT_S = 10
PAGE = 200


class DiscordAdapter(DiscordOAuth2Adapter):
    """Asks who the user is and which servers they are in. https://discord.com/developers/docs/topics/oauth2"""

    @property
    def authorize_url(self) -> str:  # type: ignore[override]
        return f"{settings.DISCORD_OAUTH_BASE}/authorize"

    @property
    def access_token_url(self) -> str:  # type: ignore[override]
        return f"{settings.DISCORD_API_BASE.rsplit('/v', 1)[0]}/oauth2/token"

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **kwargs: Any) -> Any:
        """Raises ProviderException when Discord does not answer as it should."""
        with get_adapter().get_requests_session() as session:
            session.headers["Authorization"] = f"Bearer {token.token}"
            user = self._get(session, "/users/@me")
            servers = self._get(session, f"/users/@me/guilds?limit={PAGE}")
        login = self.get_provider().sociallogin_from_response(request, user)
        # Read by sparkle_site.accounts.adapter when the login has succeeded; never stored.
        login.discord_guilds = servers
        return login

    @staticmethod
    def _get(session: requests.Session, path: str) -> Any:
        answer = session.get(f"{settings.DISCORD_API_BASE}{path}", timeout=TIMEOUT_S)
        if answer.status_code != 200:
            raise ProviderException(f"Discord answered {answer.status_code} to {path.split('?', maxsplit=1)[0]}")
        return answer.json()


oauth2_login = OAuth2LoginView.adapter_view(DiscordAdapter)
oauth2_callback = OAuth2CallbackView.adapter_view(DiscordAdapter)
