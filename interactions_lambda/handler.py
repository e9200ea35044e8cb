"""The Lambda's entry point: an API Gateway event in, its response out. Only what PING needs is imported here."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from . import snapstart, verification
from .verification import Response, VerifiedRequest


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Answer Discord. Never raises: what nobody planned is logged under a reference that the member is shown."""
    started = time.monotonic()
    signed: VerifiedRequest | None = None
    try:
        request = verification.read(event)
        decided = verification.verify_request(
            request, public_key=os.environ.get("DISCORD_PUBLIC_KEY", ""), now=time.time()
        )
        if isinstance(decided, Response):
            return verification.write(decided)
        signed = decided
        from . import router

        return verification.write(router.respond(signed, started=started))
    except Exception as error:
        from . import error_response

        return verification.write(error_response.answer(error, signed))


if snapstart.wanted():
    snapstart.prepare()
