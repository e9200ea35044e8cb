"""Export and erasure of one member's data, and erasure of one guild. Erasure includes files in storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core.files.storage import default_storage
from django.db.models import Q

from guilds import quota
from guilds.models import Ban, Guild, GuildMember, MemberNote, ModLogEntry, SettingChange, Staff, StylePreset, Usage
from guilds.prompt_models import MemberPreset
from guilds.pseudonyms import member_pseudonym

from . import job_erasure, queries, transitions
from .guild_lock import lock_guild
from .job_status import OPEN
from .models import ApiKey, Job, JobEvent, JobImage, MemberTurn

BATCH = 500
EVENTS_AT_ONCE = 200_000


def export_member(user_id: int) -> Iterator[dict[str, Any]]:
    """Yield everything stored about a member, one plain record at a time: snowflakes as text, times in ISO 8601.

    Left out is a request that the member deleted and that is kept only until a report on it is decided.
    """
    requests = queries.visible(Job.objects.filter(user_id=user_id)).order_by("pk").select_related("model")
    for job in requests.prefetch_related("images", "events").iterator(BATCH):
        yield _job_record(job) | {
            "images": [_image_record(image) for image in job.images.all()],
            "events": [_event_record(event, user_id) for event in job.events.all()],
        }
    subjects = [user_id, member_pseudonym(user_id)]
    for counter in Usage.objects.filter(subject_id__in=subjects).order_by("starts_at").iterator(BATCH):
        yield _usage_record(counter)
    for turn in MemberTurn.objects.filter(user_id=user_id):
        yield {"type": "turn", "guild_id": str(turn.guild_id), "served_at": turn.served_at.isoformat()}
    for preset in MemberPreset.objects.filter(user_id=user_id):
        yield {"type": "preset", "guild_id": str(preset.guild_id), **asdict(preset.options())}
    for image in JobImage.objects.filter(reported_by=user_id).order_by("pk"):
        yield {
            "type": "report",
            "request": image.job_id,
            "image": image.index,
            "at": _iso(image.reported_at),
            "reason": image.report_reason,
        }
    for guild in Guild.objects.filter(owner_id=user_id):
        yield {"type": "owner", "guild_id": str(guild.pk)}
    for ban in Ban.objects.filter(user_id=user_id):
        yield {"type": "ban", "guild_id": str(ban.guild_id or ""), "reason": ban.reason, "until": str(ban.until or "")}
    for change in SettingChange.objects.filter(user_id=user_id):
        yield {"type": "change of a setting", "guild_id": str(change.guild_id), "at": change.at.isoformat()}
    for note in MemberNote.objects.filter(user_id=user_id):
        at = note.created_at.isoformat()
        yield {"type": note.kind, "guild_id": str(note.guild_id), "text": note.text, "at": at}
    for named in GuildMember.objects.filter(user_id=user_id):
        yield {"type": "name", "guild_id": str(named.guild_id), "name": named.name, "avatar": named.avatar}
    for key in ApiKey.objects.filter(user_id=user_id):
        yield {"type": "API key", "guild_id": str(key.guild_id), "name": key.name, "webhook": key.webhook_url}
    for staff in Staff.objects.filter(user_id=user_id):
        yield {"type": "staff", "guild_id": str(staff.guild_id), "role": staff.role}


def _job_record(job: Job) -> dict[str, Any]:
    return {
        "type": "request",
        "id": job.pk,
        "guild_id": str(job.guild_id),
        "channel_id": str(job.channel_id),
        "name": job.member_name,
        "created_at": job.created_at.isoformat(),
        "started_at": _iso(job.started_at),
        "ended_at": _iso(job.ended_at),
        "language": job.locale,
        "status": job.status,
        "reason": job.reason,
        "detail": job.detail,
        "kind": job.kind,
        "prompt": job.prompt,
        "negative_prompt": job.negative_prompt,
        "style": job.style,
        "styled_prompt": job.styled_prompt,
        "loras": job.loras,
        "model": job.model.slug,
        "seed": job.seed,
        "steps": job.steps,
        "sampler": job.sampler,
        "size": f"{job.width}x{job.height}",
        "guidance": job.guidance,
        "strength": job.strength,
        "source": job.source_url or job.source_job_id,
        "painted_area": job.painted_area,
        "gpu_seconds": job.gpu_ms / 1000,
        "message_id": str(job.message_id or ""),
        "grid": job.grid_key,
    }


def _image_record(image: JobImage) -> dict[str, Any]:
    return {
        "index": image.index,
        "key": image.key,
        "seed": image.seed,
        "nsfw_score": image.nsfw_score,
        "blurred": image.blurred,
        "hidden_at": _iso(image.hidden_at),
        "reported_at": _iso(image.reported_at),
    }


def _event_record(event: JobEvent, user_id: int) -> dict[str, Any]:
    by_member = event.detail.get("by") in _actor_names(user_id)
    return {"at": event.at.isoformat(), "kind": event.kind, "by_you": by_member}


def _usage_record(counter: Usage) -> dict[str, Any]:
    return {
        "type": "usage",
        "guild_id": str(counter.guild_id),
        "window": counter.window,
        "starts_at": counter.starts_at.isoformat(),
        "images": counter.images,
        "gpu_seconds": counter.gpu_ms / 1000,
        "granted_images": counter.granted_images,
        "granted_gpu_seconds": counter.granted_gpu_ms / 1000,
    }


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _actor_names(user_id: int) -> tuple[str, str]:
    """Return the names under which events store a member as actor: from Discord and from the site."""
    return str(user_id), f"discord-{user_id}"


def erase_member(user_id: int, *, now: datetime) -> int:
    """Cancel and delete all data of a member: requests, images, counters, turns, presets, and their id elsewhere.

    Return how many requests were erased. Exceptions:
    - Counters of open windows stay under a keyed hash until the windows end: erasure must not reset a quota.
    - Bans in force stay: they contain a snowflake only and protect the guilds that set them.
    - A running request is requested to stop, and is erased by the next call.
    - A request with an open report stays, hidden, until a moderator decides.
    """
    for job_id in Job.objects.filter(user_id=user_id, status__in=OPEN).values_list("pk", flat=True):
        transitions.cancel(job_id, by=user_id, reason="erased", now=now)
    erased = _delete_jobs(now=now, user_id=user_id)
    _forget_counters(user_id, now=now)
    MemberTurn.objects.filter(user_id=user_id).delete()
    MemberPreset.objects.filter(user_id=user_id).delete()
    Staff.objects.filter(user_id=user_id).delete()
    GuildMember.objects.filter(user_id=user_id).delete()
    SettingChange.objects.filter(user_id=user_id).update(user_id=None)
    MemberNote.objects.filter(user_id=user_id).delete()
    MemberNote.objects.filter(created_by__in=_actor_names(user_id)).update(created_by="")
    ModLogEntry.objects.filter(Q(detail__user_id=user_id) | Q(detail__by__in=_actor_names(user_id))).delete()
    ApiKey.objects.filter(user_id=user_id).delete()
    Ban.objects.filter(user_id=user_id, until__lt=now).delete()
    Ban.objects.filter(created_by__in=_actor_names(user_id)).update(created_by="")
    JobImage.objects.filter(reported_by=user_id).update(reported_by=None, report_reason="")
    Guild.objects.filter(owner_id=user_id).update(owner_id=None)
    _forget_actor(user_id)
    return erased


def erase_guild(guild_id: int, *, now: datetime) -> int:
    """Delete a guild with all its data and files. Return how many requests it had.

    While a request is running the guild stays, disabled: call again afterwards.
    """
    Guild.objects.filter(pk=guild_id).update(enabled=False)
    for job_id in Job.objects.filter(guild_id=guild_id, status__in=OPEN).values_list("pk", flat=True):
        transitions.cancel(job_id, by=0, reason="erased", now=now)
    # Only operators erase a guild, which decides on its open reports.
    JobImage.objects.filter(job__guild_id=guild_id).update(reported_at=None, reported_by=None, report_reason="")
    erased = _delete_jobs(now=now, guild_id=guild_id)
    if not Job.objects.filter(guild_id=guild_id).exists():
        for name in StylePreset.objects.filter(guild_id=guild_id).exclude(preview="").values_list("preview", flat=True):
            default_storage.delete(name)
        Guild.objects.filter(pk=guild_id).delete()
    return erased


def _forget_counters(user_id: int, *, now: datetime) -> None:
    for guild_id in Usage.objects.filter(subject_id=user_id).values_list("guild_id", flat=True).distinct():
        with suppress(Guild.DoesNotExist), lock_guild(guild_id) as guild:
            kept = quota.forget_member(guild, user_id, now=now)
            # Jobs that end or are refunded later settle with the replacing counter.
            of_member = Job.objects.filter(guild=guild, user_id=user_id, usage_ids__overlap=list(kept))
            for job in of_member.only("usage_ids") if kept else ():
                moved = [kept.get(usage_id, usage_id) for usage_id in job.usage_ids]
                Job.objects.filter(pk=job.pk).update(usage_ids=moved)


def _forget_actor(user_id: int) -> None:
    """Remove a member's id from events on the requests of others."""
    newest = JobEvent.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    # In ranges of the key: there is no index on the actor, and one statement over all events would time out.
    for start in range(0, newest + 1, EVENTS_AT_ONCE):
        events = JobEvent.objects.filter(pk__gte=start, pk__lt=start + EVENTS_AT_ONCE)
        for event in events.filter(detail__by__in=_actor_names(user_id)):
            JobEvent.objects.filter(pk=event.pk).update(detail=event.detail | {"by": ""})


def _delete_jobs(*, now: datetime, **of: int) -> int:
    """Erase the ended jobs; return how many. Jobs with an open report are hidden, and erased after the decision."""
    erased = last = 0
    while True:
        remaining = Job.objects.filter(pk__gt=last, **of).exclude(status__in=OPEN).order_by("pk")
        ids = list(remaining.values_list("pk", flat=True)[:BATCH])
        if not ids:
            return erased
        for job_id in ids:
            job_erasure.erase(job_id, Job.Erasure.ROW, now=now)
        erased, last = erased + len(ids), ids[-1]
