"""Stuck requests and dead letters, with the actions that resolve them. For operators."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from guilds.models import Platform
from jobs import moderation, relaxed, submission, upkeep
from jobs.dispatch import codec, sending
from jobs.job_status import OPEN, Status
from jobs.models import Job
from sparkle_site import data_subject_requests

from . import access, formatting
from .action_framework import actor_name
from .pickers import MemberField

logger = logging.getLogger(__name__)
MAX_ROWS = 50
LONG_WAIT = timedelta(minutes=30)
RECEIVE_BATCH = 10


class EraseMemberForm(forms.Form):
    """The member to erase, chosen by name."""

    user_id = MemberField(label="Member")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["user_id"].widget.guild_ids = None  # type: ignore[attr-defined]  # Only operators see the page.


def page(request: HttpRequest) -> HttpResponse:
    """Show stuck requests and dead letters. A POST runs one of `ACTIONS`."""
    viewer = access.of(request)
    if not viewer.sees_all_guilds:
        raise Http404
    if request.method == "POST":
        if not viewer.can_change:
            raise PermissionDenied
        ACTIONS.get(request.POST.get("action", ""), _unknown)(request, timezone.now())
        return redirect("admin:stuck_jobs")
    now = timezone.now()
    stuck = find_stuck(now=now)
    context = {
        **admin.site.each_context(request),
        "title": "Stuck jobs",
        "stuck": stuck,
        "dead": dead_letters(),
        "platform": Platform.objects.first(),
        "can_change": viewer.can_change,
        "member_form": EraseMemberForm(),
        "nothing_stuck": not any(group["rows"] for group in stuck),
    }
    return render(request, "admin/stuck_jobs.html", context)


def find_stuck(*, now: datetime) -> list[dict[str, Any]]:
    """Return the requests that should have moved on, grouped by cause."""
    queued = Job.objects.filter(status=Status.QUEUED)
    groups = [
        (
            "Message lost",
            "Queued, but no message was sent recently. Upkeep resends messages automatically every minute.",
            queued.filter(message_sent_at=None)
            | queued.filter(message_sent_at__lt=now - timedelta(seconds=settings.SPARKLE_RESEND_AFTER_SECONDS)),
            "resend",
            "Resend messages",
        ),
        (
            "Worker silent",
            "Running, but the lease has expired. Upkeep queues them again automatically every minute.",
            Job.objects.filter(status=Status.RUNNING, lease_expires_at__lt=now),
            "reclaim",
            "Queue again",
        ),
        (
            "Waiting for a long time",
            "The server's queue is long, or no worker takes them.",
            Job.objects.filter(relaxed.prompt_jobs(now=now), status=Status.WAITING, created_at__lt=now - LONG_WAIT),
            "",
            "",
        ),
    ]
    return [
        {
            "name": name,
            "explanation": explanation,
            "action": action,
            "button": button,
            "rows": [
                {
                    "job": job,
                    "since": formatting.when(job.queued_at or job.created_at),
                    "age": formatting.between(job.created_at, now),
                }
                for job in rows.select_related("guild").order_by("pk")[:MAX_ROWS]
            ],
        }
        for name, explanation, rows, action, button in groups
    ]


def dead_letters() -> dict[str, Any]:
    """Return whether there is a dead-letter queue, and its number of messages (None if the queue does not answer)."""
    if not settings.SQS_DEAD_LETTER_URL:
        return {"configured": False, "count": None}
    from botocore.exceptions import BotoCoreError, ClientError

    from jobs.dispatch import sqs

    try:
        answer = sqs.client().get_queue_attributes(
            QueueUrl=settings.SQS_DEAD_LETTER_URL, AttributeNames=["ApproximateNumberOfMessages"]
        )
    except (BotoCoreError, ClientError) as error:
        logger.warning("dead_letters_unknown", extra={"error": type(error).__name__})
        return {"configured": True, "count": None}
    return {"configured": True, "count": int(answer["Attributes"]["ApproximateNumberOfMessages"])}


def redrive(*, now: datetime) -> tuple[int, int]:
    """Replace dead letters by new messages for jobs that are still queued. Return how many (removed, sent).

    A dead letter is deleted only after the new message was sent or the job has ended, so a crash loses none.
    """
    from jobs.dispatch import sqs

    client, letters, sent = sqs.client(), 0, 0
    for _ in range(100):
        batch = client.receive_message(
            QueueUrl=settings.SQS_DEAD_LETTER_URL, MaxNumberOfMessages=RECEIVE_BATCH, WaitTimeSeconds=0
        ).get("Messages", [])
        if not batch:
            break
        ids = []
        for message in batch:
            try:
                ids.append(codec.decode(message["Body"]))
            except codec.BadMessage:
                logger.warning("dead_letter_unreadable", extra={"message_id": message["MessageId"]})
        sent += sending.resend_messages(ids, now=now)
        for message in batch:
            client.delete_message(QueueUrl=settings.SQS_DEAD_LETTER_URL, ReceiptHandle=message["ReceiptHandle"])
        letters += len(batch)
    return letters, sent


def _resend(request: HttpRequest, now: datetime) -> None:
    ids = [row["job"].pk for row in find_stuck(now=now)[0]["rows"]]
    sent = sending.resend_messages(ids, now=now)
    messages.success(request, f"Resent the messages of {formatting.counted(sent, 'request')}.")


def _reclaim(request: HttpRequest, now: datetime) -> None:
    messages.success(request, f"Queued {formatting.counted(upkeep.reclaim_dead(now=now), 'request')} again.")


def _redrive(request: HttpRequest, now: datetime) -> None:
    if not settings.SQS_DEAD_LETTER_URL:
        raise Http404
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        letters, sent = redrive(now=now)
    except (BotoCoreError, ClientError) as error:
        logger.warning("redrive_failed", extra={"error": type(error).__name__})
        messages.error(request, "The queue does not answer. Nothing was lost. Try again.")
        return
    messages.success(
        request,
        f"Removed {formatting.counted(letters, 'message')} and resent {formatting.counted(sent, 'request')}.",
    )


def _retry_failed(request: HttpRequest, now: datetime) -> None:
    """Retry the requests that failed in the last hour."""
    failed = Job.objects.filter(status=Status.FAILED, ended_at__gt=now - timedelta(hours=1)).exclude(prompt="")
    by = actor_name(request)
    outcomes = [moderation.retry(pk, by=by, now=now) for pk in failed.values_list("pk", flat=True)[:MAX_ROWS]]
    retried = sum(isinstance(outcome, submission.Accepted) for outcome in outcomes)
    messages.success(request, f"Retried {retried} of {formatting.counted(len(outcomes), 'request')}.")


def _erase(request: HttpRequest, now: datetime) -> None:
    """Erase all data of one member."""
    form = EraseMemberForm(request.POST)
    if not form.is_valid():
        messages.error(request, " ".join(map(str, form.errors["user_id"])))
        return
    user_id = form.cleaned_data["user_id"]
    erased = data_subject_requests.erase_member(user_id, now=now)
    still_running = Job.objects.filter(user_id=user_id, status__in=OPEN).exists()
    logger.info("member_erased", extra={"requests": erased, "by": actor_name(request)})
    messages.success(
        request, f"Erased {formatting.counted(erased, 'request')} with all images, and the member's counters."
    )
    if still_running:
        messages.warning(request, "A request is still running. Erase again when it has ended.")


def _unknown(request: HttpRequest, now: datetime) -> None:
    raise Http404


ACTIONS = {"resend": _resend, "reclaim": _reclaim, "redrive": _redrive, "retry": _retry_failed, "erase": _erase}
