"""Jobs, their images and events, workers, and counts of ended jobs."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector
from django.db import models
from django.db.models import Q
from django.utils import timezone

from guilds.bounded_fields import (
    BoundedArrayField,
    BoundedBigIntegerField,
    BoundedFloatField,
    BoundedIntegerField,
    BoundedSmallIntegerField,
    BoundedTextField,
    ChoiceField,
    SnowflakeField,
    bounded,
)
from guilds.generation_params import GenerationParams, seeds
from guilds.gpu_time_estimates import strength_of
from guilds.models import MAX_COUNT, MAX_STEPS, Guild, ModelProfile

from . import job_status
from .api_models import ApiKey, ApiRequest  # noqa: F401  # Django finds an app's models here
from .job_status import Status

MAX_SEED = 2**33
MAX_PIXELS = 16_384
MAX_INTEGER = 2**31 - 1
MAX_SMALL_INTEGER = 2**15 - 1
# A prompt, and what a style adds to it.
MAX_PROMPT = 6000
MAX_STYLED_PROMPT = 8000
# What a member writes with a report.
MAX_REASON = 300
# The `application_id` of requests by the HTTP API, which have no interaction and no message on Discord.
BY_API = 0


class JobManager(models.Manager["Job"]):
    def move(
        self,
        job_id: int,
        old: Status,
        new: Status,
        *,
        at: datetime,
        event: dict[str, Any] | None = None,
        where: Q | None = None,
        **fields: Any,
    ) -> bool:
        """Move the job from `old` to `new` by compare-and-set and write an event. False if it is not `old` any more.

        `where` adds conditions, such as the lease's worker; `event` is the event's detail. Call it in a transaction.
        Raises lifecycle.IllegalMove for a move that the transition table does not have.
        """
        job_status.check(old, new)
        rows = self.filter(pk=job_id, status=old)
        if where is not None:
            rows = rows.filter(where)
        if not rows.update(status=new, **fields):
            return False
        JobEvent.objects.create(job_id=job_id, at=at, kind=new, old_status=old, detail=event or {})
        return True


@bounded
class Job(models.Model):
    """One request with its parameters, status, delivery and reserved quota."""

    class Kind(models.TextChoices):
        TXT2IMG = "txt2img", "Text to image"
        IMG2IMG = "img2img", "Image to image"
        VARIATION = "variation", "Variation"
        UPSCALE = "upscale", "Enlarged"

    class Via(models.TextChoices):
        ORIGINAL = "original", "The reply itself"
        CHANNEL = "channel", "A post in the channel"
        DM = "dm", "A direct message"
        GALLERY = "gallery", "The gallery only"

    class Erasure(models.TextChoices):
        IMAGES = "images", "Its images"
        WORDS = "words", "Its images and words"
        ROW = "row", "All of it"

    # Requester, channel and response.
    interaction_id = SnowflakeField(unique=True, help_text="Discord's interaction id; makes submission idempotent.")
    application_id = SnowflakeField(low=0)
    guild = models.ForeignKey(
        Guild, verbose_name="server", on_delete=models.CASCADE, related_name="jobs", db_index=False
    )
    channel_id = SnowflakeField()
    parent_channel_id = SnowflakeField(null=True, blank=True, help_text="The thread's parent channel, or the category.")
    category_id = SnowflakeField(null=True, blank=True, help_text="The category of the thread's parent channel.")
    channel_nsfw = models.BooleanField(null=True, blank=True, help_text="Age-restricted; empty if unknown.")
    user_id = SnowflakeField()
    member_name = models.CharField(max_length=100, blank=True)
    locale = models.CharField(max_length=8, default="en-US")
    encrypted_token = models.BinaryField(default=bytes, editable=False)
    reply_deadline = models.DateTimeField()
    pressed_message_id = SnowflakeField(
        null=True, blank=True, help_text="The message whose button or menu made this request."
    )
    attachment_size_limit = BoundedIntegerField(default=10 * 1024 * 1024, low=0, high=MAX_INTEGER)
    ephemeral = models.BooleanField(default=False)

    # Parameters.
    kind = ChoiceField(max_length=10, choices=Kind.choices, default=Kind.TXT2IMG)
    source_job = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )
    source_index = BoundedSmallIntegerField(null=True, blank=True, low=0, high=15)
    source_url = models.CharField(max_length=2000, blank=True)
    painted_area = models.CharField(
        max_length=200, blank=True, default="", db_default="", help_text="The part of the source image that is painted."
    )
    prompt = BoundedTextField(max_length=MAX_PROMPT)
    negative_prompt = BoundedTextField(blank=True, max_length=MAX_STYLED_PROMPT)
    style = models.CharField(max_length=40, blank=True)
    styled_prompt = BoundedTextField(
        blank=True, max_length=MAX_STYLED_PROMPT, help_text="The prompt with its style, as the pipeline gets it."
    )
    loras = models.CharField(
        "LoRAs", max_length=300, blank=True, default="", db_default="", help_text="Slugs with weights."
    )
    seed = BoundedBigIntegerField(low=0, high=MAX_SEED)
    steps = BoundedSmallIntegerField(low=0, high=MAX_STEPS)
    sampler = models.CharField(max_length=40)
    width = BoundedSmallIntegerField(low=0, high=MAX_PIXELS)
    height = BoundedSmallIntegerField(low=0, high=MAX_PIXELS)
    guidance = BoundedFloatField(low=0, high=30)
    count = BoundedSmallIntegerField(low=0, high=16)
    strength = BoundedFloatField(null=True, blank=True, low=0, high=1)
    model = models.ForeignKey(ModelProfile, on_delete=models.PROTECT, related_name="+", db_index=False)
    spoiler = models.BooleanField(default=False)

    # Status.
    status = ChoiceField(max_length=10, choices=Status.choices, default=Status.WAITING)
    reason = models.CharField(max_length=40, blank=True, help_text="A stable code for the reason of the end.")
    detail = models.CharField(max_length=500, blank=True, help_text="For moderators; never a prompt or a token.")
    attempts = BoundedSmallIntegerField(default=0, low=0, high=MAX_SMALL_INTEGER)
    messages_sent = BoundedSmallIntegerField(
        default=0, low=0, high=MAX_SMALL_INTEGER, help_text="Queue messages sent so far."
    )
    message_sent_at = models.DateTimeField(
        null=True, blank=True, help_text="Time of the last queue message; empty if sending failed."
    )
    worker_id = models.CharField(max_length=100, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    progress_step = BoundedSmallIntegerField(default=0, low=0, high=MAX_SMALL_INTEGER)
    progress_total = BoundedSmallIntegerField(default=0, low=0, high=MAX_SMALL_INTEGER)
    created_at = models.DateTimeField()
    due_at = models.DateTimeField(
        null=True, blank=True, help_text="Only of a relaxed request: when it starts a GPU at the latest."
    )
    queued_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    images_stored_at = models.DateTimeField(null=True, blank=True, help_text="When its images were stored.")
    ended_at = models.DateTimeField(null=True, blank=True)
    gpu_ms = BoundedBigIntegerField(default=0, low=0, high=MAX_COUNT)
    grid_key = models.CharField(max_length=200, blank=True)
    erasure = ChoiceField(
        max_length=6, choices=Erasure.choices, blank=True, help_text="What to erase once no report on it is open."
    )

    # Delivery.
    delivered_via = ChoiceField(max_length=8, choices=Via.choices, blank=True)
    message_id = SnowflakeField(null=True, blank=True)
    notified_at = models.DateTimeField(null=True, blank=True, help_text="When the requester got the final message.")
    notify_after = models.DateTimeField(null=True, blank=True, help_text="Upkeep tries the delivery again after this.")
    refunded_at = models.DateTimeField(null=True, blank=True, help_text="When a moderator refunded it.")

    # Reserved quota, until it is settled.
    reserved_images = BoundedSmallIntegerField(default=0, low=0, high=16)
    reserved_gpu_ms = BoundedBigIntegerField(default=0, low=0, high=MAX_COUNT)
    usage_ids = BoundedArrayField(SnowflakeField(), default=list, max_items=16)
    settled_at = models.DateTimeField(null=True, blank=True)

    objects = JobManager()

    class Meta:
        verbose_name = "request"
        indexes = [
            # A guild's open jobs.
            models.Index(
                fields=["guild", "status", "user_id", "id"],
                condition=Q(status__in=["waiting", "queued", "running"]),
                name="job_open_by_guild",
            ),
            models.Index(
                # `created_at` is for upkeep: a waiting job has no `queued_at`.
                fields=["status", "queued_at", "created_at"],
                condition=Q(status__in=["waiting", "queued", "running"]),
                name="job_open",
            ),
            models.Index(fields=["guild", "user_id", "-id"], name="job_by_member"),
            models.Index(fields=["user_id", "-id"], name="job_by_user"),
            models.Index(fields=["guild", "-id"], name="job_by_guild"),
            models.Index(fields=["guild", "status", "-id"], name="job_by_guild_status"),
            models.Index(fields=["status", "-id"], name="job_by_status"),
            models.Index(fields=["created_at"], name="job_created_at"),
            models.Index(fields=["source_job"], condition=Q(source_job__isnull=False), name="job_source"),
            # Jobs with the same mask.
            models.Index(fields=["painted_area"], condition=~Q(painted_area=""), name="job_painted_area"),
            models.Index(fields=["reply_deadline"], condition=~Q(encrypted_token=b""), name="job_holds_token"),
            # The admin's filters and search, newest first.
            models.Index(fields=["reason", "-id"], condition=~Q(reason=""), name="job_by_reason"),
            models.Index(fields=["model", "-id"], name="job_by_model"),
            models.Index(fields=["ended_at"], condition=Q(ended_at__isnull=False), name="job_ended_at"),
            models.Index(fields=["id"], condition=~Q(erasure=""), name="job_to_erase"),
            GinIndex(SearchVector("prompt", "member_name", config="simple"), name="job_words"),
            models.Index(
                fields=["ended_at"], condition=Q(notified_at__isnull=True, ended_at__isnull=False), name="job_untold"
            ),
            # Jobs to purge after the guild's retention.
            models.Index(fields=["guild", "created_at"], condition=~Q(prompt=""), name="job_holds_words"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"

    @property
    def by_api(self) -> bool:
        """Whether the request came by the HTTP API: its result is fetched, not posted."""
        return self.application_id == BY_API

    @property
    def token(self) -> str:
        """The interaction token, or "" once it is deleted."""
        from .token_encryption import decrypt

        return decrypt(bytes(self.encrypted_token)) if self.encrypted_token else ""

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the images: seed, seed+1, ..."""
        return seeds(self.seed, self.count)

    @property
    def params(self) -> GenerationParams:
        """What its images are generated from."""
        columns = {field.name: getattr(self, field.name) for field in dataclasses.fields(GenerationParams)}
        filled = {
            "prompt": self.styled_prompt or self.prompt,
            "strength": strength_of(self.kind, self.strength),
        }
        return GenerationParams(**columns | filled)


@bounded
class JobImage(models.Model):
    """One image of a job, in storage under `key`."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="images", db_index=False)
    index = BoundedSmallIntegerField(low=0, high=15)
    key = models.CharField(max_length=200)
    seed = BoundedBigIntegerField(low=0, high=MAX_SEED)
    width = BoundedSmallIntegerField(low=0, high=MAX_PIXELS)
    height = BoundedSmallIntegerField(low=0, high=MAX_PIXELS)
    bytes = BoundedIntegerField(default=0, low=0, high=MAX_INTEGER)
    nsfw_score = BoundedFloatField(null=True, blank=True, low=0, high=1)
    blurred = models.BooleanField(default=False)
    hidden_at = models.DateTimeField(null=True, blank=True)
    reported_at = models.DateTimeField(null=True, blank=True)
    reported_by = SnowflakeField(null=True, blank=True)
    report_reason = models.CharField(
        max_length=MAX_REASON, blank=True, default="", db_default="", help_text="In the words of the reporter."
    )
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["index"]
        verbose_name = "image"
        constraints = [models.UniqueConstraint(fields=["job", "index"], name="job_image_once")]
        indexes = [
            models.Index(fields=["reported_at"], condition=Q(reported_at__isnull=False), name="job_image_reported")
        ]

    def __str__(self) -> str:
        return f"#{self.job_id} image {self.index + 1}"


@bounded
class JobEvent(models.Model):
    """Append-only: status changes, and other actions on a job."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField()
    kind = models.CharField(max_length=24)
    old_status = models.CharField(max_length=10, blank=True)
    detail = models.JSONField(default=dict)

    class Meta:
        ordering = ["id"]
        verbose_name = "event"

    def __str__(self) -> str:
        return f"#{self.job_id} {self.kind}"


@bounded
class MemberTurn(models.Model):
    """When a member of a guild last had a turn: the member served longest ago goes first."""

    guild = models.ForeignKey(Guild, on_delete=models.CASCADE, db_index=False)
    user_id = SnowflakeField()
    served_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["guild", "user_id"], name="turn_once")]

    def __str__(self) -> str:
        return f"{self.guild_id}/{self.user_id}"


@bounded
class ClosedRoute(models.Model):
    """A channel or user that refused the bot's messages: nothing is sent there until `closed_until`."""

    class Kind(models.TextChoices):
        CHANNEL = "channel", "Channel"
        USER = "user", "Direct messages"

    kind = ChoiceField(max_length=8, choices=Kind.choices)
    target_id = SnowflakeField(help_text="The channel's or the user's snowflake.")
    code = BoundedIntegerField(default=0, low=0, high=MAX_INTEGER, help_text="Discord's error code.")
    closed_until = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "target_id"], name="closed_route_once")]
        indexes = [models.Index(fields=["closed_until"], name="closed_route_until")]

    def __str__(self) -> str:
        return f"{self.kind} {self.target_id}: {self.code}"


@bounded
class Worker(models.Model):
    """A GPU worker, as of its last report."""

    class State(models.TextChoices):
        STARTING = "starting", "Starting"
        READY = "ready", "Ready"
        BUSY = "busy", "Busy"
        LEAVING = "leaving", "Leaving"

    id = models.CharField(primary_key=True, max_length=100)
    model_id = models.CharField(max_length=300, blank=True)
    device = models.CharField(max_length=100, blank=True)
    state = ChoiceField(max_length=8, choices=State.choices, default=State.STARTING)
    started_at = models.DateTimeField(default=timezone.now)
    seen_at = models.DateTimeField(default=timezone.now)
    startup = models.JSONField(default=dict, help_text="Seconds for each stage of the start.")
    jobs_done = BoundedBigIntegerField(default=0, low=0, high=MAX_COUNT)

    class Meta:
        indexes = [models.Index(fields=["seen_at"], name="worker_seen_at")]

    def __str__(self) -> str:
        return self.id


@bounded
class JobRollup(models.Model):
    """Counts of ended requests for charts: of all guilds by hour, of each guild by UTC day."""

    guild = models.ForeignKey(Guild, null=True, on_delete=models.CASCADE, db_index=False)
    starts_at = models.DateTimeField()
    status = ChoiceField(max_length=10, choices=Status.choices)
    reason = models.CharField(max_length=40, blank=True)
    jobs = BoundedBigIntegerField(low=0, high=MAX_COUNT)
    images = BoundedBigIntegerField(low=0, high=MAX_COUNT)
    gpu_ms = BoundedBigIntegerField(low=0, high=10 * MAX_COUNT)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["guild", "starts_at", "status", "reason"], nulls_distinct=False, name="rollup_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d %H}h {self.status} {self.jobs}"


@bounded
class LatencyBucket(models.Model):
    """How many completed requests of an hour fall into a latency bucket (bounds: jobs.rollups)."""

    class Kind(models.TextChoices):
        WAIT = "wait", "Until it started"
        TOTAL = "total", "Until it was there"

    starts_at = models.DateTimeField()
    kind = ChoiceField(max_length=5, choices=Kind.choices)
    bucket = BoundedSmallIntegerField(low=0, high=1000)
    jobs = BoundedBigIntegerField(low=0, high=MAX_COUNT)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["starts_at", "kind", "bucket"], name="latency_once")]

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d %H}h {self.kind} {self.bucket}: {self.jobs}"


@bounded
class RollupCursor(models.Model):
    """The one row that says until when ended requests are counted. Its lock prevents concurrent counts."""

    id = BoundedSmallIntegerField(primary_key=True, default=1, low=1, high=1)
    counted_to = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"counted to {self.counted_to}"
