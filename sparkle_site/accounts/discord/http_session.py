"""HTTP requests to Discord during sign-in, with limits on time and size, and without redirects."""

from __future__ import annotations

import time
from typing import Any

import requests

from . import responses

TIMEOUT_S = 10
TOTAL_S = 20


class DiscordSession(requests.Session):
    """A session that ignores the environment (no proxy, no netrc). Each request takes at most about TOTAL_S."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Raises: requests.RequestException, or InvalidResponse if the response is too large."""
        kwargs.setdefault("timeout", TIMEOUT_S)
        kwargs["allow_redirects"] = False
        kwargs["stream"] = True
        deadline = time.monotonic() + TOTAL_S
        response = super().request(*args, **kwargs)
        content = bytearray()
        for chunk in response.iter_content(64 * 1024):
            content += chunk
            if len(content) > responses.MAX_BYTES:
                response.close()
                raise responses.InvalidResponse("size")
            if time.monotonic() > deadline:
                response.close()
                raise requests.Timeout
        response._content = bytes(content)
        return response
