"""Discord's OAuth2 server, for signing in to the site: the consent page, the token, and what a token may read.

https://discord.com/developers/docs/topics/oauth2: authorization code grant, with PKCE (RFC 7636, S256). The
user of the page chooses a member; the choice is stored, so that `prompt=none` does not ask again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from . import errors_and_rate_limits, store
from .models import SimGrant, SimMember, SimUser
from .rest_api import Call, Result

CODE_LIFE = timedelta(minutes=1)
TOKEN_LIFE = timedelta(days=7)
KNOWN_SCOPES = {
    "identify": "see your username, avatar and banner",
    "guilds": "know which servers you are in",
    "email": "see your e-mail address",
}
REMEMBERED = "simulator_signed_in"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@require_http_methods(["GET", "POST"])
def authorize(request: HttpRequest) -> HttpResponse:
    """Let the browser's user choose a member, and redirect back with a code."""
    wrong = _wrong_request(request)
    if wrong:
        return _page(request, {"wrong": wrong}, status=400)
    asked = request.GET
    if request.method == "POST":
        if request.POST.get("answer") == "cancel":
            return _back(asked, error="access_denied", error_description="The resource owner denied the request")
        user = get_object_or_404(SimUser, pk=request.POST["answer"], bot=False)
        return _granted(asked, user)
    remembered = SimUser.objects.filter(pk=request.COOKIES.get(REMEMBERED, "0"), bot=False).first()
    if asked.get("prompt") == "none" and remembered:
        return _granted(asked, remembered)
    members = SimMember.objects.select_related("user", "guild")
    places: dict[int, list[str]] = {}
    for member in members:
        owner = " (owner)" if member.guild.owner_id == member.user_id else ""
        places.setdefault(member.user_id, []).append(f"{member.guild.name}{owner}")
    people = [
        {"user": user, "places": ", ".join(places.get(user.pk, [])), "remembered": user == remembered}
        for user in SimUser.objects.filter(bot=False)
    ]
    scopes = [KNOWN_SCOPES[scope] for scope in asked["scope"].split()]
    return _page(request, {"people": people, "scopes": scopes, "application": store.bot().global_name})


def _page(request: HttpRequest, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    response = render(request, "simulator/authorize.html", context, status=status)
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response


def _wrong_request(request: HttpRequest) -> str:
    """Return the error that Discord shows on its own page because it cannot redirect, or ""."""
    asked = request.GET
    if asked.get("client_id") != str(settings.DISCORD_APPLICATION_ID):
        return "Unknown application."
    if not _registered(request, asked.get("redirect_uri", "")):
        return "Invalid OAuth2 redirect_uri."
    if asked.get("response_type") != "code":
        return "The simulator supports only the authorization code grant."
    if set(asked.get("scope", "").split()) - set(KNOWN_SCOPES) or not asked.get("scope"):
        return "Invalid scope."
    if asked.get("code_challenge") and asked.get("code_challenge_method") != "S256":
        return "Only S256 is accepted as code_challenge_method."
    return ""


def _registered(request: HttpRequest, redirect_uri: str) -> bool:
    """Return whether it is the site's own callback, under the host name that the browser uses."""
    parts = urlsplit(redirect_uri)
    return parts.netloc == request.get_host() and parts.path == reverse("discord_callback") and not parts.fragment


def _granted(asked: Any, user: SimUser) -> HttpResponse:
    grant = SimGrant.objects.create(
        code=secrets.token_urlsafe(24),
        user=user,
        redirect_uri=asked["redirect_uri"],
        scope=asked["scope"],
        challenge=asked.get("code_challenge", ""),
        created_at=timezone.now(),
    )
    response = _back(asked, code=grant.code)
    response.set_cookie(REMEMBERED, str(user.pk), httponly=True, samesite="Lax", path=reverse("simulator:authorize"))
    return response


def _back(asked: Any, **answer: str) -> HttpResponse:
    if asked.get("state"):
        answer["state"] = asked["state"]
    return HttpResponseRedirect(f"{asked['redirect_uri']}?{urlencode(answer)}")


@csrf_exempt
@require_POST
def token(request: HttpRequest) -> HttpResponse:
    """Exchange a code, or a refresh token, for an access token; each of them once."""
    if not _is_client(request):
        return JsonResponse({"error": "invalid_client"}, status=401)
    exchange = {"authorization_code": _exchange_code, "refresh_token": _refresh}.get(request.POST.get("grant_type", ""))
    if exchange is None:
        return JsonResponse({"error": "unsupported_grant_type"}, status=400)
    return exchange(request)


def _exchange_code(request: HttpRequest) -> HttpResponse:
    """Within a minute, from the same address, with the verifier."""
    grant = SimGrant.objects.filter(code=_posted(request, "code"), access_token="").first()
    if (
        grant is None
        or timezone.now() - grant.created_at > CODE_LIFE
        or grant.redirect_uri != request.POST.get("redirect_uri")
        or not _verified(grant.challenge, request.POST.get("code_verifier", ""))
    ):
        return _invalid_grant('Invalid "code" in request.')
    return _issue(grant)


def _refresh(request: HttpRequest) -> HttpResponse:
    refresh_token = _posted(request, "refresh_token")
    grant = SimGrant.objects.filter(refresh_token=refresh_token).exclude(refresh_token="").first()
    return _issue(grant) if grant else _invalid_grant('Invalid "refresh_token" in request.')


def _issue(grant: SimGrant) -> HttpResponse:
    """Replace the grant's tokens by new ones. Of two exchanges of one code or token only one succeeds."""
    fresh = {"access_token": secrets.token_urlsafe(24), "refresh_token": secrets.token_urlsafe(24)}
    same = SimGrant.objects.filter(pk=grant.pk, access_token=grant.access_token, refresh_token=grant.refresh_token)
    if not same.update(**fresh, issued_at=timezone.now()):
        return _invalid_grant("Used already.")
    return JsonResponse(
        {
            "token_type": "Bearer",
            **fresh,
            "expires_in": int(TOKEN_LIFE.total_seconds()),
            "scope": grant.scope,
        }
    )


@csrf_exempt
@require_POST
def revoke(request: HttpRequest) -> HttpResponse:
    """Revoke a grant by its access token or its refresh token; an unknown token is no error (RFC 7009)."""
    if not _is_client(request):
        return JsonResponse({"error": "invalid_client"}, status=401)
    ended = _posted(request, "token")
    if ended:
        SimGrant.objects.filter(Q(access_token=ended) | Q(refresh_token=ended)).delete()
    return JsonResponse({})


def _is_client(request: HttpRequest) -> bool:
    client_id, secret = _client(request)
    return client_id == str(settings.DISCORD_APPLICATION_ID) and constant_time_compare(
        secret, settings.DISCORD_CLIENT_SECRET
    )


def _posted(request: HttpRequest, name: str) -> str:
    """A field of the form; PostgreSQL knows no NUL."""
    return request.POST.get(name, "").replace("\0", "")


def _invalid_grant(description: str) -> HttpResponse:
    return JsonResponse({"error": "invalid_grant", "error_description": description}, status=400)


def _client(request: HttpRequest) -> tuple[str, str]:
    """The client's id and secret, from the Authorization header or else from the form."""
    kind, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if kind == "Basic":
        try:
            client_id, _, secret = base64.b64decode(encoded).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return client_id, secret
    return request.POST.get("client_id", ""), request.POST.get("client_secret", "")


def _verified(challenge: str, verifier: str) -> bool:
    if not challenge:
        return True
    digest = hashlib.sha256(verifier.encode()).digest()
    return constant_time_compare(base64.urlsafe_b64encode(digest).rstrip(b"=").decode(), challenge)


# What a user's token may read.


def _grant(call: Call, scope: str) -> SimGrant | errors_and_rate_limits.Refused:
    bearer = call.request.headers.get("Authorization", "").removeprefix("Bearer ")
    grant = (
        SimGrant.objects.select_related("user")
        .filter(access_token=bearer.replace("\0", ""))
        .exclude(access_token="")
        .first()
    )
    if grant is None or grant.issued_at is None or call.now - grant.issued_at > TOKEN_LIFE:
        return errors_and_rate_limits.UNAUTHORIZED
    return grant if scope in grant.scope.split() else errors_and_rate_limits.MISSING_ACCESS


def me(call: Call) -> Result:
    grant = _grant(call, "identify")
    if isinstance(grant, errors_and_rate_limits.Refused):
        return grant
    return 200, store.user_json(grant.user) | {"locale": grant.user.locale, "mfa_enabled": False, "premium_type": 0}


def my_guilds(call: Call) -> Result:
    """The servers that the user is in, with their rights there, whether the bot is in them or not."""
    grant = _grant(call, "guilds")
    if isinstance(grant, errors_and_rate_limits.Refused):
        return grant
    found = SimMember.objects.filter(user=grant.user).select_related("guild").order_by("guild_id")
    return 200, [
        {
            "id": str(member.guild_id),
            "name": member.guild.name,
            "icon": None,
            "banner": None,
            "owner": member.guild.owner_id == member.user_id,
            "permissions": str(member.permissions),
            "features": [],
        }
        for member in found
    ]
