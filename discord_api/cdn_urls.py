"""Images on Discord's CDN: whether a URL is Discord's, and which files can be source images."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

TYPES = frozenset({"image/png", "image/jpeg", "image/webp"})
_BY_ENDING = {".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp"}
# Discord nests components two levels deep.
_MAX_DEPTH = 5
MAX_BYTES = 10 * 1024 * 1024
MAX_URL = 2000


def is_discord_url(url: str, *, hosts: Collection[str], insecure: bool = False) -> bool:
    """Return whether `url` is an https URL of one of `hosts`. `insecure` allows http and any port, for development."""
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


def media_type(media: Mapping[str, Any]) -> str:
    """Return a file's media type without parameters; guessed from the extension if Discord names none, else ""."""
    named = media.get("content_type")
    kind = named.partition(";")[0].strip().lower() if isinstance(named, str) else ""
    if kind and kind != "application/octet-stream":
        return "image/jpeg" if kind == "image/jpg" else kind
    for name in (media.get("filename"), media.get("url"), media.get("proxy_url")):
        ending = PurePosixPath(name.partition("?")[0]).suffix.lower() if isinstance(name, str) else ""
        if ending in _BY_ENDING:
            return _BY_ENDING[ending]
    return kind


def images_of(message: Mapping[str, Any]) -> Iterator[str]:
    """Yield the URLs of the images in a message and in the message that it forwards.

    They are in attachments, embeds and components: Discord does not list an attachment that an embed or a component
    shows.
    """
    snapshots = (_mapping(item.get("message")) for item in _mappings(message.get("message_snapshots")))
    for part in (message, *snapshots):
        media = [
            *_mappings(part.get("attachments")),
            *(_mapping(embed.get(key)) for embed in _mappings(part.get("embeds")) for key in ("image", "thumbnail")),
            *_media_of(_mappings(part.get("components"))),
        ]
        for item in media:
            if media_type(item) in TYPES:
                yield from (url for key in ("url", "proxy_url") if isinstance(url := item.get(key), str))


def _media_of(components: list[Mapping[str, Any]], depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Yield the media of galleries, files and thumbnails, also in containers (docs: components/reference)."""
    if depth > _MAX_DEPTH:
        return
    for component in components:
        yield _mapping(component.get("media"))
        yield _mapping(component.get("file"))
        yield from (_mapping(item.get("media")) for item in _mappings(component.get("items")))
        yield from _media_of([_mapping(component.get("accessory")), *_mappings(component.get("components"))], depth + 1)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
