"""Content credentials (C2PA): a signed statement inside the file that a model made the image. Optional.

The certificate belongs to the operator, who makes the statement: https://spec.c2pa.org. The unsigned mark
(gpu_worker.image_encoding.XMP) is in every image, with or without credentials.
"""

from __future__ import annotations

import importlib.util
import io
import os
import threading
from typing import Any, Protocol

from django.core.exceptions import ImproperlyConfigured

MANIFEST: dict[str, Any] = {
    "claim_generator_info": [{"name": "Sparkle"}],
    "assertions": [
        {
            "label": "c2pa.actions",
            "data": {
                "actions": [
                    {
                        "action": "c2pa.created",
                        "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
                    }
                ]
            },
        }
    ],
}


class Signer(Protocol):
    def sign(self, content: bytes, content_type: str) -> bytes:
        """Return the same image with its credentials inside. Thread-safe."""


class ContentCredentials:
    """Signs by c2pa-python: about 50 ms of CPU and 15 kB a file."""

    def __init__(self, *, chain: str, key: str, algorithm: str) -> None:
        """`chain`: the signing certificate and its issuers, `key`: its PKCS#8 key, both PEM. Raise C2paError."""
        import c2pa

        self._c2pa = c2pa
        self._signer = c2pa.Signer.from_info(
            c2pa.C2paSignerInfo(algorithm.encode(), chain.encode(), key.encode(), None)
        )
        # A thumbnail would be larger than everything else in the credentials.
        self._context = c2pa.Context.from_dict({"builder": {"thumbnail": {"enabled": False}}})
        self._lock = threading.Lock()

    def sign(self, content: bytes, content_type: str) -> bytes:
        signed = io.BytesIO()
        with self._lock:
            builder = self._c2pa.Builder(MANIFEST, self._context)
            builder.sign(self._signer, content_type, io.BytesIO(content), signed)
        return signed.getvalue()


def signer_from_environment() -> Signer | None:
    """Return the signer that the environment configures, or None. Raise ImproperlyConfigured where it cannot sign.

    SPARKLE_C2PA_CHAIN and SPARKLE_C2PA_KEY hold PEM texts (secrets, not paths), SPARKLE_C2PA_ALGORITHM es256 (the
    default), es384, ps256 or ed25519.
    """
    chain, key = os.environ.get("SPARKLE_C2PA_CHAIN", ""), os.environ.get("SPARKLE_C2PA_KEY", "")
    if not chain and not key:
        return None
    if not chain or not key:
        raise ImproperlyConfigured("SPARKLE_C2PA_CHAIN and SPARKLE_C2PA_KEY belong together: set both or none.")
    if importlib.util.find_spec("c2pa") is None:
        raise ImproperlyConfigured(
            "SPARKLE_C2PA_CHAIN is set, but c2pa-python is not installed (requirements/safety.txt)."
        )
    try:
        return ContentCredentials(
            chain=chain, key=key, algorithm=os.environ.get("SPARKLE_C2PA_ALGORITHM", "es256").lower()
        )
    except Exception as error:
        # Without the error's text, which could contain a part of the key.
        raise ImproperlyConfigured(f"SPARKLE_C2PA_CHAIN and its key cannot sign: {type(error).__name__}.") from None
