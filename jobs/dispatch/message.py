"""The job message, and the interface of a dispatcher."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from django.conf import settings
from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from jobs.models import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMessage:
    """One message to send. `dedup_id` makes sending twice harmless.

    `group` is the job's id. SQS delivers one message of a group at a time, so a larger group (a member, a guild) would
    keep jobs that are promoted together from running on several workers. Promotion keeps the order.
    """

    job_id: int
    group: str
    dedup_id: str

    @classmethod
    def of(cls, job: Job) -> JobMessage:
        """Return the job's current message. Its number passes SQS's five minutes of deduplication."""
        return cls(job_id=job.pk, group=str(job.pk), dedup_id=f"{job.pk}-{job.messages_sent}")


class DispatchFailed(Exception):
    """The queue accepted none or only some of the messages. Upkeep sends them again."""


class Dispatcher(Protocol):
    def send(self, messages: Sequence[JobMessage]) -> None:
        """Send the messages; sending one twice is harmless. Raises DispatchFailed."""


_current: tuple[str, Dispatcher] | None = None


def current_dispatcher() -> Dispatcher:
    """Return the dispatcher of settings.JOB_DISPATCHER, created once per process."""
    global _current  # noqa: PLW0603  # one client per process, created on first use
    if _current is None or _current[0] != settings.JOB_DISPATCHER:
        _current = (settings.JOB_DISPATCHER, import_string(settings.JOB_DISPATCHER)())
    return _current[1]
