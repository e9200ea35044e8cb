"""Doorbells by Celery. What SQS does with groups and duplicates, the claim does here: doubled rings find nothing."""

from collections.abc import Sequence

from celery.exceptions import OperationalError

from jobs.dispatch import codec
from jobs.dispatch.doorbell import DispatchFailed, Doorbell

from .celery import app


class CeleryDispatcher:
    """Sends the same bytes as the SQS dispatcher, as a task's only argument."""

    def ring(self, doorbells: Sequence[Doorbell]) -> None:
        try:
            for doorbell in doorbells:
                app.send_task("sparkle_site.local.tasks.answer", args=[codec.encode(doorbell.job_id)])
        except (OperationalError, OSError) as exc:
            raise DispatchFailed("the local broker's folder cannot be written") from exc
