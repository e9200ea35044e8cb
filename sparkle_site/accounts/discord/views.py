"""The OAuth2 views: the redirect to Discord and the callback."""

from __future__ import annotations

import logging
from typing import Any

import requests
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.providers.base import ProviderException
from allauth.socialaccount.providers.discord.views import DiscordOAuth2Adapter
from allauth.socialaccount.providers.oauth2.client import OAuth2Client
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from django.conf import settings
from django.http import HttpRequest

from . import responses

logger = logging.getLogger(__name__)
PAGE = 200


class DiscordClient(OAuth2Client):
    """Exchanges the code for a token and parses the response strictly."""

    def get_access_token(self, code: str, pkce_code_verifier: str | None = None, extra_data: Any = None) -> Any:
        """Raises: ProviderException if the response is an error or invalid."""
        data = {
            "client_id": self.consumer_key,
            "client_secret": self.consumer_secret,
            "redirect_uri": self.callback_url,
            "grant_type": "authorization_code",
            "code": code,
            **({"code_verifier": pkce_code_verifier} if pkce_code_verifier else {}),
        }
        with get_adapter().get_requests_session() as session:
            return _read("token", responses.token, lambda: session.post(self.access_token_url, data=data))


class DiscordAdapter(DiscordOAuth2Adapter):
    """Fetches the user and the list of their servers. https://discord.com/developers/docs/topics/oauth2"""

    client_class = DiscordClient

    @property
    def authorize_url(self) -> str:  # type: ignore[override]
        return f"{settings.DISCORD_OAUTH_BASE}/authorize"

    @property
    def access_token_url(self) -> str:  # type: ignore[override]
        return f"{settings.DISCORD_API_BASE.rsplit('/v', 1)[0]}/oauth2/token"

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **kwargs: Any) -> Any:
        """Raises: ProviderException if the response is an error or invalid."""
        base = f"{settings.DISCORD_API_BASE}/users/@me"
        with get_adapter().get_requests_session() as session:
            session.headers["Authorization"] = f"Bearer {token.token}"
            user = _read("user", responses.user, lambda: session.get(base))
            servers = _read("guilds", responses.servers, lambda: session.get(f"{base}/guilds?limit={PAGE}"))
        login = self.get_provider().sociallogin_from_response(request, user)
        # Read by sparkle_site.accounts.adapter after a successful login, never stored.
        login.discord_servers = servers
        return login


def _read(what: str, parse: Any, send: Any) -> Any:
    """Send a request to Discord and return the parsed response. Raises: ProviderException, which allauth shows."""
    try:
        response = send()
        if response.status_code != 200:
            logger.warning("sign_in_refused", extra={"request": what, "status": response.status_code})
            raise ProviderException(f"Discord answered {response.status_code} to {what}")
        return parse(responses.parse(response.content))
    except responses.InvalidResponse as error:
        logger.warning("sign_in_response_invalid", extra={"request": what, "part": error.what})
        raise ProviderException(f"Discord's response to {what} is invalid") from error
    except (requests.RequestException, OSError, ValueError) as error:
        logger.warning("sign_in_unanswered", extra={"request": what, "error": type(error).__name__})
        raise ProviderException(f"Discord did not answer to {what}") from error


oauth2_login = OAuth2LoginView.adapter_view(DiscordAdapter)
oauth2_callback = OAuth2CallbackView.adapter_view(DiscordAdapter)
