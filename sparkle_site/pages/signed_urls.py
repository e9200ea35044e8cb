"""Signed URLs of images that expire: anyone who has one may look until then."""

from __future__ import annotations

from datetime import timedelta

from django.core.signing import BadSignature, TimestampSigner
from django.urls import reverse

LIFE = timedelta(hours=1)
_signer = TimestampSigner(salt="sparkle picture")


def signed_url(image_id: int, *, width: int = 0) -> str:
    """An address of the picture that holds for LIFE."""
    found = reverse("signed_picture", args=[_signer.sign(str(image_id))])
    return f"{found}?w={width}" if width else found


def verify_signed_url(signed: str) -> int | None:
    """The id in a signed address, or None when it was tampered with or is too old."""
    try:
        return int(_signer.unsign(signed, max_age=LIFE))
    except BadSignature:
        return None
