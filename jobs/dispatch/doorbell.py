"""What is sent when a job may run, and who sends it. The row is the truth: a lost doorbell costs time, never a job."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string


@dataclass(frozen=True, slots=True, kw_only=True)
class Doorbell:
    """One message to send. `group` orders a member's requests; `dedup_id` names this ringing (job and attempt)."""

    job_id: int
    group: str
    dedup_id: str


class QueueUnavailable(Exception):
    """Some doorbells were not sent. Upkeep rings again for rows that stay queued, so nothing is lost."""


class Dispatcher(Protocol):
    """Chosen by dotted path in settings.JOB_DISPATCHER; made without arguments."""

    def ring(self, doorbells: Sequence[Doorbell]) -> None:
        """Send each doorbell, in order within its group. Raise QueueUnavailable if any could not be sent."""


def from_settings() -> Dispatcher:
    """Return the dispatcher that settings.JOB_DISPATCHER names."""
    dispatcher: Dispatcher = import_string(settings.JOB_DISPATCHER)()
    return dispatcher
