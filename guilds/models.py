"""Guilds, their settings, quotas, bans and terms. Users are snowflakes, so headless runtimes need no auth app."""

from __future__ import annotations

import zoneinfo
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone

from discord_api import snowflakes

from . import (
    generation_limits,
    lora_selection,
    prompt_models,  # noqa: F401  # registers its models
)
from .adapter_models import Adapter
from .bounded_fields import (
    MAX_SNOWFLAKE,
    BoundedArrayField,
    BoundedBigIntegerField,
    BoundedDateTimeField,
    BoundedDecimalField,
    BoundedFloatField,
    BoundedIntegerField,
    BoundedSmallIntegerField,
    ChoiceField,
    PatternField,
    SnowflakeField,
    bounded,
)
from .directory_models import DirectoryState, GuildMember, Role
from .image_uploads import OwnsPreview
from .model_families import DEFAULT_FAMILY, FAMILIES
from .moderation_models import MemberNote, ModLogEntry
from .samplers import SAMPLERS
from .setting_change_models import SettingChange

__all__ = ["DirectoryState", "GuildMember", "MemberNote", "ModLogEntry", "Role", "SettingChange"]

LANGUAGES = [
    ("", "Each member's own"),
    ("en-US", "English"),
    ("de", "Deutsch"),
    ("fr", "Français"),
    ("es-ES", "Español"),
    ("ja", "日本語"),
    ("pt-BR", "Português do Brasil"),
    ("zh-CN", "中文"),
]


MAX_SIDE = 4096
SIZE_PATTERN = "[1-9][0-9]{1,3}x[1-9][0-9]{1,3}"
# The bound of any counter, so that sums of many fit into 64 bits.
MAX_COUNT = 10**15
MAX_LIMIT = 10**9
# Discord's limits for one guild.
MAX_CHANNELS = 500
MAX_ROLES = 250
MAX_STEPS = 150
MAX_PATIENCE_HOURS = 24
MAX_COOLDOWN_S = 86_400
FIRST_DAY = snowflakes.EPOCH
LAST_DAY = datetime(2100, 1, 1, tzinfo=UTC)


def validate_time_zone(name: str) -> None:
    """Raise ValidationError unless `name` is an IANA time zone."""
    if name not in zoneinfo.available_timezones():
        raise ValidationError("%(name)s is not a time zone; write it like Europe/Berlin.", params={"name": name})


def validate_size(size: str) -> None:
    """Raise ValidationError unless a model can make images of `size`."""
    if wrong := generation_limits.wrong_size(size):
        raise ValidationError(wrong)


def validate_lora_family(family: str) -> None:
    """Raise ValidationError unless `family` is a code of guilds.lora_selection.FAMILIES."""
    if family not in lora_selection.FAMILIES:
        raise ValidationError("Write one of: %(known)s.", params={"known": ", ".join(lora_selection.FAMILIES)})


def validate_feature(code: str) -> None:
    """Raise ValidationError unless `code` can name a feature of this or a newer version."""
    if not (code.isascii() and code.isalpha() and code.islower()):
        raise ValidationError("%(code)s is no feature.", params={"code": code})


def _by_field(wrong: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    messages: dict[str, list[str]] = {}
    for field, message in wrong:
        messages.setdefault(field, []).append(message)
    return messages


def default_sizes() -> list[str]:
    return ["512x512"]


@bounded
class Platform(models.Model):
    """The operators' settings of the whole deployment, in one row."""

    id = BoundedSmallIntegerField(primary_key=True, default=1, editable=False, low=1, high=1)
    maintenance = models.BooleanField(default=False, help_text="Refuse every new request in all servers.")
    draining = models.BooleanField(default=False, help_text="New requests queue; workers don't start them.")
    notice = models.CharField(max_length=200, blank=True, help_text="Shown with the refusal and above the admin.")
    price_per_gpu_hour = BoundedDecimalField(
        max_digits=8,
        decimal_places=4,
        default="0.5260",
        low=0,
        high=9999,
        help_text="US dollars; g4dn.xlarge on demand by default.",
    )
    monthly_budget = BoundedDecimalField(
        max_digits=10,
        decimal_places=2,
        low=0,
        high=99_999_999,
        null=True,
        blank=True,
        help_text="US dollars of GPU time per month, for the dashboard. Empty: no budget.",
    )

    class Meta:
        verbose_name = "platform settings"
        verbose_name_plural = "platform settings"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="platform_is_one_row")]

    def __str__(self) -> str:
        return "Platform"


@bounded
class ModelProfile(OwnsPreview):
    """A pipeline that workers can load, with its settings."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=80)
    source = models.CharField(
        max_length=300, blank=True, help_text="Hugging Face id or folder; empty means the deployment's MODEL_ID."
    )
    family = ChoiceField(
        max_length=40,
        default=DEFAULT_FAMILY,
        db_default=DEFAULT_FAMILY,
        choices=[(family.slug, family.label) for family in FAMILIES.values()],
        help_text="Decides which samplers and options members can choose.",
    )
    enabled = models.BooleanField(default=True)
    is_default = models.BooleanField(default=False)
    default_steps = BoundedSmallIntegerField(default=16, low=1, high=MAX_STEPS)
    max_steps = BoundedSmallIntegerField(default=50, low=1, high=MAX_STEPS)
    default_guidance = BoundedFloatField(default=7.5, low=0, high=30)
    default_sampler = ChoiceField(
        max_length=40,
        default="k_lms",
        choices=[(name, sampler.label) for name, sampler in SAMPLERS.items()],
    )
    sizes = BoundedArrayField(
        PatternField(max_length=9, pattern=SIZE_PATTERN, validators=[validate_size]),
        default=default_sizes,
        max_items=50,
    )
    lora_family = models.CharField(
        "LoRA family",
        max_length=16,
        blank=True,
        default="",
        db_default="",
        validators=[validate_lora_family],
        help_text="The LoRAs that fit this model. Empty: the worker tries each.",
    )
    step_cache = ChoiceField(
        max_length=16, blank=True, choices=[("", "None"), ("deepcache", "DeepCache (lossy)")], default=""
    )
    quantization = ChoiceField(
        max_length=16,
        blank=True,
        choices=[
            ("", "None: the weights as published"),
            ("int8-encoders", "int8 text encoders"),
            ("int8", "int8 text encoders and model"),
        ],
        default="",
        db_default="",
        help_text="Smaller weights for a GPU that could not hold the model. Images change a little.",
    )
    gpu_ms_per_step = BoundedFloatField(
        default=250.0,
        low=0.001,
        high=600_000,
        help_text="GPU milliseconds per image and step, until enough jobs were measured.",
    )
    learned_gpu_ms_per_step = BoundedFloatField(null=True, blank=True, editable=False, low=0.001, high=10_000_000)

    class Meta:
        verbose_name = "model"
        constraints = [
            models.UniqueConstraint(
                fields=["is_default"],
                condition=Q(is_default=True),
                name="one_default_model",
                violation_error_message="Another model is the default: take that from it first.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if None in (self.default_steps, self.max_steps, self.sizes):
            return  # The fields report their own errors.
        wrong = generation_limits.wrong_in_model(
            family=self.family,
            sampler=self.default_sampler,
            default_steps=self.default_steps,
            max_steps=self.max_steps,
            sizes=self.sizes,
        )
        if errors := _by_field(wrong):
            raise ValidationError(errors)

    def bounds(self) -> generation_limits.ModelLimits:
        """Return the limits for a guild that offers this model."""
        return generation_limits.ModelLimits(name=self.name, max_steps=self.max_steps, sizes=self.sizes)


@bounded
class Guild(models.Model):
    """A Discord server with its settings. The lock of its row orders its queue and counters (jobs.guild_lock)."""

    class Nsfw(models.TextChoices):
        NEVER = "never", "Never"
        AGE_RESTRICTED = "age_restricted", "Only in age-restricted channels"
        SPOILER = "spoiler", "Anywhere, as a spoiler"

    class Speed(models.TextChoices):
        PROMPT = "prompt", "Prompt: a GPU starts for it"
        RELAXED = "relaxed", "Relaxed: it waits for a GPU that runs anyway"

    class OutputCheck(models.TextChoices):
        OFF = "off", "Off"
        BLUR = "blur", "Post what it finds as a spoiler"
        BLOCK = "block", "Do not post what it finds"

    class ResultLayout(models.TextChoices):
        GRID = "grid", "One grid; single images on demand"
        ATTACHMENTS = "attachments", "Single images"
        GALLERY = "gallery", "A gallery of single images"

    id = SnowflakeField(primary_key=True, help_text="Discord's snowflake of the server.")
    name = models.CharField(max_length=100, blank=True)
    icon = models.CharField(max_length=64, blank=True, help_text="Discord's icon hash.")
    owner_id = SnowflakeField(null=True, blank=True)
    installed_at = models.DateTimeField(default=timezone.now)
    left_at = models.DateTimeField(null=True, blank=True)
    welcomed_at = models.DateTimeField(null=True, blank=True, editable=False)

    enabled = models.BooleanField(default=True, help_text="Turn off to refuse every request in this server.")
    allowed_channel_ids = BoundedArrayField(
        SnowflakeField(), default=list, blank=True, max_items=MAX_CHANNELS, help_text="Empty: every channel."
    )
    allowed_role_ids = BoundedArrayField(
        SnowflakeField(), default=list, blank=True, max_items=MAX_ROLES, help_text="Empty: everyone."
    )
    concurrency = BoundedSmallIntegerField(
        default=8,
        low=1,
        high=64,
        help_text="How many requests of this server run or are queued at the same time.",
    )
    max_waiting = BoundedIntegerField(
        default=200, low=0, high=10_000, help_text="How many requests of this server may wait."
    )
    max_waiting_per_member = BoundedIntegerField(
        default=10, low=0, high=10_000, help_text="How many requests of one member may wait."
    )
    cooldown_s = BoundedIntegerField(
        "cool-down (seconds)",
        default=0,
        db_default=0,
        low=0,
        high=MAX_COOLDOWN_S,
        help_text="Seconds between two requests of a member. 0: no cool-down.",
    )
    switched_off = BoundedArrayField(
        PatternField(max_length=16, pattern="[a-z]{1,16}", validators=[validate_feature]),
        default=list,
        db_default=[],
        blank=True,
        max_items=50,
        help_text="Commands, options and buttons that members cannot use (guilds.features).",
    )
    default_speed = ChoiceField(
        max_length=8, choices=Speed.choices, default=Speed.PROMPT, db_default=Speed.PROMPT.value
    )
    relaxed_patience_hours = BoundedSmallIntegerField(
        default=6,
        db_default=6,
        low=1,
        high=MAX_PATIENCE_HOURS,
        help_text="Hours after which a relaxed request starts a GPU.",
    )
    relaxed_over_quota = models.BooleanField(
        default=False,
        db_default=False,
        help_text="A request above a member's or the server's quota becomes relaxed instead of being refused.",
    )
    default_steps = BoundedSmallIntegerField(
        null=True, blank=True, low=1, high=MAX_STEPS, help_text="Empty: the model's own."
    )
    max_steps = BoundedSmallIntegerField(default=50, low=1, high=MAX_STEPS)
    allowed_sizes = BoundedArrayField(
        PatternField(max_length=9, pattern=SIZE_PATTERN, validators=[validate_size]),
        max_items=50,
        default=list,
        blank=True,
        help_text="Empty: every size of the model.",
    )
    max_images = BoundedSmallIntegerField(default=4, low=1, high=4, help_text="Images in one request.")
    models_offered = models.ManyToManyField(ModelProfile, blank=True, help_text="Empty: every enabled model.")
    loras_offered = models.ManyToManyField(Adapter, blank=True, help_text="LoRAs that members may choose. Empty: none.")
    default_negative_prompt = models.CharField(max_length=1000, blank=True)
    nsfw_rule = ChoiceField(max_length=16, choices=Nsfw.choices, default=Nsfw.NEVER)
    find_spaced_letters = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Blocked terms are also found if spaces or dots separate their letters, such as n u d e.",
    )
    output_check = ChoiceField(max_length=8, choices=OutputCheck.choices, default=OutputCheck.OFF)
    results_ephemeral = models.BooleanField(default=False, help_text="Only the requester sees the images.")
    result_layout = ChoiceField(
        max_length=12,
        choices=ResultLayout.choices,
        default=ResultLayout.GRID,
        db_default=ResultLayout.GRID,
        help_text="How the images of a request are posted.",
    )
    previews = models.BooleanField(default=False, help_text="Show a small preview halfway through.")
    language = ChoiceField(max_length=8, blank=True, choices=LANGUAGES, default="")
    time_zone = PatternField(
        max_length=64, default="UTC", pattern="[A-Za-z][A-Za-z0-9_+/-]*", validators=[validate_time_zone]
    )
    quota_clock = models.JSONField(default=dict, blank=True, editable=False)
    monthly_budget_gpu_seconds = BoundedIntegerField(
        null=True,
        blank=True,
        low=0,
        high=MAX_LIMIT,
        help_text="New requests are refused once the month has used this much. Empty: no budget.",
    )
    budget_warning_percent = BoundedSmallIntegerField(default=80, low=1, high=100)
    retention_days = BoundedIntegerField(
        default=90, low=1, high=3650, help_text="Days until images and prompts are deleted."
    )

    mod_log_channel_id = SnowflakeField(
        null=True, blank=True, help_text="Reports, removals, warnings, bans and reached limits are posted here."
    )

    set_up_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="When the set-up was finished.")

    class Meta:
        ordering = ["name", "id"]
        verbose_name = "server"

    def __str__(self) -> str:
        return self.name or str(self.id)

    def clean(self) -> None:
        if self.max_steps is None or self.allowed_sizes is None:
            return  # The fields report their own errors.
        wrong = generation_limits.wrong_in_guild(
            default_steps=self.default_steps, max_steps=self.max_steps, allowed_sizes=self.allowed_sizes, models=()
        )
        if errors := _by_field(wrong):
            raise ValidationError(errors)

    def local(self, at: datetime) -> datetime:
        """Return `at` in the guild's time zone, or in UTC if the zone no longer exists."""
        try:
            return at.astimezone(zoneinfo.ZoneInfo(self.time_zone))
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            return at.astimezone(UTC)


@bounded
class RegisteredCommand(models.Model):
    """A global command with its id on Discord (guilds.command_ids)."""

    id = SnowflakeField(primary_key=True)
    name = models.CharField(max_length=32, unique=True)

    def __str__(self) -> str:
        return self.name


@bounded
class Channel(models.Model):
    """A channel as Discord described it at `read_at`.

    Requests in threads need the parent (guilds.channels), pages the name (guilds.directory).
    """

    id = SnowflakeField(primary_key=True)
    guild = models.ForeignKey(Guild, verbose_name="server", on_delete=models.CASCADE)
    parent_id = SnowflakeField(null=True, help_text="A thread's channel, or a channel's category.")
    is_thread = models.BooleanField(default=False)
    nsfw = models.BooleanField(default=False)
    name = models.CharField(max_length=100, default="", db_default="")
    kind = BoundedSmallIntegerField(null=True, low=0, high=32767, help_text="Discord's channel type.")
    position = BoundedIntegerField(null=True, low=0, high=10_000)
    gone_at = models.DateTimeField(null=True, help_text="When Discord no longer listed it.")
    read_at = models.DateTimeField(null=True)
    fetch_requested_at = models.DateTimeField(
        null=True, help_text="When a request lacked it; empty once it is fetched."
    )

    class Meta:
        indexes = [
            models.Index(
                fields=["fetch_requested_at"],
                condition=Q(fetch_requested_at__isnull=False),
                name="channel_fetch_requested",
            )
        ]

    def __str__(self) -> str:
        return self.name or str(self.id)


@bounded
class StylePreset(OwnsPreview):
    """Text around a prompt: `{prompt}` is replaced by the member's prompt."""

    guild = models.ForeignKey(
        Guild, verbose_name="server", null=True, blank=True, on_delete=models.CASCADE, help_text="Empty: every server."
    )
    slug = models.SlugField(max_length=40)
    name = models.CharField(max_length=80)
    template = models.CharField(max_length=500, default="{prompt}")
    negative_prompt = models.CharField(max_length=500, blank=True)
    loras = models.CharField(
        "LoRAs",
        max_length=lora_selection.MAX_TEXT,
        blank=True,
        default="",
        db_default="",
        help_text="LoRAs that the style applies, such as night:0.8, sketch.",
    )
    enabled = models.BooleanField(default=True)

    class Meta:
        ordering = ["name"]
        verbose_name = "style"
        constraints = [
            models.UniqueConstraint(
                fields=["guild", "slug"],
                nulls_distinct=False,
                name="style_slug_once_per_guild",
                violation_error_message="This server has a style of this slug.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.slug = (self.slug or "").lower()
        if self.template.count("{prompt}") != 1:
            raise ValidationError({"template": "Write {prompt} exactly once, where the member's words go."})
        self._check_loras()

    def _check_loras(self) -> None:
        choices = lora_selection.parse(self.loras)
        if choices is None or len(choices) > lora_selection.MAX_LORAS:
            raise ValidationError({"loras": f"Write at most {lora_selection.MAX_LORAS} LoRAs like night:0.8, sketch."})
        usable = Adapter.objects.filter(enabled=True)
        if self.guild_id is not None:
            usable = usable.usable_in([self.guild_id])
        limits = dict(usable.values_list("slug", "max_weight"))
        for choice in choices:
            if choice.name not in limits:
                raise ValidationError({"loras": f"There is no LoRA {choice.name!r} that this server may use."})
            if abs(choice.weight or 0) > limits[choice.name]:
                raise ValidationError({"loras": f"{choice.name}: the largest weight is {limits[choice.name]:g}."})


@bounded
class QuotaRule(models.Model):
    """How much a subject may use in a window. An empty limit is unlimited (for roles only).

    With a channel or category it counts only what is requested there, from when the rule was made.
    """

    class Subject(models.TextChoices):
        GUILD = "guild", "The whole server"
        MEMBER = "member", "Every member"
        ROLE = "role", "Members with a role"

    class Metric(models.TextChoices):
        IMAGES = "images", "Images"
        GPU_SECONDS = "gpu_seconds", "GPU seconds"

    class Window(models.TextChoices):
        HOUR = "hour", "Hour"
        DAY = "day", "Day"
        MONTH = "month", "Month"

    guild = models.ForeignKey(Guild, verbose_name="server", on_delete=models.CASCADE, related_name="quota_rules")
    subject = ChoiceField(max_length=8, choices=Subject.choices)
    role_id = SnowflakeField(null=True, blank=True)
    role_name = models.CharField(max_length=100, blank=True)
    channel_id = SnowflakeField(null=True, blank=True, help_text="A channel or category; empty: the whole server.")
    metric = ChoiceField(max_length=12, choices=Metric.choices, default=Metric.IMAGES)
    window = ChoiceField(max_length=8, choices=Window.choices, default=Window.DAY)
    limit = BoundedIntegerField(
        null=True, blank=True, low=0, high=MAX_LIMIT, help_text="Empty: unlimited (roles only)."
    )

    class Meta:
        verbose_name = "quota rule"
        constraints = [
            models.UniqueConstraint(
                fields=["guild", "subject", "role_id", "channel_id", "metric", "window"],
                nulls_distinct=False,
                name="quota_rule_once_per_channel",
                # Deferred, so that one save can swap two rules.
                deferrable=models.Deferrable.DEFERRED,
            ),
            models.CheckConstraint(
                condition=Q(subject="role", role_id__isnull=False) | (~Q(subject="role") & Q(role_id__isnull=True)),
                name="quota_role_rule_names_its_role",
                violation_error_message="Choose a role for a role's rule only.",
            ),
            models.CheckConstraint(
                condition=Q(subject="role") | Q(limit__isnull=False),
                name="quota_unlimited_only_for_roles",
                violation_error_message="Only a role's rule may be unlimited.",
            ),
        ]

    def __str__(self) -> str:
        limit = "unlimited" if self.limit is None else str(self.limit)
        return f"{self.get_subject_display()}: {limit} {self.get_metric_display().lower()} a {self.window}"


@bounded
class GpuLedger(models.Model):
    """The GPU time that a guild used in one UTC month (guilds.gpu_ledger). It only grows."""

    guild_key = BoundedBigIntegerField(low=-MAX_SNOWFLAKE, high=MAX_SNOWFLAKE, help_text="The guild's pseudonym.")
    month = models.DateField(help_text="First day of the month, in UTC.")
    used_ms = BoundedBigIntegerField(default=0, low=0, high=MAX_COUNT)

    class Meta:
        verbose_name = "GPU ledger entry"
        verbose_name_plural = "GPU ledger"
        constraints = [
            models.UniqueConstraint(fields=["guild_key", "month"], name="gpu_ledger_once"),
        ]

    def __str__(self) -> str:
        return f"{self.guild_key} {self.month:%Y-%m}"


@bounded
class Usage(models.Model):
    """A subject's usage in one window; `subject_id` 0 is the guild itself.

    A reservation counts as used, until settlement replaces it by the actual use. A negative subject is a pseudonym: of
    a member whose data was erased in this window, or, with a channel, of a member or the guild in that channel
    (guilds.quota.counter_subject).
    """

    guild = models.ForeignKey(Guild, verbose_name="server", on_delete=models.CASCADE, db_index=False)
    subject_id = SnowflakeField(low=-MAX_SNOWFLAKE, help_text="A member's snowflake, or 0 for the whole server.")
    window = ChoiceField(max_length=8, choices=QuotaRule.Window.choices)
    starts_at = models.DateTimeField()
    images = BoundedBigIntegerField(default=0, low=0, high=MAX_COUNT)
    gpu_ms = BoundedBigIntegerField(default=0, low=0, high=MAX_COUNT)
    channel_id = SnowflakeField(null=True, help_text="The channel or category that a rule names.")
    granted_images = BoundedBigIntegerField(
        default=0, low=-MAX_COUNT, high=MAX_COUNT, help_text="Added to the limit by a moderator."
    )
    granted_gpu_ms = BoundedBigIntegerField(default=0, low=-MAX_COUNT, high=MAX_COUNT)

    class Meta:
        verbose_name = "usage"
        verbose_name_plural = "usage"
        constraints = [
            models.UniqueConstraint(fields=["guild", "subject_id", "window", "starts_at"], name="usage_once"),
            models.CheckConstraint(condition=Q(images__gte=0, gpu_ms__gte=0), name="usage_never_negative"),
        ]
        # For upkeep. Partial, so that admission's query cannot use them by mistake.
        indexes = [
            models.Index(fields=["starts_at"], condition=Q(window="hour"), name="usage_hours"),
            models.Index(fields=["starts_at"], condition=~Q(window="hour"), name="usage_days_and_months"),
            models.Index(fields=["window", "starts_at"], condition=Q(subject_id__lt=0), name="usage_erased"),
        ]

    def __str__(self) -> str:
        return f"{self.guild_id}/{self.subject_id} {self.window} {self.starts_at:%Y-%m-%d %H:%M}"


@bounded
class Ban(models.Model):
    """Bans a user in one guild, or in all."""

    guild = models.ForeignKey(
        Guild, verbose_name="server", null=True, blank=True, on_delete=models.CASCADE, help_text="Empty: every server."
    )
    user_id = SnowflakeField()
    reason = models.CharField(max_length=200, blank=True, help_text="Shown to the member.")
    until = BoundedDateTimeField(null=True, blank=True, low=FIRST_DAY, high=LAST_DAY, help_text="Empty: permanent.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    created_by = models.CharField(max_length=100, blank=True, editable=False)

    class Meta:
        indexes = [models.Index(fields=["user_id"], name="ban_user")]

    def __str__(self) -> str:
        # Lists add the name (sparkle_site.admin.member_names).
        return f"{getattr(self, 'member_name', None) or 'A member'} in {self.guild or 'every server'}"


_MAX_FOLDED = 200


@bounded
class BlockedTerm(models.Model):
    """A word or phrase that no prompt may contain; compared in folded form (guilds.blocked_terms)."""

    guild = models.ForeignKey(
        Guild, verbose_name="server", null=True, blank=True, on_delete=models.CASCADE, help_text="Empty: every server."
    )
    phrase = models.CharField(max_length=100)
    folded = models.CharField(max_length=_MAX_FOLDED, editable=False)
    nsfw = models.BooleanField("adult", default=False, help_text="Allowed, but adult: the server's NSFW rule applies.")
    allowed = models.BooleanField(
        "exception",
        default=False,
        db_default=False,
        help_text="This phrase is allowed although it contains a blocked term, such as naked eye.",
    )
    hits = BoundedBigIntegerField(default=0, editable=False, low=0, high=MAX_COUNT)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["phrase"]
        verbose_name = "blocked term"
        constraints = [
            models.UniqueConstraint(
                fields=["guild", "folded"],
                nulls_distinct=False,
                name="blocked_term_once",
                violation_error_message="This term is blocked already, perhaps in another spelling.",
            ),
        ]

    def __str__(self) -> str:
        return self.phrase

    def clean(self) -> None:
        from .blocked_terms import fold

        folded = self.folded = fold(self.phrase)
        if self.allowed and self.nsfw:
            raise ValidationError({"allowed": "An exception is no term. Choose one of the two."})
        if not folded:
            raise ValidationError({"phrase": "Write at least one letter or digit."})
        if len(folded) > _MAX_FOLDED:
            raise ValidationError({"phrase": "This is too long. Write a shorter phrase."})

    def save(self, *args: object, **kwargs: object) -> None:
        from .blocked_terms import fold

        self.folded = fold(self.phrase)
        super().save(*args, **kwargs)  # type: ignore[arg-type]


@bounded
class Staff(models.Model):
    """A Discord user who may manage a guild, according to Discord at `synced_at`. The right expires."""

    class Role(models.TextChoices):
        OWNER = "owner", "Owner"
        MANAGER = "manager", "Manager"

    FRESH_FOR = timedelta(minutes=15)

    guild = models.ForeignKey(Guild, verbose_name="server", on_delete=models.CASCADE, related_name="staff")
    user_id = SnowflakeField()
    role = ChoiceField(max_length=8, choices=Role.choices)
    synced_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "moderator"
        constraints = [models.UniqueConstraint(fields=["guild", "user_id"], name="staff_once")]
        indexes = [models.Index(fields=["user_id"], name="staff_user")]

    def __str__(self) -> str:
        return f"{getattr(self, 'member_name', None) or 'A member'} ({self.role})"
