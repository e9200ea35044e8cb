"""What is stuck, and how to get it going again: for operators."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from discord_api import snowflakes
from guilds.models import Platform
from jobs import moderation, submission, upkeep
from jobs.dispatch import codec, sending
from jobs.lifecycle import OPEN, Status
from jobs.models import Job
from sparkle_site import privacy

from . import access, formatting
from .actions import actor_name

logger = logging.getLogger(__name__)
MOST = 50
WAITING_LONG = timedelta(minutes=30)
RECEIVED_AT_ONCE = 10


def page(request: HttpRequest) -> HttpResponse:
    """Stuck requests and dead letters; a POST does one of `ACTIONS`."""
    viewer = access.of(request)
    if not viewer.sees_all_guilds:
        raise Http404
    if request.method == "POST":
        if not viewer.can_change:
            raise PermissionDenied
        ACTIONS.get(request.POST.get("action", ""), _unknown)(request, timezone.now())
        return redirect("admin:stuck_jobs")
    now = timezone.now()
    stuck = find(now=now)
    context = {
        **admin.site.each_context(request),
        "title": "Stuck jobs",
        "stuck": stuck,
        "dead": dead_letters(),
        "platform": Platform.objects.first(),
        "can_change": viewer.can_change,
        "nothing_stuck": not any(group["rows"] for group in stuck),
    }
    return render(request, "admin/stuck_jobs.html", context)


def find(*, now: datetime) -> list[dict[str, Any]]:
    """Requests that should have moved on, by what holds them up."""
    queued = Job.objects.filter(status=Status.QUEUED)
    groups = [
        (
            "Message lost",
            "Queued, but no worker was told for a while. Upkeep tells them again by itself each minute.",
            queued.filter(message_sent_at=None)
            | queued.filter(message_sent_at__lt=now - timedelta(seconds=settings.SPARKLE_RESEND_AFTER_SECONDS)),
            "resend",
            "Tell the workers again",
        ),
        (
            "Worker silent",
            "Running under a lease that has run out. Upkeep takes them back by itself each minute.",
            Job.objects.filter(status=Status.RUNNING, lease_expires_at__lt=now),
            "reclaim",
            "Take them back",
        ),
        (
            "Waiting for long",
            "Their server's line is long, or no worker takes them.",
            Job.objects.filter(status=Status.WAITING, created_at__lt=now - WAITING_LONG),
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
                for job in rows.select_related("guild").order_by("pk")[:MOST]
            ],
        }
        for name, explanation, rows, action, button in groups
    ]


def dead_letters() -> dict[str, Any]:
    """How many messages lie in the dead-letter queue; None where there is no such queue or it does not answer."""
    if not settings.SQS_DEAD_LETTER_URL:
        return {"configured": False, "count": None}
    from botocore.exceptions import BotoCoreError, ClientError

    from jobs.dispatch import sqs

    try:
        found = sqs.client().get_queue_attributes(
            QueueUrl=settings.SQS_DEAD_LETTER_URL, AttributeNames=["ApproximateNumberOfMessages"]
        )
    except (BotoCoreError, ClientError) as error:
        logger.warning("dead_letters_unknown", extra={"error": type(error).__name__})
        return {"configured": True, "count": None}
    return {"configured": True, "count": int(found["Attributes"]["ApproximateNumberOfMessages"])}


def redrive(*, now: datetime) -> tuple[int, int]:
    """Take messages out of the dead-letter queue and send a new one for what still waits; (letters, sent).

    A letter is deleted only after its job was sent for, or has ended: a crash between leaves it there.
    """
    from jobs.dispatch import sqs

    client, letters, sent = sqs.client(), 0, 0
    for _ in range(100):
        batch = client.receive_message(
            QueueUrl=settings.SQS_DEAD_LETTER_URL, MaxNumberOfMessages=RECEIVED_AT_ONCE, WaitTimeSeconds=0
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
    ids = [row["job"].pk for row in find(now=now)[0]["rows"]]
    sent = sending.resend_messages(ids, now=now)
    messages.success(request, f"Told the workers of {formatting.counted(sent, 'request')} again.")


def _reclaim(request: HttpRequest, now: datetime) -> None:
    messages.success(request, f"Took back {formatting.counted(upkeep.reclaim_dead(now=now), 'request')}.")


def _redrive(request: HttpRequest, now: datetime) -> None:
    if not settings.SQS_DEAD_LETTER_URL:
        raise Http404
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        letters, sent = redrive(now=now)
    except (BotoCoreError, ClientError) as error:
        logger.warning("redrive_failed", extra={"error": type(error).__name__})
        messages.error(request, "The queue does not answer. Nothing was lost: try again.")
        return
    messages.success(
        request,
        f"Took out {formatting.counted(letters, 'message')} and sent {formatting.counted(sent, 'request')} again.",
    )


def _retry_failed(request: HttpRequest, now: datetime) -> None:
    """Retry what failed in the last hour through no fault of its own."""
    failed = Job.objects.filter(status=Status.FAILED, ended_at__gt=now - timedelta(hours=1)).exclude(prompt="")
    by = actor_name(request)
    found = [moderation.retry(pk, by=by, now=now) for pk in failed.values_list("pk", flat=True)[:MOST]]
    done = sum(isinstance(each, submission.Accepted) for each in found)
    messages.success(request, f"Asked for {done} of {len(found)} again.")


def _erase(request: HttpRequest, now: datetime) -> None:
    """Erase all that is kept about one member."""
    wanted = request.POST.get("user_id", "").strip()
    user_id = snowflakes.parse(wanted)
    if user_id is None or len(wanted) < 15:
        messages.error(request, "Write the member's ID: 17 to 19 digits.")
        return
    erased = privacy.erase_member(user_id, now=now)
    left = Job.objects.filter(user_id=user_id, status__in=OPEN).exists()
    logger.info("member_erased", extra={"requests": erased, "by": actor_name(request)})
    messages.success(
        request, f"Erased {formatting.counted(erased, 'request')} with all pictures, and the member's counters."
    )
    if left:
        messages.warning(request, "A request is still running. Erase once more when it has ended.")


def _unknown(request: HttpRequest, now: datetime) -> None:
    raise Http404


ACTIONS = {"resend": _resend, "reclaim": _reclaim, "redrive": _redrive, "retry": _retry_failed, "erase": _erase}
