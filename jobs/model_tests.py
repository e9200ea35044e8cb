"""A test of a model: one image through the queue and a worker, before members may choose the model."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import QuerySet

from discord_api import snowflakes
from guilds.gpu_time_estimates import gpu_ms_of, work_of
from guilds.models import Guild, ModelProfile
from guilds.policy import Refusal

from .dispatch.sending import send_after_commit
from .guild_lock import lock_guild
from .job_status import OPEN, Status
from .models import BY_API, Job, JobEvent

PROMPT = "a lighthouse on a cliff at sunset"
_SEED = 7
_PATIENCE = timedelta(minutes=15)


def latest(profile: ModelProfile) -> Job | None:
    """Return the newest test of the model, None if there was none."""
    return _tests(profile).order_by("-pk").first()


def is_tested(profile: ModelProfile) -> bool:
    """Return whether a worker has made an image with the model for a test."""
    return _tests(profile).filter(status=Status.COMPLETED).exists()


def start(profile: ModelProfile, guild: Guild, *, now: datetime) -> Job | Refusal:
    """Queue a test of the model in `guild`, whose quotas do not count it; return its job.

    The refusal says that a test of this model is not finished yet. Raises Guild.DoesNotExist.
    """
    with lock_guild(guild.pk) as locked:
        running = _tests(profile).filter(status__in=OPEN).first()
        if running is not None:
            return Refusal(code="test_running", params={"id": running.pk})
        job = _new_job(profile, locked, now=now)
        job.save()
        for old, new in (("", Status.WAITING), (Status.WAITING, Status.QUEUED)):
            JobEvent.objects.create(job=job, at=now, kind=new, old_status=old)
    send_after_commit([job])
    return job


def _tests(profile: ModelProfile) -> QuerySet[Job]:
    # Only tests are requests of the bot itself.
    return Job.objects.filter(model=profile, user_id=_tester(), application_id=BY_API)


def _tester() -> int:
    tester: int = settings.DISCORD_APPLICATION_ID or 1
    return tester


def _new_job(profile: ModelProfile, guild: Guild, *, now: datetime) -> Job:
    width, height = (int(side) for side in profile.sizes[0].split("x"))
    work = work_of(
        kind=Job.Kind.TXT2IMG,
        sampler=profile.default_sampler,
        steps=profile.default_steps,
        strength=None,
        guidance=profile.default_guidance,
        width=width,
        height=height,
        count=1,
    )
    return Job(
        interaction_id=snowflakes.random_at(now),
        application_id=BY_API,
        guild=guild,
        channel_id=guild.pk,
        user_id=_tester(),
        member_name=f"Test of {profile.name}"[:100],
        reply_deadline=now + _PATIENCE,
        ephemeral=True,
        prompt=PROMPT,
        styled_prompt=PROMPT,
        seed=_SEED,
        steps=profile.default_steps,
        sampler=profile.default_sampler,
        width=width,
        height=height,
        guidance=profile.default_guidance,
        count=1,
        model=profile,
        status=Status.QUEUED,
        created_at=now,
        queued_at=now,
        message_sent_at=now,
        messages_sent=1,
        reserved_gpu_ms=gpu_ms_of(work, gpu_ms_per_step=profile.learned_gpu_ms_per_step or profile.gpu_ms_per_step),
    )
