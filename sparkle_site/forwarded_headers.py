"""The client's host, scheme and address, as API Gateway passes them to the site (terraform/modules/sparkle/api.tf).

The gateway rewrites Host and does not forward X-Forwarded-*, so it sets its own headers and overwrites those of the
client. They can be trusted only behind the gateway (BEHIND_GATEWAY).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def trust_api_gateway(application: Application) -> Application:
    """Wrap a WSGI application so that it sees the host, scheme and address that the client used."""

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if host := environ.get("HTTP_X_SPARKLE_HOST"):
            environ["HTTP_HOST"] = host
        if scheme := environ.get("HTTP_X_SPARKLE_PROTO"):
            environ["HTTP_X_FORWARDED_PROTO"] = scheme
        if address := environ.get("HTTP_X_SPARKLE_CLIENT"):
            environ["REMOTE_ADDR"] = environ["HTTP_X_FORWARDED_FOR"] = address
        return application(environ, start_response)

    return call
