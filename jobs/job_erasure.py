"""Erasure of a job's images and words, for members, moderators, privacy requests and retention alike.

A reported image is evidence: it is hidden and kept until a moderator decides on the report. `Job.erasure` says what is
to be erased after the decision.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from . import painted_areas
from .job_status import OPEN
from .models import Job, JobEvent, JobImage

Erasure = Job.Erasure
# From the least to the most.
_ORDER = ("", Erasure.IMAGES, Erasure.WORDS, Erasure.ROW)


def with_open_report(jobs: QuerySet[Job]) -> QuerySet[Job]:
    """Return the jobs that have an image with an open report."""
    return jobs.filter(_open_report())


def _open_report() -> Exists:
    return Exists(JobImage.objects.filter(job=OuterRef("pk"), reported_at__isnull=False))


def request_erasure(job_id: int, what: Erasure, *, now: datetime) -> bool:
    """Hide the job's images and record that `what` is to be erased. False while a report on an image is open.

    A hidden image cannot be reported, so the result still holds when the files are deleted.
    """
    return bool(request_erasures([job_id], what, now=now))


def request_erasures(job_ids: Collection[int], what: Erasure, *, now: datetime, skip_locked: bool = False) -> list[int]:
    """Request the erasure of several ended jobs; return the ids of those without an open report.

    `skip_locked` leaves out jobs that another transaction holds: a batch never waits for one row while it holds others.
    """
    with transaction.atomic():
        ended = Job.objects.filter(pk__in=job_ids).exclude(status__in=OPEN).order_by("pk")
        marks = dict(ended.select_for_update(no_key=True, skip_locked=skip_locked).values_list("pk", "erasure"))
        images = JobImage.objects.filter(job_id__in=marks).order_by("pk")
        reported = {job_id for job_id, at in images.select_for_update().values_list("job_id", "reported_at") if at}
        JobImage.objects.filter(job_id__in=marks, hidden_at=None).update(hidden_at=now)
        less = [pk for pk, erasure in marks.items() if _ORDER.index(erasure) < _ORDER.index(what)]
        Job.objects.filter(pk__in=less).update(erasure=what)
    return [pk for pk in marks if pk not in reported]


def erase(job_id: int, what: Erasure, *, now: datetime) -> bool:
    """Erase `what` of an ended job now, or after the decision on its open reports. Return whether it is erased now.

    Raises the storage's errors; upkeep then erases it later.
    """
    return bool(erase_many([job_id], what, now=now))


def erase_many(job_ids: Collection[int], what: Erasure, *, now: datetime, skip_locked: bool = False) -> int:
    """Erase `what` of several ended jobs in a few statements. Return how many are erased now.

    `skip_locked` as in `request_erasures`. Raises the storage's errors, as `erase` does.
    """
    free = request_erasures(job_ids, what, now=now, skip_locked=skip_locked)
    erase_requested(free)
    return len(free)


def erase_requested(job_ids: Collection[int]) -> None:
    """Erase what was requested of the jobs. Files first: a row that is left names the files that are left."""
    jobs = list(Job.objects.filter(pk__in=job_ids).exclude(erasure=""))
    erase_files(storage_keys(jobs))
    delete_rows([job.pk for job in jobs])


def storage_keys(jobs: Collection[Job]) -> list[str]:
    """Return the storage keys of the jobs' images, grids, and those of their masks that no other job has."""
    images = JobImage.objects.filter(job__in=jobs).values_list("key", flat=True)
    masks = {job.painted_area for job in jobs if painted_areas.is_mask(job.painted_area)}
    if masks:
        others = Job.objects.filter(painted_area__in=masks).exclude(pk__in=[job.pk for job in jobs])
        masks -= set(others.values_list("painted_area", flat=True))
    return [*images, *(job.grid_key for job in jobs if job.grid_key), *masks]


def erase_files(keys: Iterable[str]) -> None:
    """Delete objects from storage. Raises the storage's errors."""
    for key in keys:
        default_storage.delete(key)


def delete_rows(job_ids: Collection[int]) -> None:
    """Delete the rows and words of jobs whose files are deleted, as far as requested."""
    with transaction.atomic():
        requested = Job.objects.filter(pk__in=job_ids).exclude(erasure="").order_by("pk")
        marks = dict(requested.select_for_update().values_list("pk", "erasure"))
        rows = [pk for pk, erasure in marks.items() if erasure == Erasure.ROW]
        JobImage.objects.filter(job_id__in=marks).delete()
        if rows:
            JobEvent.objects.filter(job_id__in=rows).delete()
            Job.objects.filter(source_job_id__in=rows).update(source_job=None)
            Job.objects.filter(pk__in=rows).delete()
        words = dict.fromkeys(("prompt", "styled_prompt", "negative_prompt", "member_name", "source_url"), "")
        kept = Job.objects.filter(pk__in=marks)
        kept.filter(erasure=Erasure.WORDS).update(
            grid_key="", painted_area="", erasure="", encrypted_token=b"", **words
        )
        kept.filter(erasure=Erasure.IMAGES).update(grid_key="", painted_area="", erasure="")


def erase_decided(job_ids: set[int]) -> None:
    """Erase what was requested of those jobs that have no open report any more."""
    waiting = Job.objects.filter(pk__in=job_ids).exclude(erasure="")
    kept = set(with_open_report(waiting).values_list("pk", flat=True))
    erase_requested([job_id for job_id in waiting.values_list("pk", flat=True) if job_id not in kept])


def select_ready() -> QuerySet[Job]:
    """Return the jobs with a requested erasure and without an open report."""
    return Job.objects.exclude(erasure="").exclude(_open_report())
