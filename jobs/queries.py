"""The commands' queries about jobs. Each uses an index and reads one page, however long the history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import QuerySet
from django.db.models.functions import Left

from .job_status import OPEN, Status
from .models import Job

PAGE = 5
# How many jobs autocomplete searches.
RECENT = 200
_SHOWN = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page of jobs, newest first, and whether there are older and newer ones."""

    jobs: Sequence[Job]
    older: bool
    newer: bool


def visible(jobs: QuerySet[Job]) -> QuerySet[Job]:
    """Return the jobs that members may see. A job to be erased is visible to moderators only."""
    return jobs.exclude(erasure__in=[Job.Erasure.WORDS, Job.Erasure.ROW])


def load_history(guild_id: int, user_id: int, *, before: int | None = None, after: int | None = None) -> Page:
    """Return a page of a member's jobs: the newest, those before a job's id, or those after it."""
    mine = visible(Job.objects.filter(guild_id=guild_id, user_id=user_id)).exclude(status=Status.REFUSED)
    if after is not None:
        jobs = list(mine.filter(pk__gt=after).order_by("pk")[: PAGE + 1])
        return Page(jobs=jobs[:PAGE][::-1], older=True, newer=len(jobs) > PAGE)
    if before is not None:
        mine = mine.filter(pk__lt=before)
    jobs = list(mine.order_by("-pk")[: PAGE + 1])
    return Page(jobs=jobs[:PAGE], older=len(jobs) > PAGE, newer=before is not None)


def find(guild_id: int, job_id: int) -> Job | None:
    """Return the guild's job with its model, or None if this guild accepted no such job."""
    return (
        visible(Job.objects.select_related("model").filter(pk=job_id, guild_id=guild_id))
        .exclude(status=Status.REFUSED)
        .first()
    )


def find_newest_open(guild_id: int, user_id: int) -> Job | None:
    """Return the member's newest job that has not ended."""
    return Job.objects.filter(guild_id=guild_id, user_id=user_id, status__in=OPEN).order_by("-pk").first()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSuggestion:
    """A job as autocomplete shows it; `prompt` is shortened."""

    job_id: int
    prompt: str


def search_jobs(guild_id: int, user_id: int, typed: str, *, open_only: bool, limit: int = 25) -> list[JobSuggestion]:
    """Return the member's recent jobs whose id starts with the typed text, or whose prompt contains it."""
    mine = visible(Job.objects.filter(guild_id=guild_id, user_id=user_id))
    mine = mine.filter(status__in=OPEN) if open_only else mine.exclude(status=Status.REFUSED)
    rows = mine.order_by("-pk").values_list("pk", Left("prompt", _SHOWN))[:RECENT]
    search = typed.strip().lstrip("#").casefold()
    return [
        JobSuggestion(job_id=pk, prompt=prompt)
        for pk, prompt in rows
        if str(pk).startswith(search) or search in prompt.casefold()
    ][:limit]
