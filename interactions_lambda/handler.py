"""The Lambda's entry point: an API Gateway event in, its response out. Only what PING needs is imported here."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from . import ingress, snapshot
from .ingress import Answer, Signed


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Answer Discord. Never raises: what nobody planned is logged under a reference that the member is shown."""
    started = time.monotonic()
    signed: Signed | None = None
    try:
        request = ingress.read(event)
        decided = ingress.decide(request, public_key=os.environ.get("DISCORD_PUBLIC_KEY", ""), now=time.time())
        if isinstance(decided, Answer):
            return ingress.write(decided)
        signed = decided
        from . import router

        return ingress.write(router.respond(signed, started=started))
    except Exception as error:
        from . import failure

        return ingress.write(failure.answer(error, signed))


if snapshot.wanted():
    snapshot.prepare()
