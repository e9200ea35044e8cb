"""A job's part of its interaction's trace: told once, when it has ended, from the times in its row."""

from __future__ import annotations

from itertools import pairwise

from telemetry import tracing
from telemetry.tracing import Span

from .lifecycle import Status
from .models import Job

_STAGES = ("wait for a turn", "wait for a worker", "make the pictures", "deliver")


def record_job_spans(job_id: int) -> None:
    """Record the spans of a job that has ended, where traces are wanted. Raises DatabaseError."""
    if tracing.is_enabled():
        job = Job.objects.get(pk=job_id)
        tracing.record(job.interaction_id, spans(job))


def spans(job: Job) -> list[Span]:
    """Return one span for each stage that the job reached; the last one has the failure."""
    attributes: dict[str, tracing.Attribute] = {
        "sparkle.job_id": job.pk,
        "sparkle.interaction_id": str(job.interaction_id),
        "sparkle.guild_id": str(job.guild_id),
        "sparkle.status": str(job.status),
        "sparkle.reason": job.reason,
        "sparkle.attempts": job.attempts,
        "sparkle.pictures": job.count,
        "sparkle.steps": job.steps,
        "sparkle.gpu_ms": job.gpu_ms,
        "sparkle.delivered_via": job.delivered_via,
    }
    times = [job.created_at, job.queued_at, job.started_at, job.images_stored_at]
    reached = [at for at in times if at is not None]
    reached.append(job.ended_at or reached[-1])
    found = [
        # Two machines' clocks may differ.
        Span(name=name, began=began, ended=max(began, until), attributes=attributes)
        for name, (began, until) in zip(_STAGES, pairwise(reached), strict=False)
    ]
    if job.status == Status.FAILED and found:
        last = found[-1]
        found[-1] = Span(name=last.name, began=last.began, ended=last.ended, attributes=attributes, failed=True)
    return found
