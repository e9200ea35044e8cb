"""Discord's Ed25519 signature over timestamp + raw body (docs: interactions/overview, "Validating security")."""

from functools import lru_cache

from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey


@lru_cache(maxsize=4)
def _key(public_key: str) -> VerifyKey:
    return VerifyKey(bytes.fromhex(public_key))


def verify(public_key: str, signature: str | None, timestamp: str | None, body: bytes) -> bool:
    """Return whether `signature` (128 hex digits) is the key's (64 hex digits) over `timestamp` and `body`.

    Never raises: an unreadable signature is invalid. `body` is the raw request body.
    """
    if signature is None or timestamp is None or len(signature) != 128:
        return False
    try:
        _key(public_key).verify(timestamp.encode() + body, bytes.fromhex(signature))
    except (CryptoError, ValueError, TypeError):
        return False
    return True
