"""Pictures on Discord's CDN: which addresses are its own, and which files can be a start."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

TYPES = frozenset({"image/png", "image/jpeg", "image/webp"})
_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")
MAX_BYTES = 10 * 1024 * 1024
MAX_URL = 2000


def is_discords(url: str, *, hosts: Collection[str], insecure: bool = False) -> bool:
    """Return whether `url` is of one of `hosts`, by https (`insecure` allows http and any port, for development)."""
    if len(url) > MAX_URL or not url.isascii() or any(char <= " " or char in "\\\x7f" for char in url):
        return False
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    if parts.username is not None or parts.password is not None or host not in hosts:
        return False
    return parts.scheme in ("http", "https") if insecure else parts.scheme == "https" and port in (None, 443)


def media_type(attachment: Mapping[str, Any]) -> str:
    """Return an attachment's media type without its parameters, "" where Discord names none."""
    named = attachment.get("content_type")
    return named.partition(";")[0].strip().lower() if isinstance(named, str) else ""


def pictures_of(message: Mapping[str, Any]) -> Iterator[str]:
    """Yield the addresses of a message's pictures: its attachments', then its embeds'.

    Discord takes an attachment that an embed shows out of the list of attachments.
    """
    for attachment in _mappings(message.get("attachments")):
        url = attachment.get("url")
        if isinstance(url, str) and media_type(attachment) in TYPES:
            yield url
    for embed in _mappings(message.get("embeds")):
        for part in ("image", "thumbnail"):
            picture = embed.get(part)
            for key in ("url", "proxy_url"):
                url = picture.get(key) if isinstance(picture, dict) else None
                if isinstance(url, str) and url.partition("?")[0].lower().endswith(_ENDINGS):
                    yield url


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
