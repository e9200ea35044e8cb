"""Call the webhooks of requests that came by the HTTP API and have ended."""

from __future__ import annotations

import json
import logging

from django.conf import settings
from django.db.models import F

from jobs import webhooks
from jobs.api_models import ApiRequest
from jobs.job_status import ENDED
from jobs.models import Job

from .task import TaskRun, due, upkeep_task

logger = logging.getLogger(__name__)


@upkeep_task(budget_s=6)
def send_webhooks(work: TaskRun) -> int:
    """Call the webhooks that are due; a failed call is tried again later, five times in all after the first."""
    pending = Job.objects.filter(api_request__webhook_after__lte=work.now, status__in=ENDED)

    def call(pk: int) -> bool:
        request = ApiRequest.objects.select_related("job", "key").get(pk=pk)
        attempts = request.webhook_attempts + 1
        state = {"webhook_attempts": attempts, "webhook_after": None}
        try:
            _call(request, now_s=int(work.now.timestamp()))
            state["webhook_sent_at"] = work.now
        except webhooks.WebhookFailed as error:
            if not error.permanent and attempts <= len(webhooks.RETRY_AFTER):
                state["webhook_after"] = work.now + webhooks.RETRY_AFTER[attempts - 1]
            logger.info("webhook_failed", extra={"job_id": pk, "attempt": attempts, "reason": str(error)})
        ApiRequest.objects.filter(pk=pk).update(**state)
        return state["webhook_after"] is None

    return work.for_each(due(pending, by=F("api_request__webhook_after")), call)


def _call(request: ApiRequest, *, now_s: int) -> None:
    job = request.job
    body = json.dumps({"id": str(job.pk), "status": job.status, "reason": job.reason or None}).encode()
    webhooks.post(
        request.key.webhook_url,
        body,
        {"Sparkle-Signature": webhooks.signature(body, digest=request.key.digest, timestamp=now_s)},
        insecure=settings.WEBHOOKS_INSECURE,
    )
