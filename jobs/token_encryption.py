"""Encryption of interaction tokens at rest, with a key derived from Django's secret key."""

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


def decrypt(encrypted: bytes) -> str:
    """Decrypt a token; "" if the key has changed, which makes the token useless."""
    from nacl.exceptions import CryptoError

    try:
        return str(_secret_box(settings.SECRET_KEY).decrypt(encrypted).decode())
    except CryptoError:
        return ""
