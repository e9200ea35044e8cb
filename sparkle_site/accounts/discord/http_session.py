"""HTTP to Discord at a sign-in: bounded in time and size, and no redirect is followed."""

from __future__ import annotations

import time
from typing import Any

import requests

from . import responses

TIMEOUT_S = 10
TOTAL_S = 20


class DiscordSession(requests.Session):
    """A session whose requests end after TOTAL_S and whose environment adds nothing (no proxy, no netrc)."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Raises requests.RequestException, or answers.NotUnderstood when the answer is too large."""
        kwargs.setdefault("timeout", TIMEOUT_S)
        kwargs["allow_redirects"] = False
        kwargs["stream"] = True
        deadline = time.monotonic() + TOTAL_S
        answer = super().request(*args, **kwargs)
        content = bytearray()
        for chunk in answer.iter_content(64 * 1024):
            content += chunk
            if len(content) > responses.MAX_BYTES:
                answer.close()
                raise responses.NotUnderstood("size")
            if time.monotonic() > deadline:
                answer.close()
                raise requests.Timeout
        answer._content = bytes(content)
        return answer
