"""List filters. Each uses an index, and none names a guild that the user may not see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import AutocompleteSelectFilter, DropdownFilter, RangeDateTimeFilter, TextFilter

from discord_api import snowflakes
from guilds.models import ModelProfile
from jobs.models import Job

from . import access, formatting
from .pickers import MemberField, MemberSelect

# Ids follow creation times, except for transactions that take long to commit.
SLACK = timedelta(minutes=5)


class GuildFilter(AutocompleteSelectFilter):
    """By server. The choices are the servers that the user may see."""

    request: HttpRequest

    def __init__(self, field: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.request = request
        super().__init__(field, request, *args, **kwargs)

    def has_output(self) -> bool:
        ids = access.of(self.request).guild_ids
        return ids is None or len(ids) > 1

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        for choice in super().choices(changelist):
            choice["form"].fields[self.lookup_kwarg].queryset = access.guilds_of(self.request)
            yield choice


class MemberFilterForm(forms.Form):
    """A list of members with the chosen one, if there is one."""

    def __init__(self, name: str, label: str, guild_ids: frozenset[int] | None, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = MemberField(label=label, required=False)
        field.widget.guild_ids = guild_ids  # type: ignore[attr-defined]
        self.fields[name] = field

    class Media:
        js = MemberSelect.Media.js
        css = MemberSelect.Media.css


class MemberFilter(TextFilter):
    """By a member, chosen by name."""

    title = "member"
    parameter_name = "member"
    column = "user_id"
    form_class = MemberFilterForm

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        self.guild_ids = access.of(request).guild_ids
        super().__init__(request, *args, **kwargs)

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        data = {self.parameter_name: self.value()}
        yield {"form": self.form_class(self.parameter_name, f"By {self.title}", self.guild_ids, data=data)}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        value = (self.value() or "").strip()
        if not value:
            return queryset
        user_id = snowflakes.parse(value)
        return queryset.none() if user_id is None else queryset.filter(**{self.column: user_id})


class SubjectFilter(MemberFilter):
    column = "subject_id"


class ReasonFilter(DropdownFilter):
    title = "reason"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(code, name) for code, (name, _) in sorted(formatting.REASONS.items(), key=lambda item: item[1])]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        # The partial index needs the condition `<> ''`.
        return queryset.filter(reason=self.value()).exclude(reason="") if self.value() else queryset


class ModelFilter(DropdownFilter):
    title = "model"
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(pk), name) for pk, name in ModelProfile.objects.order_by("name").values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        model_id = snowflakes.parse(self.value())
        return queryset if model_id is None else queryset.filter(model_id=model_id)


class CreatedAtFilter(RangeDateTimeFilter):
    """By creation time in UTC. The times also limit the ids, so that the index on ids gives the order."""

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        used = self.used_parameters
        start = _time(used.get("created_at_from_0"), used.get("created_at_from_1"))
        end = _time(used.get("created_at_to_0"), used.get("created_at_to_1"))
        narrowed = queryset
        if start:
            narrowed = narrowed.filter(created_at__gte=start)
        if end:
            narrowed = narrowed.filter(created_at__lte=end)
        if start and (first := _first_id(start - SLACK)) is not None:
            narrowed = narrowed.filter(pk__gte=first)
        if end and (last := _first_id(end + SLACK)) is not None:
            narrowed = narrowed.filter(pk__lte=last)
        return narrowed


class ModerationStateFilter(DropdownFilter):
    """By what moderation has to do or has done."""

    title = "state"
    parameter_name = "state"
    states: dict[str, tuple[str, Callable[[QuerySet[Any]], QuerySet[Any]]]] = {
        "reported": ("Reported", lambda rows: rows.filter(reported_at__isnull=False)),
        "hidden": ("Hidden", lambda rows: rows.filter(hidden_at__isnull=False)),
        "blurred": ("Blurred", lambda rows: rows.filter(blurred=True)),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(key, name) for key, (name, _) in self.states.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        state = self.states.get(self.value() or "")
        return state[1](queryset) if state else queryset


class BanStatusFilter(admin.SimpleListFilter):
    """Active and expired bans."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("active", "Active"), ("expired", "Expired")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any] | None:
        now = timezone.now()
        if self.value() == "expired":
            return queryset.filter(until__lte=now)
        return queryset.exclude(until__lte=now) if self.value() == "active" else queryset


def _first_id(at: datetime) -> int | None:
    return Job.objects.filter(created_at__gte=at).order_by("created_at").values_list("pk", flat=True).first()


def _time(day: Any, hour: Any) -> datetime | None:
    """Return day and time as UTC, midnight without a time, None if they are invalid."""
    hour = hour or "00:00"
    try:
        return datetime.fromisoformat(f"{day} {hour}").replace(tzinfo=UTC)
    except ValueError:
        return None
