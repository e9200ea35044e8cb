"""Signed URLs of images that expire. Anyone with the URL can see the image until then."""

from __future__ import annotations

from datetime import timedelta

from django.core.signing import BadSignature, TimestampSigner
from django.urls import reverse

MAX_AGE = timedelta(hours=1)
_signer = TimestampSigner(salt="sparkle image")


def signed_url(image_id: int, *, width: int = 0) -> str:
    """Return a URL of the image that is valid for MAX_AGE."""
    url = reverse("signed_image", args=[_signer.sign(str(image_id))])
    return f"{url}?w={width}" if width else url


def verify_signed_url(signed: str) -> int | None:
    """Return the image's id, or None if the signature is invalid or expired."""
    try:
        return int(_signer.unsign(signed, max_age=MAX_AGE))
    except BadSignature:
        return None
