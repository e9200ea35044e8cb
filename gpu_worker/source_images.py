"""Source images of members: fetched from Discord's CDN only, and decoded as untrusted data."""

from __future__ import annotations

import io
import time
from collections.abc import Collection

import httpx
import numpy as np
from PIL import Image, ImageOps

from discord_api import cdn_urls
from guilds.image_file_limits import FORMATS, SOURCE

from . import metadata_stripping

MAX_BYTES, MAX_PIXELS = SOURCE.max_bytes, SOURCE.max_pixels
TIMEOUT_S = 10.0
TOTAL_S = 30.0
# https://www.cipa.jp/std/documents/download_e.html?DC-008-Translation-2023-E, 4.6.5.1.6: how to undo each orientation.
_TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class InvalidSourceImage(Exception):
    """The image cannot be used. `reason` is a stable code of a job; `permanent`: trying again cannot help."""

    def __init__(self, reason: str, detail: str = "", *, permanent: bool = True) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.permanent = permanent


def fetch(
    url: str, *, hosts: Collection[str], insecure: bool = False, transport: httpx.BaseTransport | None = None
) -> bytes:
    """Return the bytes at `url`, which must be on one of `hosts` by https (`insecure` allows http too).

    No redirect is followed: Discord's CDN sends none, and one could lead into our own network.
    Raise InvalidSourceImage.
    """
    if not cdn_urls.is_discord_url(url, hosts=hosts, insecure=insecure):
        raise InvalidSourceImage("source_unavailable", "not a URL of Discord's CDN")
    deadline = time.monotonic() + TOTAL_S
    try:
        # trust_env off: a proxy from the environment would receive the request for a member's image.
        with (
            httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, transport=transport, trust_env=False) as http,
            http.stream("GET", url, headers={"Accept": "image/*"}) as response,
        ):
            if response.status_code != 200:
                is_gone = 300 <= response.status_code < 500 and response.status_code != 429
                raise InvalidSourceImage("source_unavailable", f"status {response.status_code}", permanent=is_gone)
            content = bytearray()
            for chunk in response.iter_bytes(64 * 1024):
                content += chunk
                if len(content) > MAX_BYTES:
                    raise InvalidSourceImage("source_unreadable", f"more than {MAX_BYTES} bytes")
                if time.monotonic() > deadline:
                    raise InvalidSourceImage("source_unavailable", "too slow", permanent=False)
            return bytes(content)
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise InvalidSourceImage("source_unavailable", type(exc).__name__, permanent=False) from exc


def decode(content: bytes) -> Image.Image:
    """Return the image (its first frame) upright, in RGB, on white. Raise InvalidSourceImage.

    1. The size is read from the header before any pixel, so that a small file cannot use gigabytes.
    2. Pixels are decoded without the metadata (gpu_worker.metadata_stripping): broken metadata must not refuse it.
    3. The orientation is the only metadata that is used. It is ignored where it cannot be read.
    """
    try:
        image = _pixels(metadata_stripping.strip_metadata(content))
    except InvalidSourceImage:
        raise
    except Exception as exc:
        # For broken bytes Pillow's decoders raise many errors, such as IndexError and struct.error.
        raise InvalidSourceImage("source_unreadable", type(exc).__name__) from exc
    transpose = _TRANSPOSES.get(metadata_stripping.orientation(content))
    return image if transpose is None else image.transpose(transpose)


def _pixels(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
        # Smaller than Pillow's own limit for decompression bombs.
        if opened.width * opened.height > MAX_PIXELS:
            raise InvalidSourceImage("source_unreadable", f"{opened.width}x{opened.height}")
        opened.load()
        return _rgb(opened)


def _rgb(image: Image.Image) -> Image.Image:
    """Return the image in RGB with 8 bits, transparent pixels on white."""
    if image.mode[0] in "IF":
        return _grey(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        try:
            layer = image.convert("RGBA")
        except ValueError:
            # The transparent colour cannot occur in this mode, so nothing is transparent.
            image.info.pop("transparency", None)
            return image.convert("RGB")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def _grey(image: Image.Image) -> Image.Image:
    """Scale grey of 16 or 32 bits, or of floats, to 8 bits. Pillow's own conversion clips values above 255."""
    values = np.nan_to_num(np.asarray(image).astype(np.float64), nan=0.0, posinf=np.inf, neginf=0.0)
    highest = float(values.max(initial=0.0))
    if image.mode.startswith("I;16"):
        white = 65535.0
    elif image.mode == "F" and highest <= 1.0:
        white = 1.0
    else:
        # The mode does not say how many bits the file has: take the fewest that hold the values.
        white = next((float(top) for top in (255, 65535) if highest <= top), highest)
    scaled = np.clip(values / white if np.isfinite(white) else np.isinf(values), 0.0, 1.0) * 255
    transparent = image.info.get("transparency")
    if isinstance(transparent, int | float):
        scaled[values == transparent] = 255
    return Image.fromarray(scaled.round().astype(np.uint8))


def fit_to_size(image: Image.Image, width: int, height: int) -> Image.Image:
    """Return the image cropped around its centre and scaled to width x height without distortion."""
    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
