"""The audit: who changed which setting, when, from which IP address, and the value before."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, OuterRef, Subquery
from django.http import HttpRequest

from guilds import directory
from guilds.models import Guild, SettingChange, Usage
from sparkle_site.audit.models import AUDITED

from . import actor_names, audit_filter, member_names, pickers
from .access import Access
from .audit_filter import AuditFilter, People

MAX_ENTRIES = 200
_WORDS = {"+": "Added", "~": "Changed", "-": "Deleted"}
# Fields that hold Discord's ids, which are shown by name.
_FIELDS = {
    "allowed_channel_ids": "allowed channels",
    "allowed_role_ids": "allowed roles",
    "mod_log_channel_id": "mod-log channel",
    "role_id": "role",
    "channel_id": "channel",
    "user_id": "member",
}
_SKIPPED = frozenset(
    {"folded", "hits", "created_at", "set_up_at", "gpu_ms_per_step", "learned_gpu_ms_per_step", "quota_clock"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    field: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One action. `who` is empty for the system; `where` is the IP address."""

    at: datetime
    who: str
    where: str
    what: str
    subject: str
    changes: tuple[Change, ...]


def differences(
    new: Any, old: Any, *, name: Callable[[str, Any], Any] = lambda field, value: value
) -> Iterator[Change]:
    """Yield the fields in which two records of a row differ. `name` replaces ids in a field's value by names. Pure."""
    for field in new.tracked_fields:
        if field.name in _SKIPPED:
            continue
        before, after = (getattr(record, field.attname, None) for record in (old, new))
        if before != after:
            shown = [_display(name(field.name, value)) for value in (before, after)]
            yield Change(field=_FIELDS.get(field.name, str(field.verbose_name)), before=shown[0], after=shown[1])


class _Names:
    """The names behind the ids in a record's fields, each guild's directory read once."""

    def __init__(self, viewer: Access) -> None:
        self._viewer = viewer
        self._directories: dict[int, directory.Directory] = {}

    def of(self, guild_id: int) -> Callable[[str, Any], Any]:
        """Return the function that replaces the ids in a field's value."""

        def name(field: str, value: Any) -> Any:
            if field not in _FIELDS or value is None:
                return value
            if field == "user_id":
                return self.member(value)
            if guild_id not in self._directories:
                self._directories[guild_id] = directory.load(guild_id)
            known = self._directories[guild_id]
            if "channel" in field:
                ids = value if isinstance(value, list) else [value]
                return ", ".join(pickers.channel_label(known.channel(pk)) for pk in ids)
            ids = value if isinstance(value, list) else [value]
            return ", ".join(pickers.role_label(known.role(pk)) for pk in ids)

        return name

    def member(self, user_id: int) -> str:
        return member_names.in_guilds([user_id], self._viewer.guild_ids).get(user_id, member_names.UNKNOWN)


def _display(value: Any) -> str:
    if value is None or value in ("", []):
        return "empty"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryPage:
    """Entries, newest first; `older_than` is where the next page begins, None on the last one."""

    entries: tuple[Entry, ...]
    older_than: datetime | None


def entries(guild_ids: frozenset[int] | None, *, viewer: Access, wanted: AuditFilter) -> EntryPage:
    """Return a page of changes of the guilds' settings, or for None of all settings, the platform's included.

    `viewer` decides whether operators are named (sparkle_site.admin.actor_names).
    """
    people = audit_filter.find_people(wanted.who, viewer=viewer)
    result: list[Entry] = []
    # Until each source has been read to its end or has given a page, an older entry may be missing.
    read_to: list[datetime] = []
    for model in AUDITED:
        names = {field.name for field in model._meta.fields}
        outside = guild_ids is not None and model is not Guild and "guild" not in names
        if outside or not wanted.shows(str(model._meta.model_name)):
            continue
        rows = model.history.select_related("history_user").order_by("-history_date", "-history_id")  # type: ignore[attr-defined]
        if guild_ids is not None:
            rows = rows.filter(**{"id__in" if model is Guild else "guild_id__in": guild_ids})
        if people is not None:
            rows = rows.filter(history_user_id__in=people.accounts)
        records = list(wanted.in_time(rows, "history_date")[: audit_filter.PAGE + 1])
        if len(records) > audit_filter.PAGE:
            read_to.append(records[-1].history_date)
        result += _model_entries(model, records, viewer=viewer)
    if wanted.shows(audit_filter.GRANTS):
        result += _grants(guild_ids, viewer=viewer, wanted=wanted, people=people)
    result += _discord_changes(guild_ids, viewer=viewer, wanted=wanted, people=people, read_to=read_to)
    complete_to = max(read_to, default=None)
    if complete_to is not None:
        result = [entry for entry in result if entry.at >= complete_to]
    result.sort(key=lambda entry: entry.at, reverse=True)
    shown = tuple(result[: audit_filter.PAGE])
    older_than = shown[-1].at if len(result) > len(shown) else complete_to
    return EntryPage(entries=shown, older_than=older_than)


def row_history(row: Model, *, viewer: Access) -> list[Entry]:
    """Return the changes of one row, newest first; empty if its model is not audited."""
    if type(row) not in AUDITED:
        return []
    records = type(row).history.filter(id=row.pk).select_related("history_user")  # type: ignore[attr-defined]
    row_entries = _model_entries(
        type(row), list(records.order_by("-history_date", "-history_id")[: MAX_ENTRIES + 1]), viewer=viewer
    )
    return sorted(row_entries, key=lambda entry: entry.at, reverse=True)[:MAX_ENTRIES]


def _model_entries(model: type[Model], records: list[Any], *, viewer: Access) -> Iterator[Entry]:
    previous = _predecessors(model, records)
    names = _Names(viewer)
    result = []
    for record in records:
        old = previous.get(record.history_id)
        name = names.of(record.id if model is Guild else getattr(record, "guild_id", None) or 0)
        compared = record.history_type == "~" and old is not None
        if compared:
            old = _with_discord_changes(copy.copy(old), record.history_date)
        changes = tuple(differences(record, old, name=name)) if compared else ()
        if record.history_type == "~" and old is not None and not changes:
            continue
        who, where = actor_names.display_name(viewer, record.history_user, record.history_address or "")
        result.append(
            Entry(
                at=record.history_date,
                who=who,
                where=where,
                what=_WORDS.get(record.history_type, record.history_type),
                subject=f"{model._meta.verbose_name} {_row_name(record, names)}",
                changes=changes,
            )
        )
    return iter(result)


def _predecessors(model: type[Model], records: Sequence[Any]) -> dict[int, Any]:
    """Return the record before each of the records, by the id of the later one."""
    history = model.history  # type: ignore[attr-defined]
    earlier = history.filter(id=OuterRef("id"), history_id__lt=OuterRef("history_id")).order_by("-history_id")
    pairs = history.filter(history_id__in=[record.history_id for record in records])
    before = dict(pairs.annotate(before=Subquery(earlier.values("history_id")[:1])).values_list("history_id", "before"))
    rows = {row.history_id: row for row in history.filter(history_id__in=[pk for pk in before.values() if pk])}
    return {later: rows[pk] for later, pk in before.items() if pk in rows}


def _discord_changes(
    guild_ids: frozenset[int] | None,
    *,
    viewer: Access,
    wanted: AuditFilter,
    people: People | None,
    read_to: list[datetime],
) -> Iterator[Entry]:
    """Yield the changes that were made in Discord, those of one moment and person as one entry."""
    rows = wanted.in_time(SettingChange.objects.select_related("guild").order_by("-pk"), "at")
    if guild_ids is not None:
        rows = rows.filter(guild_id__in=guild_ids)
    if wanted.what:
        rows = rows.filter(model=wanted.what)
    if people is not None:
        rows = rows.filter(user_id__in=people.discord_ids)
    names = _Names(viewer)
    grouped: dict[tuple[Any, ...], list[Change]] = {}
    newest = list(rows[:MAX_ENTRIES])
    if len(newest) == MAX_ENTRIES:
        # The oldest moment may have more rows than were read.
        read_to.append(newest[-1].at + timedelta(microseconds=1))
    for row in newest:
        name = names.of(row.guild_id)
        before, after = (_display(name(row.field, value)) for value in (row.before, row.after))
        field = _FIELDS.get(row.field, row.field.replace("_", " "))
        key = (row.at, row.user_id, str(row.guild))
        grouped.setdefault(key, []).append(Change(field=field, before=before, after=after))
    for (at, user_id, guild), changes in grouped.items():
        who = names.member(user_id) if user_id else ""
        yield Entry(at=at, who=who, where="Discord", what="Changed", subject=f"server {guild}", changes=tuple(changes))


def _with_discord_changes(record: Any, until: datetime) -> Any:
    """Return the record of a row as it was at `until`: with what was changed in Discord since the record."""
    model = type(record).instance_type._meta.model_name
    changes = SettingChange.objects.filter(model=model, row_id=record.id, at__gt=record.history_date, at__lte=until)
    for change in changes.order_by("pk"):
        setattr(record, "limit" if model == "quotarule" else change.field, change.after)
    return record


def _row_name(record: Any, names: _Names) -> str:
    if getattr(record, "user_id", None):
        return f"of {names.member(record.user_id)}"
    for name in ("phrase", "name", "subject"):
        if getattr(record, name, ""):
            return str(getattr(record, name))
    return ""


def _grants(
    guild_ids: frozenset[int] | None, *, viewer: Access, wanted: AuditFilter, people: People | None
) -> Iterable[Entry]:
    content_type = ContentType.objects.get_for_model(Usage)
    rows = LogEntry.objects.filter(content_type=content_type, action_flag=CHANGE).select_related("user")
    if guild_ids is not None:
        usages = Usage.objects.filter(guild_id__in=guild_ids)
        ids = [str(pk) for pk in usages.order_by("-pk").values_list("pk", flat=True)[:2000]]
        rows = rows.filter(object_id__in=ids)
    if people is not None:
        rows = rows.filter(user_id__in=people.accounts)
    for row in wanted.in_time(rows, "action_time").order_by("-action_time")[: audit_filter.PAGE + 1]:
        yield Entry(
            at=row.action_time,
            who=actor_names.display_name(viewer, row.user, "")[0],
            where="",
            what=row.get_change_message(),
            subject=row.object_repr,
            changes=(),
        )


def record_action(request: HttpRequest, row: Model, what: str) -> None:
    """Log an action that changes no audited setting."""
    LogEntry.objects.log_actions(int(request.user.pk or 0), [row], CHANGE, change_message=what, single_object=True)
