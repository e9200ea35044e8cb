"""Asks ECS not to stop this task while it is busy.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection-endpoint.html
"""

from __future__ import annotations

import logging
import os

import httpx

log = logging.getLogger(__name__)
PROTECTION_MINUTES = 30
RENEW_S = 10 * 60


class ScaleInProtection:
    """Task scale-in protection through the agent's endpoint. Does nothing outside ECS.

    Protection expires after PROTECTION_MINUTES, so a worker that hangs does not keep its instance for ever.
    """

    def __init__(self, agent_uri: str | None = None, *, http: httpx.Client | None = None) -> None:
        self._uri = agent_uri if agent_uri is not None else os.environ.get("ECS_AGENT_URI", "")
        self._http = http or (httpx.Client(timeout=2) if self._uri else None)
        self._is_protected = False
        self._renew_at = 0.0

    def set_busy(self, is_busy: bool, *, now: float) -> None:
        """Report whether the task is busy. `now` in seconds of any clock. Never raises: a worker can do without."""
        if self._http is None or (is_busy == self._is_protected and not (is_busy and now >= self._renew_at)):
            return
        body = (
            {"ProtectionEnabled": True, "ExpiresInMinutes": PROTECTION_MINUTES}
            if is_busy
            else {"ProtectionEnabled": False}
        )
        try:
            answer = self._http.put(f"{self._uri}/task-protection/v1/state", json=body).raise_for_status().json()
        except (httpx.HTTPError, ValueError) as exc:
            log.warning("protection_not_set", extra={"busy": is_busy, "error": type(exc).__name__})
            return
        # A refusal of ECS itself comes with status 200.
        if failure := answer.get("failure"):
            log.warning("protection_not_set", extra={"busy": is_busy, "error": str(failure.get("Reason", ""))[:100]})
            return
        self._is_protected = is_busy
        self._renew_at = now + RENEW_S
