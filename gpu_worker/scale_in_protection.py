"""Ask ECS not to stop this task while it is busy.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
"""

from __future__ import annotations

import logging
import os

import httpx

log = logging.getLogger(__name__)
MINUTES = 30
RENEW_S = 10 * 60


class ScaleInProtection:
    """Task scale-in protection through the agent's endpoint; does nothing outside ECS.

    It lapses by itself after half an hour, so a worker that hangs does not keep its machine for ever.
    """

    def __init__(self, agent_uri: str | None = None, *, http: httpx.Client | None = None) -> None:
        self._uri = agent_uri if agent_uri is not None else os.environ.get("ECS_AGENT_URI", "")
        self._http = http or (httpx.Client(timeout=2) if self._uri else None)
        self._protected = False
        self._until = 0.0

    def keep(self, busy: bool, *, now: float) -> None:
        """Say whether the task is busy; `now` in seconds of any clock. Never raises: protection is a courtesy."""
        if self._http is None or (busy == self._protected and not (busy and now >= self._until)):
            return
        body = {"ProtectionEnabled": True, "ExpiresInMinutes": MINUTES} if busy else {"ProtectionEnabled": False}
        try:
            self._http.put(f"{self._uri}/task-protection/v1/state", json=body).raise_for_status()
        except httpx.HTTPError as exc:
            log.warning("protection_not_set", extra={"busy": busy, "error": type(exc).__name__})
            return
        self._protected = busy
        self._until = now + RENEW_S
