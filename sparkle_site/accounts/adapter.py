"""allauth's hooks: no sign-up with a password, and each Discord sign-in updates which servers the user manages."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.internal import ratelimit
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.utils import timezone

from . import guild_permissions
from .discord.http_session import DiscordSession


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        return client_address(request)

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        # By account and address: failures from one address must not lock the owner out at another.
        return f"{super()._get_login_attempts_cache_key(request, **credentials)}:{ratelimit.get_ip(request)}"

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Sparkle sends no mail."""

    def send_notification_mail(self, *args: Any, **kwargs: Any) -> None:
        """Sparkle sends no mail."""


class DiscordAccountAdapter(DefaultSocialAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return True

    def can_authenticate_by_email(self, login: Any, email: str) -> bool:
        return False

    def populate_user(self, request: HttpRequest, sociallogin: Any, data: dict[str, Any]) -> User:
        user: User = sociallogin.user
        user.username = f"discord-{sociallogin.account.uid}"
        user.first_name = (sociallogin.account.extra_data.get("global_name") or data.get("username") or "")[:150]
        return user

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        guild_permissions.sync(
            int(sociallogin.account.uid), getattr(sociallogin, "discord_servers", ()), now=timezone.now()
        )

    def get_requests_session(self) -> Any:
        return DiscordSession()


def client_address(request: HttpRequest) -> str:
    """Return the client's IP address: the last one in X-Forwarded-For, which our own proxy writes."""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "")
    return (forwarded.split(",")[-1].strip() if forwarded else "") or request.META.get("REMOTE_ADDR", "")
