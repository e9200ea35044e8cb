"""Tells whether ECS is replacing this worker: its service runs a newer task definition.

Task scale-in protection also holds back a deployment, so a worker that is never idle would hold it back for ever.
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

import httpx
from botocore.exceptions import BotoCoreError, ClientError

log = logging.getLogger(__name__)
CHECK_S = 30.0


class Deployment:
    """The deployment of this task's service. Outside ECS it is never superseded."""

    def __init__(
        self,
        metadata_uri: str | None = None,
        *,
        http: httpx.Client | None = None,
        ecs: Callable[[], Any] | None = None,
    ) -> None:
        """`metadata_uri` is the task's metadata endpoint; None takes ECS_CONTAINER_METADATA_URI_V4."""
        self._uri = metadata_uri if metadata_uri is not None else os.environ.get("ECS_CONTAINER_METADATA_URI_V4", "")
        self._http = http or (httpx.Client(timeout=2) if self._uri else None)
        self._make_client = ecs or _ecs
        self._client: Any = None
        self._task: dict[str, Any] = {}
        self._is_superseded = False
        self._check_at = float("-inf")

    def is_superseded(self, *, now: float) -> bool:
        """Return whether the service has another task definition than this task, as last read. Never raises.

        `now` in seconds of any clock. Asked at most every CHECK_S; a rollback makes it False again.
        """
        if self._http is None or now < self._check_at:
            return self._is_superseded
        self._check_at = now + CHECK_S
        try:
            self._is_superseded = self._read(self._http)
        except (httpx.HTTPError, BotoCoreError, ClientError, KeyError, ValueError) as error:
            log.warning("deployment_not_read", extra={"error": type(error).__name__})
        return self._is_superseded

    def _read(self, http: httpx.Client) -> bool:
        self._task = self._task or http.get(f"{self._uri}/task").raise_for_status().json()
        if not self._task.get("ServiceName"):
            return False
        self._client = self._client or self._make_client()
        found = self._client.describe_services(cluster=self._task["Cluster"], services=[self._task["ServiceName"]])
        # The revision that the service should run: while it deploys, and after a rollback.
        wanted = [each["taskDefinition"].rpartition("/")[2] for each in found["services"]]
        own = f"{self._task['Family']}:{self._task['Revision']}"
        if wanted and own not in wanted and not self._is_superseded:
            log.info("worker_superseded", extra={"own": own, "wanted": wanted[0]})
        return bool(wanted) and own not in wanted


def _ecs() -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client("ecs", config=Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1}))
