"""The one rule by which a request's images and prompts are deleted, for every kind of caller.

An image that was reported is evidence: it is kept, hidden, until a moderator decides on the report. What was to be
deleted meanwhile stands in `Job.erasure`, and is deleted after the decision.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
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
    return bool(request_many([job_id], what, now=now))


def request_many(job_ids: Collection[int], what: Erasure, *, now: datetime, skip_locked: bool = False) -> list[int]:
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
    """Erase `what` of an ended job now, or after the decision on a report that is open; whether it is erased now.

    Raises what the storage raises: the request stands, and upkeep erases it later.
    """
    if not request(job_id, what, now=now):
        return False
    finish([job_id])
    return True


def erase_many(job_ids: Collection[int], what: Erasure, *, now: datetime) -> int:
    """Erase `what` of several ended jobs, a few statements for all of them; return of how many it was erased now.

    Jobs that another transaction holds are left for the next call. Raises what the storage raises, as `erase`.
    """
    free = request_many(job_ids, what, now=now, skip_locked=True)
    finish(free)
    return len(free)


def finish(job_ids: Collection[int]) -> None:
    """Erase what was requested of jobs. Their files go first: a row that is left names what is left to delete."""
    jobs = list(Job.objects.filter(pk__in=job_ids).exclude(erasure=""))
    erase_files(storage_keys(jobs))
    forget([job.pk for job in jobs])


def storage_keys(jobs: Collection[Job]) -> list[str]:
    """Return the storage keys of the jobs' images and grids."""
    images = JobImage.objects.filter(job__in=jobs).values_list("key", flat=True)
    return [*images, *(job.grid_key for job in jobs if job.grid_key)]


def erase_files(keys: Iterable[str]) -> None:
    """Delete objects from storage. Raises what the storage raises."""
    for key in keys:
        default_storage.delete(key)


def forget(job_ids: Collection[int]) -> None:
    """Drop the rows and words of jobs whose files are gone, as far as that was requested."""
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
        kept.filter(erasure=Erasure.WORDS).update(grid_key="", erasure="", encrypted_token=b"", **words)
        kept.filter(erasure=Erasure.IMAGES).update(grid_key="", erasure="")


def after_decision(job_ids: set[int]) -> None:
    """Erase what was requested of these jobs, as far as no report on them is open any more."""
    waiting = Job.objects.filter(pk__in=job_ids).exclude(erasure="")
    kept = set(with_open_report(waiting).values_list("pk", flat=True))
    finish([job_id for job_id in waiting.values_list("pk", flat=True) if job_id not in kept])


def ready() -> QuerySet[Job]:
    """Return the jobs of which something is to be erased, and on which no report is open."""
    reported = Exists(JobImage.objects.filter(job=OuterRef("pk"), reported_at__isnull=False))
    return Job.objects.exclude(erasure="").exclude(reported)
