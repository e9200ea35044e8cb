"""A local API Gateway: a WSGI application that passes requests to the real Lambda handler as payload 2.0.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

MAX_BODY = 10 * 1024 * 1024  # API Gateway's own limit for a payload


def event(method: str, path: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return the event that API Gateway would make of the request; header names in lower case, as it has them."""
    lowered = {name.lower(): value for name, value in headers.items()}
    # API Gateway passes text and JSON as text, and everything else as base64.
    is_text = lowered.get("content-type", "").split(";")[0] in {"application/json", "text/plain"}
    try:
        text = body.decode() if is_text else None
    except UnicodeDecodeError:
        text = None
    return {
        "version": "2.0",
        "routeKey": f"{method} {path}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": lowered,
        "requestContext": {
            "http": {"method": method, "path": path, "sourceIp": "127.0.0.1"},
            "requestId": uuid.uuid4().hex,
            "timeEpoch": int(time.time() * 1000),
        },
        "body": base64.b64encode(body).decode() if text is None else text,
        "isBase64Encoded": text is None,
    }


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """WSGI: `gunicorn devtools.api_gateway:application`."""
    from interactions_lambda.handler import handler

    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > MAX_BODY:
        start_response("413 Content Too Large", [("Content-Length", "0")])
        return [b""]
    headers = {
        key.removeprefix("HTTP_").replace("_", "-"): value
        for key, value in environ.items()
        if key.startswith("HTTP_") or key in {"CONTENT_TYPE", "CONTENT_LENGTH"}
    }
    path = environ["SCRIPT_NAME"] + environ["PATH_INFO"]
    answer = handler(event(environ["REQUEST_METHOD"], path, headers, environ["wsgi.input"].read(length)), None)
    body = answer.get("body") or ""
    content = base64.b64decode(body) if answer.get("isBase64Encoded") else body.encode()
    start_response(
        f"{answer['statusCode']} -", [*answer.get("headers", {}).items(), ("Content-Length", str(len(content)))]
    )
    return [content]
