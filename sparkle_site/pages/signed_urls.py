"""Signed URLs of pictures that expire. Anyone with the URL can see the picture until then."""

from __future__ import annotations

from datetime import timedelta

from django.core.signing import BadSignature, TimestampSigner
from django.urls import reverse

MAX_AGE = timedelta(hours=1)
_signer = TimestampSigner(salt="sparkle picture")


def signed_url(image_id: int, *, width: int = 0) -> str:
    """Return a URL of the picture that is valid for MAX_AGE."""
    url = reverse("signed_picture", args=[_signer.sign(str(image_id))])
    return f"{url}?w={width}" if width else url


def verify_signed_url(signed: str) -> int | None:
    """Return the picture's id, or None if the signature is invalid or expired."""
    try:
        return int(_signer.unsign(signed, max_age=MAX_AGE))
    except BadSignature:
        return None
