"""A job's spans in the trace of its interaction, recorded once, at its end, from the times in its row."""

from __future__ import annotations

from itertools import pairwise

from telemetry import tracing
from telemetry.tracing import Span

from .job_status import Status
from .models import Job

_STAGES = ("wait for a turn", "wait for a worker", "generate images", "deliver")


def record_job_spans(job_id: int) -> None:
    """Record the spans of an ended job if tracing is enabled. Raises DatabaseError."""
    if tracing.is_enabled():
        job = Job.objects.get(pk=job_id)
        tracing.record_spans(job.interaction_id, build_spans(job))


def build_spans(job: Job) -> list[Span]:
    """Return one span for each stage that the job reached; the last one of a failed job is marked as failed."""
    attributes: dict[str, tracing.Attribute] = {
        "sparkle.job_id": job.pk,
        "sparkle.interaction_id": str(job.interaction_id),
        "sparkle.guild_id": str(job.guild_id),
        "sparkle.status": str(job.status),
        "sparkle.reason": job.reason,
        "sparkle.attempts": job.attempts,
        "sparkle.images": job.count,
        "sparkle.steps": job.steps,
        "sparkle.gpu_ms": job.gpu_ms,
        "sparkle.delivered_via": job.delivered_via,
    }
    times = [job.created_at, job.queued_at, job.started_at, job.images_stored_at]
    reached = [at for at in times if at is not None]
    reached.append(job.ended_at or reached[-1])
    stages = [
        # Clocks of different machines may differ.
        Span(name=name, began=began, ended=max(began, until), attributes=attributes)
        for name, (began, until) in zip(_STAGES, pairwise(reached), strict=False)
    ]
    if job.status == Status.FAILED and stages:
        last = stages[-1]
        stages[-1] = Span(name=last.name, began=last.began, ended=last.ended, attributes=attributes, failed=True)
    return stages
