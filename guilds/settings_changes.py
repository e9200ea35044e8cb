"""Changes of a guild's settings: what is allowed, for the admin and for Discord's panel, and how the panel saves them.

The admin saves through its own forms, whose history names an account of the site. A member in Discord has no account:
each field that they change is written as a SettingChange, which the audit shows too.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import transaction

from . import generation_limits
from .models import MAX_STEPS, Guild, ModelProfile, QuotaRule, SettingChange

# What the panel in Discord changes. The operators' limits are not among them.
EDITABLE = frozenset(
    {
        "enabled",
        "allowed_channel_ids",
        "allowed_role_ids",
        "nsfw_rule",
        "language",
        "results_ephemeral",
        "mod_log_channel_id",
        "switched_off",
        "cooldown_s",
        "default_speed",
        "relaxed_patience_hours",
        "relaxed_over_quota",
        "max_images",
        "max_steps",
    }
)
# The rules that have a field of their own in the panel, by the subject: images per day.
QUICK_RULES = (QuotaRule.Subject.MEMBER, QuotaRule.Subject.GUILD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invalid:
    """Why a change is refused: the field and the values that are allowed, or an English sentence."""

    field: str
    low: int | None = None
    high: int | None = None
    detail: str = ""


def wrong_in_guild(
    *, default_steps: int | None, max_steps: int, allowed_sizes: Sequence[str], offered: Collection[ModelProfile]
) -> list[tuple[str, str]]:
    """Return the fields that no model of the guild could serve, each with a sentence. Without `offered`: all models."""
    models = offered or ModelProfile.objects.filter(enabled=True)
    return list(
        generation_limits.wrong_in_guild(
            default_steps=default_steps,
            max_steps=max_steps,
            allowed_sizes=allowed_sizes,
            models=[model.bounds() for model in models],
        )
    )


def change(guild_id: int, fields: Mapping[str, Any], *, user_id: int, now: datetime) -> Invalid | None:
    """Change settings of a guild, all or none; return why they are refused.

    Raises ValueError for a field that is not EDITABLE.
    """
    if not EDITABLE.issuperset(fields):
        raise ValueError("not editable here")
    with transaction.atomic():
        guild = Guild.objects.select_for_update().get(pk=guild_id)
        before = {name: getattr(guild, name) for name in fields}
        for name, value in fields.items():
            setattr(guild, name, value)
        if invalid := _invalid(guild, fields):
            return invalid
        changed = {name: value for name, value in fields.items() if before[name] != value}
        # Not save(): its history belongs to accounts of the site.
        Guild.objects.filter(pk=guild_id).update(**changed)
        _record(guild_id, guild_id, "guild", before, changed, user_id=user_id, now=now)
    return None


def _invalid(guild: Guild, fields: Mapping[str, Any]) -> Invalid | None:
    if guild.default_steps is not None and guild.max_steps < guild.default_steps:
        return Invalid(field="max_steps", low=guild.default_steps, high=MAX_STEPS)
    others = [field.name for field in Guild._meta.concrete_fields if field.name not in fields]
    try:
        guild.full_clean(exclude=others, validate_unique=False, validate_constraints=False)
    except ValidationError as error:
        return _first(guild, error)
    return None


def _first(row: Guild | QuotaRule, error: ValidationError) -> Invalid:
    name, messages = next(iter(error.message_dict.items()))
    field = type(row)._meta.get_field(name) if name != NON_FIELD_ERRORS else None
    low, high = getattr(field, "low", None), getattr(field, "high", None)
    return Invalid(field=name, low=low, high=high, detail=messages[0])


def read_daily_limit(guild_id: int, subject: str) -> int | None:
    """Return the limit of images per day of every member or of the whole guild, None without such a rule."""
    rule = quick_rule(guild_id, subject)
    return rule.limit if rule else None


def quick_rule(guild_id: int, subject: str) -> QuotaRule | None:
    """Return the rule for images per day of every member or of the whole guild, if there is one."""
    window, metric = QuotaRule.Window.DAY, QuotaRule.Metric.IMAGES
    rules = QuotaRule.objects.filter(guild_id=guild_id, subject=subject, window=window, metric=metric)
    return rules.filter(channel_id=None).first()


def set_daily_limit(guild_id: int, subject: str, limit: int | None, *, user_id: int, now: datetime) -> Invalid | None:
    """Set the limit of images per day of every member or of the whole guild; None removes the rule."""
    with transaction.atomic():
        Guild.objects.select_for_update().get(pk=guild_id)
        rule = quick_rule(guild_id, subject)
        old = rule.limit if rule else None
        if old == limit:
            return None
        if limit is None:
            assert rule is not None  # noqa: S101
            row_id = rule.pk
            QuotaRule.objects.filter(pk=row_id).delete()
        else:
            new = rule or QuotaRule(guild_id=guild_id, subject=subject, window="day", metric="images")
            new.limit = limit
            try:
                new.full_clean(validate_unique=False, validate_constraints=False)
            except ValidationError as error:
                return _first(new, error)
            row_id = _write(new)
        field = f"{subject} images per day"
        _record(guild_id, row_id, "quotarule", {field: old}, {field: limit}, user_id=user_id, now=now)
    return None


def _write(rule: QuotaRule) -> int:
    # Without signals, as in `change`.
    if rule.pk:
        QuotaRule.objects.filter(pk=rule.pk).update(limit=rule.limit)
    else:
        QuotaRule.objects.bulk_create([rule])
    return rule.pk


def _record(
    guild_id: int,
    row_id: int,
    model: str,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    user_id: int,
    now: datetime,
) -> None:
    SettingChange.objects.bulk_create(
        SettingChange(
            guild_id=guild_id,
            at=now,
            user_id=user_id,
            model=model,
            row_id=row_id,
            field=name,
            before=before[name],
            after=value,
        )
        for name, value in after.items()
    )
