"""Interaction tokens are sealed at rest, with a key derived from Django's secret key."""

import functools
import hashlib

from django.conf import settings


@functools.lru_cache(maxsize=2)
def _secret_box(secret: str):  # type: ignore[no-untyped-def]  # nacl is imported late
    from nacl.secret import SecretBox

    return SecretBox(hashlib.sha256(b"sparkle interaction token\0" + secret.encode()).digest())


def encrypt(token: str) -> bytes:
    """Encrypt `token` (libsodium secretbox)."""
    return bytes(_secret_box(settings.SECRET_KEY).encrypt(token.encode()))


def decrypt(sealed: bytes) -> str:
    """Decrypt; "" when the key has changed since, for then the token is as good as expired."""
    from nacl.exceptions import CryptoError

    try:
        return str(_secret_box(settings.SECRET_KEY).decrypt(sealed).decode())
    except CryptoError:
        return ""
