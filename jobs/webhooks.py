"""Webhooks of the HTTP API: where they may go, their signature, when they are tried again.

An address comes from a moderator, so a call must not reach our own network: https alone, public addresses alone, the
checked address is the one that is called, and no redirect is followed.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Callable, Sequence
from datetime import timedelta
from urllib.parse import urlsplit

import httpx
from django.core.exceptions import ValidationError

TIMEOUT_S = 5.0
# After the first call, which follows the end within a minute. Then the webhook is given up.
RETRY_AFTER = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=12),
)
Resolve = Callable[[str], Sequence[str]]


class WebhookFailed(Exception):
    """The webhook was not taken. `permanent`: trying again cannot help."""

    def __init__(self, reason: str, *, permanent: bool = False) -> None:
        super().__init__(reason)
        self.permanent = permanent


def wrong_url(url: str, *, insecure: bool = False) -> str | None:
    """Return what is wrong with a webhook's address, as a sentence, or None. `insecure` allows http. Pure."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "This is not an address. Write it like https://example.com/sparkle."
    if not url.isascii() or any(char <= " " or char in "\\\x7f" for char in url) or not host:
        return "This is not an address. Write it like https://example.com/sparkle."
    if insecure and parts.scheme == "http":
        return None
    if parts.scheme != "https" or port not in (None, 443):
        return "The address must begin with https:// and use port 443."
    if parts.username is not None or parts.password is not None:
        return "Leave name and password out of the address: every call is signed instead."
    return None


def validate_url(url: str) -> None:
    """Raise ValidationError for an address that webhooks cannot use."""
    from django.conf import settings

    if wrong := wrong_url(url, insecure=settings.WEBHOOKS_INSECURE):
        raise ValidationError(wrong)


def is_public(address: str) -> bool:
    """Return whether an IP address is on the public internet. Pure."""
    parsed = ipaddress.ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None) or getattr(parsed, "sixtofour", None)
    return parsed.is_global and not parsed.is_multicast and (mapped is None or mapped.is_global)


def signature(body: bytes, *, digest: str, timestamp: int) -> str:
    """Return the header that proves the sender: HMAC-SHA256 of "timestamp.body" under the key's SHA-256. Pure."""
    signed = hmac.new(digest.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={signed}"


def resolve(host: str) -> list[str]:
    """Return the host's IP addresses. Raises WebhookFailed."""
    try:
        return list(dict.fromkeys(str(entry[4][0]) for entry in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)))
    except OSError as error:
        raise WebhookFailed("the host has no address") from error


def post(
    url: str,
    body: bytes,
    headers: dict[str, str],
    *,
    insecure: bool = False,
    resolve: Resolve = resolve,
    transport: httpx.BaseTransport | None = None,
) -> None:
    """Send `body` to the webhook. Raises WebhookFailed unless it answers 2xx within TIMEOUT_S.

    1. Check the address, resolve its host, and check every IP address that it has.
    2. Connect to the checked IP address itself: a second look-up could give another one. TLS checks the host's name.
    3. Follow no redirect and read no body.
    """
    if wrong := wrong_url(url, insecure=insecure):
        raise WebhookFailed(wrong, permanent=True)
    parts = httpx.URL(url)
    addresses = resolve(parts.host)
    if not addresses or not (insecure or all(map(is_public, addresses))):
        raise WebhookFailed("the host has an address that is not public", permanent=True)
    try:
        with (
            # trust_env off: a proxy of the environment would resolve the host again.
            httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False, transport=transport) as http,
            http.stream(
                "POST",
                parts.copy_with(host=addresses[0]),
                content=body,
                headers={"Host": parts.netloc.decode(), "Content-Type": "application/json", **headers},
                extensions={"sni_hostname": parts.host},
            ) as response,
        ):
            status = response.status_code
    except httpx.HTTPError as error:
        raise WebhookFailed(type(error).__name__) from error
    if status == 410:
        raise WebhookFailed("answered 410", permanent=True)
    if not 200 <= status < 300:
        raise WebhookFailed(f"answered {status}")
