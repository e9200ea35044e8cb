"""Example servers, members and a few weeks of requests, for screenshots and for trying the admin.

Rows are written directly; nothing is generated or sent. Images are drawn. The same seed gives the same rows.
"""

from __future__ import annotations

import colorsys
import io
import math
import random
from datetime import datetime, timedelta

from django.utils import timezone
from PIL import Image, ImageDraw, ImageFilter

from guilds import gpu_ledger
from guilds.models import (
    Ban,
    BlockedTerm,
    Channel,
    DirectoryState,
    Guild,
    GuildMember,
    MemberNote,
    ModelProfile,
    Platform,
    QuotaRule,
    Role,
    Staff,
    StylePreset,
    Usage,
)
from guilds.quota_clock import QuotaClock
from jobs import storage
from jobs.job_status import OPEN, Status
from jobs.models import Job, JobEvent, JobImage, Worker

GUILDS = {
    1100000000000000008: "Pixel Garden",
    1100000000000000016: "Night Owls",
    1100000000000000024: "Board Game Guild",
    1100000000000000032: "Retro Synth Club",
    1100000000000000040: "Mountain Hikers",
}
MEMBERS = ["Ada", "Bruno", "Chiyo", "Dagny", "Emeka", "Farah", "Gustav", "Hana"]
SUBJECTS = ["a lighthouse", "a red fox", "an old library", "a teapot", "a city in the rain", "a sailing boat",
            "a mountain lake", "a robot gardener", "a field of poppies", "a night train"]  # fmt: skip
MANNERS = ["at dusk", "in watercolor", "as a paper cut-out", "under a full moon", "in morning fog", "from above",
           "in the style of a woodcut", "made of stained glass"]  # fmt: skip
REFUSALS = ["quota_exceeded", "term_blocked", "too_many_waiting", "channel_not_allowed"]
FAILURES = ["worker_lost", "out_of_memory", "storage_unavailable"]
DRAWN = 60


def member_id(n: int) -> int:
    return 800_000_000_000_000_000 + n * 1_000


def draw_landscape(chance: random.Random, size: int = 512) -> bytes:
    """A landscape of a few shapes, as PNG."""
    hue = chance.random()

    def colour(shift: float, saturation: float, value: float) -> tuple[int, int, int]:
        red, green, blue = colorsys.hsv_to_rgb((hue + shift) % 1, saturation, value)
        return int(red * 255), int(green * 255), int(blue * 255)

    image = Image.new("RGB", (size, size))
    draw = ImageDraw.Draw(image)
    top, bottom = colour(0, 0.55, 0.35), colour(0.08, 0.35, 0.95)
    for y in range(size):
        share = y / size
        draw.line([(0, y), (size, y)], fill=tuple(int(a + (b - a) * share) for a, b in zip(top, bottom, strict=True)))
    radius = chance.randint(size // 14, size // 7)
    x, y = chance.randint(radius, size - radius), chance.randint(size // 8, size // 2)
    draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour(0.12, 0.25, 1))
    image = image.filter(ImageFilter.GaussianBlur(2))
    draw = ImageDraw.Draw(image)
    for layer in range(4):
        base = size * (0.5 + 0.12 * layer)
        waves = [(chance.uniform(1, 4), chance.uniform(0, 6.3), chance.uniform(0.02, 0.07) * size) for _ in range(3)]
        ridge = [
            (px, base + sum(height * math.sin(rate * px / size * 6.3 + phase) for rate, phase, height in waves))
            for px in range(0, size + 8, 8)
        ]
        draw.polygon([*ridge, (size, size), (0, size)], fill=colour(0.02 * layer, 0.5, 0.6 - 0.13 * layer))
    written = io.BytesIO()
    image.filter(ImageFilter.GaussianBlur(0.6)).save(written, "PNG")
    return written.getvalue()


def add_example_data(*, now: datetime | None = None, days: int = 30, seed: int = 7) -> list[Guild]:
    """Write the rows and return the guilds; the first is the busiest."""
    now = now or timezone.now()
    chance = random.Random(seed)
    guilds = [
        Guild.objects.create(pk=pk, name=name, installed_at=now - timedelta(days=120)) for pk, name in GUILDS.items()
    ]
    Platform.objects.update_or_create(pk=1, defaults={"monthly_budget": 60})
    standard = ModelProfile.objects.get(is_default=True)
    turbo = ModelProfile.objects.create(
        slug="turbo", name="Turbo (4 steps)", source="stabilityai/sd-turbo", default_steps=4, max_steps=8,
        default_guidance=1.0, default_sampler="lcm",
    )  # fmt: skip
    _directory(guilds, now=now)
    _settings(guilds, now=now)
    _workers(now=now)
    jobs = _jobs(guilds, [standard, standard, standard, turbo], chance, now=now, days=days)
    Job.objects.bulk_create(jobs, batch_size=1000)
    JobEvent.objects.bulk_create([event for job in jobs for event in _events(job)], batch_size=2000)
    _images([job for job in reversed(jobs) if job.status == Status.COMPLETED][:DRAWN], chance)
    _usage(guilds, jobs, now=now)
    return guilds


def _directory(guilds: list[Guild], *, now: datetime) -> None:
    """The names that Discord would tell: channels with their categories, roles and members."""
    for guild in guilds:
        Channel.objects.bulk_create(
            Channel(
                id=guild.pk + place, guild=guild, name=name, kind=kind, position=place, parent_id=parent, read_at=now
            )
            for place, name, kind, parent in [
                (5, "Community", 4, None),
                (1, "sparkle", 0, guild.pk + 5),
                (2, "general", 0, guild.pk + 5),
                (3, "mod-log", 0, None),
            ]
        )
        Role.objects.bulk_create(
            Role(id=guild.pk + 200 + place, guild=guild, name=name, position=3 - place)
            for place, name in enumerate(["Supporters", "Artists", "Newcomers"])
        )
        GuildMember.objects.bulk_create(
            GuildMember(guild=guild, user_id=member_id(n), name=name, read_at=now) for n, name in enumerate(MEMBERS)
        )
        DirectoryState.objects.create(guild=guild, read_at=now)


def _settings(guilds: list[Guild], *, now: datetime) -> None:
    garden, owls, *_ = guilds
    Guild.objects.filter(pk=garden.pk).update(
        monthly_budget_gpu_seconds=40_000,
        time_zone="Europe/Berlin",
        allowed_channel_ids=[garden.pk + 1, garden.pk + 5],
        mod_log_channel_id=garden.pk + 3,
        owner_id=member_id(0),
    )
    rule = QuotaRule.objects.create
    rule(guild=garden, subject="guild", metric="images", window="day", limit=400)
    rule(guild=garden, subject="member", metric="images", window="day", limit=60)
    rule(
        guild=garden,
        subject="role",
        role_id=1100000000000000208,
        role_name="Supporters",
        metric="images",
        window="day",
        limit=200,
    )
    rule(guild=owls, subject="guild", metric="images", window="day", limit=120)
    rule(guild=guilds[2], subject="guild", metric="gpu_seconds", window="month", limit=20_000)
    Staff.objects.create(guild=garden, user_id=member_id(0), role="owner", synced_at=now)
    Staff.objects.create(guild=owls, user_id=member_id(1), role="manager", synced_at=now)
    for phrase, hits in (("weapon of war", 3), ("celebrity", 12), ("gore", 7)):
        BlockedTerm.objects.create(guild=garden, phrase=phrase, hits=hits)
    BlockedTerm.objects.create(phrase="swastika", hits=2)
    StylePreset.objects.create(
        guild=garden, slug="botanical", name="Botanical plate", template="{prompt}, botanical plate, fine engraving"
    )
    MemberNote.objects.create(
        guild=garden,
        user_id=member_id(6),
        kind=MemberNote.Kind.WARNING,
        text="Please don't flood the channel",
        created_at=now - timedelta(days=2),
        created_by=f"discord-{member_id(0)}",
    )
    Ban.objects.create(
        guild=garden, user_id=member_id(6), reason="Flooding the line", until=now + timedelta(days=3), created_by="Ada"
    )


def _workers(*, now: datetime) -> None:
    make = Worker.objects.create
    common = {"model_id": "runwayml/stable-diffusion-v1-5", "device": "NVIDIA T4", "startup": {"total": 41.2}}
    make(id="i-0a51f3c7/9e1c", state="busy", started_at=now - timedelta(hours=9), seen_at=now, jobs_done=1841, **common)
    make(id="i-0c7e22b9/4d02", state="ready", started_at=now - timedelta(hours=2), seen_at=now, jobs_done=402, **common)
    began, gone = now - timedelta(hours=30), now - timedelta(minutes=6)
    make(id="i-07bb90de/1f7a", state="leaving", started_at=began, seen_at=gone, jobs_done=5210, **common)  # fmt: skip


def _jobs(
    guilds: list[Guild], models: list[ModelProfile], chance: random.Random, *, now: datetime, days: int
) -> list[Job]:
    jobs = []
    at = now - timedelta(days=days)
    number = 0
    while at < now - timedelta(seconds=30):
        number += 1
        daily = 0.55 + 0.45 * math.sin((at.hour - 9) / 24 * 2 * math.pi)
        at += timedelta(seconds=chance.expovariate(1) * 1500 / (0.25 + daily) * (0.6 if at.weekday() > 4 else 1))
        if at >= now - timedelta(seconds=30):
            break
        member = chance.randrange(len(MEMBERS))
        status = chance.choices(
            [Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED, Status.REFUSED], [88, 2, 3, 1, 6]
        )[0]
        job = _job(
            number,
            chance.choices(guilds, [8, 4, 3, 2, 1])[0],
            chance.choice(models),
            member,
            chance,
            at=at,
            status=status,
        )
        jobs.append(job)
    for position, status in enumerate([Status.RUNNING, Status.RUNNING, Status.QUEUED, Status.QUEUED, Status.WAITING]):
        number += 1
        jobs.append(
            _job(number, guilds[position % 2], models[0], position, chance,
                 at=now - timedelta(seconds=28 - 5 * position), status=status)
        )  # fmt: skip
    return jobs


def _job(
    number: int, guild: Guild, model: ModelProfile, member: int, chance: random.Random, *, at: datetime, status: Status
) -> Job:
    waited = timedelta(seconds=chance.lognormvariate(0.6, 1.1))
    steps = model.default_steps
    took = timedelta(seconds=steps * 4 * chance.uniform(0.2, 0.3))
    ended = status not in OPEN
    started = status in (Status.COMPLETED, Status.FAILED, Status.RUNNING)
    reason = {
        Status.REFUSED: chance.choice(REFUSALS),
        Status.FAILED: chance.choice(FAILURES),
        Status.EXPIRED: "waited_too_long",
        Status.CANCELLED: "cancelled_by_member",
    }.get(status, "")
    prompt = f"{chance.choice(SUBJECTS)} {chance.choice(MANNERS)}"
    done = status == Status.COMPLETED
    return Job(
        pk=number,
        interaction_id=1_300_000_000_000_000_000 + number,
        application_id=1,
        guild=guild,
        channel_id=guild.pk + 1,
        user_id=member_id(member),
        member_name=MEMBERS[member],
        reply_deadline=at + timedelta(minutes=15),
        prompt=prompt,
        styled_prompt=prompt,
        negative_prompt="blurry, text" if chance.random() < 0.3 else "",
        seed=chance.randrange(2**31),
        steps=steps,
        sampler=model.default_sampler,
        width=512,
        height=512,
        guidance=model.default_guidance,
        count=4,
        model=model,
        status=status,
        reason=reason,
        attempts=3 if status == Status.FAILED else int(started),
        worker_id="i-0a51f3c7/9e1c" if started else "",
        lease_expires_at=at + timedelta(minutes=5) if status == Status.RUNNING else None,
        progress_step=9 if status == Status.RUNNING else 0,
        progress_total=steps if status == Status.RUNNING else 0,
        created_at=at,
        queued_at=at if status != Status.WAITING else None,
        started_at=at + waited if started else None,
        images_stored_at=at + waited + took if done else None,
        ended_at=(at + waited + took if started else at + timedelta(seconds=chance.uniform(0, 40))) if ended else None,
        notified_at=at + waited + took if ended else None,
        gpu_ms=int(took.total_seconds() * 1000) if done else 0,
        reserved_gpu_ms=int(took.total_seconds() * 1000),
        delivered_via="original" if done else "",
        message_id=1_300_000_000_000_000_000 + number * 7 if done else None,
        settled_at=at + waited + took if ended else None,
    )


def _events(job: Job) -> list[JobEvent]:
    if job.status == Status.REFUSED:
        return [JobEvent(job=job, at=job.created_at, kind="refused", detail={"reason": job.reason})]
    events = [JobEvent(job=job, at=job.created_at, kind="waiting")]
    if job.queued_at:
        events.append(JobEvent(job=job, at=job.queued_at, kind="queued", old_status="waiting"))
    if job.started_at:
        events.append(
            JobEvent(job=job, at=job.started_at, kind="running", old_status="queued", detail={"worker": job.worker_id})
        )
    if job.images_stored_at:
        events.append(
            JobEvent(job=job, at=job.images_stored_at, kind="made", detail={"gpu_ms": job.gpu_ms, "count": job.count})
        )
    if job.ended_at:
        detail = {"reason": job.reason} if job.reason else {"delivered_via": "original"}
        events.append(JobEvent(job=job, at=job.ended_at, kind=job.status, old_status="running", detail=detail))
    return events


def _images(jobs: list[Job], chance: random.Random) -> None:
    images = []
    for place, job in enumerate(jobs):
        drawn = chance.randint(1, 10**6)
        for index in range(job.count):
            key = storage.image_key(job.guild_id, job.pk, index)
            content = draw_landscape(random.Random(drawn + index // 2 * 17), 256 if place > 8 else 512)
            storage.store(key, content)
            images.append(
                JobImage(
                    job=job, index=index, key=key, seed=job.seed + index, width=512, height=512, bytes=len(content),
                    created_at=job.images_stored_at or job.created_at, blurred=place == 5,
                    reported_at=job.ended_at if place in (2, 7) and index == 1 else None,
                    reported_by=member_id(3) if place in (2, 7) and index == 1 else None,
                    hidden_at=job.ended_at if place == 9 and index == 0 else None,
                )
            )  # fmt: skip
    JobImage.objects.bulk_create(images)
    Job.objects.filter(pk__in=[job.pk for job in jobs]).update(grid_key="example-grid")


def _usage(guilds: list[Guild], jobs: list[Job], *, now: datetime) -> None:
    counters: dict[tuple[int, int, str, datetime], list[int]] = {}
    zones = dict(Guild.objects.values_list("pk", "time_zone"))
    for guild in guilds:
        windows = QuotaClock(time_zone=zones[guild.pk], held={}).windows(now)
        for job in jobs:
            if job.guild_id != guild.pk or job.status != Status.COMPLETED:
                continue
            gpu_ledger.charge(guild.pk, job.gpu_ms, now=job.created_at)
            for window, open_ in windows.items():
                if job.created_at >= open_.start:
                    for subject in (0, job.user_id):
                        counter = counters.setdefault((guild.pk, subject, window, open_.start), [0, 0])
                        counter[0] += job.count
                        counter[1] += job.gpu_ms
    Usage.objects.bulk_create(
        Usage(guild_id=guild, subject_id=subject, window=window, starts_at=at, images=images, gpu_ms=gpu_ms)
        for (guild, subject, window, at), (images, gpu_ms) in counters.items()
    )
