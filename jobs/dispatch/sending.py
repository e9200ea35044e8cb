"""Send jobs' messages once their rows are committed. Upkeep sends a message again that failed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from django.db.models import F

from jobs.job_status import Status
from jobs.models import Job

from .message import Dispatcher, DispatchFailed, JobMessage, current_dispatcher

logger = logging.getLogger(__name__)

# Takes `send`, which may raise DispatchFailed, and `mark_unsent`, to call if sending fails or takes too long.
SendHook = Callable[[Callable[[], None], Callable[[], None]], None]


def send_now(send: Callable[[], None], mark_unsent: Callable[[], None]) -> None:
    """Send the messages; if the queue is unavailable, mark them as unsent. The default SendHook."""
    try:
        send()
    except DispatchFailed:
        mark_unsent()


def send_after_commit(
    jobs: Sequence[Job], *, dispatch: Dispatcher | None = None, send_hook: SendHook | None = None
) -> None:
    """Send the committed jobs' messages. Messages that fail are marked, so that upkeep sends them again soon."""
    if not jobs:
        return
    job_ids = [job.pk for job in jobs]

    def mark_unsent() -> None:
        logger.warning("dispatch_failed", extra={"job_ids": job_ids})
        Job.objects.filter(pk__in=job_ids, status=Status.QUEUED).update(message_sent_at=None)

    send = partial((dispatch or current_dispatcher()).send, [JobMessage.of(job) for job in jobs])
    (send_hook or send_now)(send, mark_unsent)


def resend_messages(job_ids: Sequence[int], *, now: datetime) -> int:
    """Send new messages for those of the jobs that are queued; return how many. A duplicate finds nothing to claim."""
    queued = Job.objects.filter(pk__in=job_ids, status=Status.QUEUED)
    queued.update(messages_sent=F("messages_sent") + 1, message_sent_at=now)
    jobs = list(queued)
    send_after_commit(jobs)
    return len(jobs)
