"""Sends job messages through Celery, without groups or deduplication: a duplicate finds nothing to claim."""

from collections.abc import Sequence

from celery.exceptions import OperationalError

from jobs.dispatch import codec
from jobs.dispatch.message import DispatchFailed, JobMessage

from .celery_app import app


class CeleryDispatcher:
    """Sends the same bytes as the SQS dispatcher, as a task's only argument."""

    def send(self, messages: Sequence[JobMessage]) -> None:
        try:
            for message in messages:
                app.send_task("devtools.celery_tasks.run_job", args=[codec.encode(message.job_id)])
        except (OperationalError, OSError) as exc:
            raise DispatchFailed("the local broker's folder cannot be written") from exc
