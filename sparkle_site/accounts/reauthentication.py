"""Ask Discord again, before rights lapse, without the moderator noticing."""

from __future__ import annotations

from datetime import timedelta

from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialAccount
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from guilds.models import Staff

# Well before Staff.FRESH_FOR, so that a form opened now can still be sent.
DUE_AFTER = timedelta(minutes=8)
# Between two rounds for one session: someone who manages nothing is not sent round and round.
NOT_AGAIN_FOR = timedelta(minutes=1)
_ASKED = "discord_asked_at"


def reauthenticate_if_due(request: HttpRequest) -> HttpResponse | None:
    """A redirect through Discord for a moderator whose rights are growing old, else None.

    Only for whole pages: a form that is sent, or a part that is fetched, is answered by what is known.
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
    if (newest.first() or account.last_login) > now - DUE_AFTER:
        return None
    asked = request.session.get(_ASKED, 0)
    if now.timestamp() - asked < NOT_AGAIN_FOR.total_seconds():
        return None
    request.session[_ASKED] = now.timestamp()
    provider = get_adapter().get_provider(request, "discord")
    return provider.redirect(  # type: ignore[no-any-return]
        request, process="login", next_url=request.get_full_path(), auth_params={"prompt": "none"}
    )
