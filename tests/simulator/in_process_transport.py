"""Takes httpx's requests to the site in this process, inside the test's own transaction."""

import httpx
from django.test import Client


class SiteTransport(httpx.BaseTransport):
    """The whole site with its middleware, without a socket. A view's exception reaches the test."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        headers = {name: value for name, value in request.headers.items() if name not in {"content-type", "host"}}
        answer = Client().generic(
            request.method,
            request.url.path,
            request.read(),
            content_type=request.headers.get("Content-Type", ""),
            query_params=dict(request.url.params),
            headers=headers,
        )
        return httpx.Response(answer.status_code, headers=dict(answer.items()), content=answer.content)
