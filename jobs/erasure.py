"""The one rule by which a request's images and words are deleted, whoever asks for it.

An image that was reported is evidence: it is kept, hidden, until a moderator decides on the report. What was to be
deleted meanwhile stands in `Job.erasure`, and is deleted after the decision.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from .lifecycle import OPEN
from .models import Job, JobEvent, JobImage

Erasure = Job.Erasure
# The more is erased the later it stands.
_ORDER = ("", Erasure.IMAGES, Erasure.WORDS, Erasure.ROW)


def with_open_report(jobs: QuerySet[Job]) -> QuerySet[Job]:
    """The jobs with an image whose report nobody has decided on."""
    return jobs.filter(Exists(JobImage.objects.filter(job=OuterRef("pk"), reported_at__isnull=False)))


def request(job_id: int, what: Erasure, *, now: datetime) -> bool:
    """Hide the job's images and write down that `what` is to be erased; False while a report on one is open.

    A hidden image cannot be reported, so what may be erased now may still be erased when its files are deleted.
    """
    with transaction.atomic():
        job = Job.objects.select_for_update(no_key=True).filter(pk=job_id).exclude(status__in=OPEN).first()
        if job is None:
            return False
        images = list(JobImage.objects.select_for_update().filter(job_id=job_id).order_by("pk"))
        JobImage.objects.filter(job_id=job_id, hidden_at=None).update(hidden_at=now)
        if _ORDER.index(job.erasure) < _ORDER.index(what):
            Job.objects.filter(pk=job_id).update(erasure=what)
    return not any(image.reported_at for image in images)


def erase(job_id: int, what: Erasure, *, now: datetime) -> bool:
    """Erase `what` of an ended job now, or after the decision on a report that is open; whether it is erased now.

    Raises what the storage raises: the request stands, and upkeep erases it later.
    """
    if not request(job_id, what, now=now):
        return False
    finish(job_id)
    return True


def finish(job_id: int) -> None:
    """Erase what was requested of a job. Its files go first: a row that is left names what is left to delete."""
    job = Job.objects.filter(pk=job_id).exclude(erasure="").first()
    if job is not None:
        erase_files(keys(job))
        forget(job.pk)


def keys(job: Job) -> list[str]:
    """Return the keys of the job's images and grid."""
    images = JobImage.objects.filter(job=job).values_list("key", flat=True)
    return [*images, *([job.grid_key] if job.grid_key else [])]


def erase_files(keys: Iterable[str]) -> None:
    """Delete objects from storage. Raises what the storage raises."""
    for key in keys:
        default_storage.delete(key)


def forget(job_id: int) -> None:
    """Drop the rows and words of a job whose files are gone, as far as that was requested."""
    with transaction.atomic():
        job = Job.objects.select_for_update().filter(pk=job_id).first()
        if job is None or not job.erasure:
            return
        JobImage.objects.filter(job=job).delete()
        if job.erasure == Erasure.ROW:
            JobEvent.objects.filter(job=job).delete()
            Job.objects.filter(source_job=job).update(source_job=None)
            job.delete()
            return
        words = dict.fromkeys(("prompt", "styled_prompt", "negative_prompt", "member_name", "source_url"), "")
        erased = {**words, "encrypted_token": b""} if job.erasure == Erasure.WORDS else {}
        Job.objects.filter(pk=job.pk).update(grid_key="", erasure="", **erased)


def after_decision(job_ids: set[int]) -> None:
    """Erase what was requested of these jobs, as far as no report on them is open any more."""
    waiting = Job.objects.filter(pk__in=job_ids).exclude(erasure="")
    kept = set(with_open_report(waiting).values_list("pk", flat=True))
    for job_id in waiting.values_list("pk", flat=True):
        if job_id not in kept:
            finish(job_id)


def ready() -> QuerySet[Job]:
    """Return the jobs of which something is to be erased, and on which no report is open."""
    reported = Exists(JobImage.objects.filter(job=OuterRef("pk"), reported_at__isnull=False))
    return Job.objects.exclude(erasure="").exclude(reported)
