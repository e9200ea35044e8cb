"""What a dispatcher is given, and what one is."""

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

    `group` is the job itself: SQS gives out one message of a group at a time, so any larger group (a member, a server)
    would leave jobs that were promoted together to one worker, beside idle ones. Order is the promotion's to keep.
    """

    job_id: int
    group: str
    dedup_id: str

    @classmethod
    def of(cls, job: Job) -> JobMessage:
        """The job's current message; a new number of it gets past the queue's five minutes of deduplication."""
        return cls(job_id=job.pk, group=str(job.pk), dedup_id=f"{job.pk}-{job.messages_sent}")


class DispatchFailed(Exception):
    """The queue took none or only some of the messages. The rows stay; upkeep sends it again."""


class Dispatcher(Protocol):
    def send(self, messages: Sequence[JobMessage]) -> None:
        """Send the messages. Raises DispatchFailed; sending one twice is harmless."""


_current: tuple[str, Dispatcher] | None = None


def current_dispatcher() -> Dispatcher:
    """The dispatcher that settings.JOB_DISPATCHER names, made once a process."""
    global _current  # noqa: PLW0603  # one client a process, made when it is first needed
    if _current is None or _current[0] != settings.JOB_DISPATCHER:
        _current = (settings.JOB_DISPATCHER, import_string(settings.JOB_DISPATCHER)())
    return _current[1]
