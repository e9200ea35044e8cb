"""The Lambda's entry point: an API Gateway event in, its response out. Only what PING needs is imported here."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from . import snapstart, verification
from .verification import Response, VerifiedRequest


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Return the response. Never raises: an unexpected error is logged, and the member gets its reference."""
    started = time.monotonic()
    verified: VerifiedRequest | None = None
    try:
        request = verification.read(event)
        result = verification.verify_request(
            request, public_key=os.environ.get("DISCORD_PUBLIC_KEY", ""), now=time.time()
        )
        if isinstance(result, Response):
            return verification.write(result)
        verified = result
        from . import router

        return verification.write(router.respond(verified, started=started))
    except Exception as error:
        from . import error_response

        return verification.write(error_response.create(error, verified))


if snapstart.is_snapshot_start():
    snapstart.prepare()
