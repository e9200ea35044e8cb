"""Pictures from outside, to start from: fetched from Discord's own hosts only, and never trusted."""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Collection
from urllib.parse import urlsplit

import httpx
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_BYTES = 25 * 1024 * 1024
MAX_PIXELS = 40_000_000
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
TIMEOUT_S = 10.0
TOTAL_S = 30.0


class BadPicture(Exception):
    """The picture cannot be used. `reason` is a stable code of a job; `permanent`: trying again cannot help."""

    def __init__(self, reason: str, detail: str = "", *, permanent: bool = True) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.permanent = permanent


def fetch(
    url: str, *, hosts: Collection[str], insecure: bool = False, transport: httpx.BaseTransport | None = None
) -> bytes:
    """Return the bytes at `url`, which must lie on one of `hosts` by https (http too where `insecure`).

    No redirect is followed: Discord's CDN sends none, and one could lead into our own network. Raise BadPicture.
    """
    try:
        parts = urlsplit(url)
        allowed = parts.hostname in hosts and parts.scheme in ({"https", "http"} if insecure else {"https"})
        allowed = allowed and parts.username is None and (insecure or parts.port in (None, 443))
    except ValueError:
        allowed = False
    if not allowed:
        raise BadPicture("source_unavailable", "not an address of Discord's")
    deadline = time.monotonic() + TOTAL_S
    try:
        # trust_env off: a proxy named in the environment would be asked for a member's picture.
        with (
            httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, transport=transport, trust_env=False) as http,
            http.stream("GET", url, headers={"Accept": "image/*"}) as answer,
        ):
            if answer.status_code != 200:
                gone = 300 <= answer.status_code < 500 and answer.status_code != 429
                raise BadPicture("source_unavailable", f"status {answer.status_code}", permanent=gone)
            content = bytearray()
            for chunk in answer.iter_bytes(64 * 1024):
                content += chunk
                if len(content) > MAX_BYTES:
                    raise BadPicture("source_unreadable", f"more than {MAX_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise BadPicture("source_unavailable", "too slow", permanent=False)
            return bytes(content)
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise BadPicture("source_unavailable", type(exc).__name__, permanent=False) from exc


def decode(content: bytes) -> Image.Image:
    """Return the picture (the first frame) upright in RGB, transparency on white. Raise BadPicture.

    The header is read before a pixel is, so that a small file cannot ask for gigabytes.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise BadPicture("source_unreadable", f"{picture.width}x{picture.height}")
                upright = ImageOps.exif_transpose(picture)
                if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
                    layer = upright.convert("RGBA")
                    white = Image.new("RGBA", layer.size, "white")
                    return Image.alpha_composite(white, layer).convert("RGB")
                return upright.convert("RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise BadPicture("source_unreadable", "pixels") from exc
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as exc:
        raise BadPicture("source_unreadable", type(exc).__name__) from exc


def fitted(picture: Image.Image, width: int, height: int) -> Image.Image:
    """Return the picture cropped about its middle and scaled to width x height, undistorted."""
    return ImageOps.fit(picture, (width, height), Image.Resampling.LANCZOS)
