"""What API Gateway tells the site about the client's request (terraform/api.tf).

The gateway rewrites Host and keeps X-Forwarded-* to itself, so it sets headers of its own, over whatever a client sent.
Only behind it may they be believed: BEHIND_GATEWAY says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def trust_api_gateway(application: Application) -> Application:
    """Return `application` with the host, scheme and address that the client used."""

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if host := environ.get("HTTP_X_SPARKLE_HOST"):
            environ["HTTP_HOST"] = host
        if scheme := environ.get("HTTP_X_SPARKLE_PROTO"):
            environ["HTTP_X_FORWARDED_PROTO"] = scheme
        if address := environ.get("HTTP_X_SPARKLE_CLIENT"):
            environ["REMOTE_ADDR"] = environ["HTTP_X_FORWARDED_FOR"] = address
        return application(environ, start_response)

    return call
