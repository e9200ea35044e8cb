"""Renews a moderator's rights from Discord before they expire, without a prompt."""

from __future__ import annotations

from datetime import timedelta

from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialAccount
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from guilds.models import Staff

# Well before Staff.FRESH_FOR, so that a form opened now can still be submitted.
RENEW_AFTER = timedelta(minutes=8)
# The minimum time between two attempts, so that a user who manages no server is not redirected in a loop.
RETRY_AFTER = timedelta(minutes=1)
_LAST_ATTEMPT = "discord_asked_at"


def reauthenticate_if_due(request: HttpRequest) -> HttpResponse | None:
    """Return a redirect to Discord if a moderator's rights are due for renewal, else None.

    Only page loads are redirected. Form submissions and htmx requests use the rights in the database.
    """
    user = request.user
    if request.method != "GET" or user.is_superuser or user.is_staff or "HTTP_HX_REQUEST" in request.META:
        return None
    if request.headers.get("Sec-Fetch-Mode", "navigate") != "navigate":
        return None
    account = SocialAccount.objects.filter(user=user, provider="discord").first()
    if account is None:
        return None
    now = timezone.now()
    newest = Staff.objects.filter(user_id=int(account.uid)).order_by("-synced_at").values_list("synced_at", flat=True)
    if (newest.first() or account.last_login) > now - RENEW_AFTER:
        return None
    last_attempt = request.session.get(_LAST_ATTEMPT, 0)
    if now.timestamp() - last_attempt < RETRY_AFTER.total_seconds():
        return None
    request.session[_LAST_ATTEMPT] = now.timestamp()
    provider = get_adapter().get_provider(request, "discord")
    return provider.redirect(  # type: ignore[no-any-return]
        request, process="login", next_url=request.get_full_path(), auth_params={"prompt": "none"}
    )
