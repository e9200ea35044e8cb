"""A member's page: who they are in one server, what they used, what moderators decided, and what they can do next."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from discord_api import snowflakes
from discord_api.errors import DiscordError
from guilds import directory, quota
from guilds.models import Ban, Guild, GuildMember, MemberNote, Usage
from guilds.moderation_models import MAX_NOTE
from guilds.quota import QuotaStatus
from jobs import member_moderation, moderation
from jobs.models import Job
from sparkle_site import discord_client

from . import access, actor_names, audit_log, formatting, initials, member_names, pickers
from .action_framework import actor_name

MAX_REQUESTS = 12
MAX_GRANT = 100_000
_WINDOWS = {"hour": "this hour", "day": "today", "month": "this month"}


class ActionForm(forms.Form):
    """One action on the member. Fields that the action does not need are empty."""

    action = forms.CharField()
    text = forms.CharField(required=False, max_length=MAX_NOTE)
    window = forms.ChoiceField(required=False, choices=[(name, name) for name in _WINDOWS])
    amount = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_GRANT,
        error_messages={
            "invalid": "Enter a whole number.",
            "min_value": "Enter at least 1.",
            "max_value": "Enter at most 100,000.",
        },
    )


def page(request: HttpRequest, guild_id: int, user_id: int) -> HttpResponse:
    """Show a member of one server. A POST runs one of `_ACTIONS`."""
    viewer = access.of(request)
    guild = access.guilds_of(request).filter(pk=guild_id).first()
    if guild is None or not 0 < user_id <= snowflakes.MAX_SNOWFLAKE or not _is_known(guild, user_id):
        raise Http404
    if request.method == "POST":
        if not viewer.can_change:
            raise PermissionDenied
        _run(request, guild, user_id)
        return redirect(request.path)
    return render(request, "admin/member.html", _context(request, guild, user_id, now=timezone.now()))


def _is_known(guild: Guild, user_id: int) -> bool:
    sources = (
        GuildMember.objects.filter(user_id=user_id),
        Job.objects.filter(user_id=user_id),
        Ban.objects.filter(user_id=user_id),
        Usage.objects.filter(subject_id=user_id),
    )
    return any(rows.filter(guild=guild).exists() for rows in sources)


def _run(request: HttpRequest, guild: Guild, user_id: int) -> None:
    form = ActionForm(request.POST)
    if not form.is_valid():
        for errors in form.errors.values():
            messages.error(request, " ".join(map(str, errors)))
        return
    act = _ACTIONS.get(form.cleaned_data["action"])
    if act is None:
        raise Http404
    act(request, guild, user_id, form.cleaned_data, timezone.now())


def _warn(request: HttpRequest, guild: Guild, user_id: int, data: dict[str, Any], now: datetime) -> None:
    reason = data["text"][: member_moderation.MAX_REASON]
    by, client = actor_name(request), discord_client.client()
    if member_moderation.warn(guild, user_id, reason=reason, by=by, now=now, client=client):
        messages.success(request, "The warning was sent.")
    else:
        messages.warning(request, "The warning is on record. It could not be sent as a direct message.")


def _note(request: HttpRequest, guild: Guild, user_id: int, data: dict[str, Any], now: datetime) -> None:
    if not data["text"].strip():
        messages.error(request, "Write the note first.")
        return
    member_moderation.note(guild, user_id, text=data["text"].strip(), by=actor_name(request), now=now)
    messages.success(request, "The note is saved. Only moderators see it.")


def _ban(request: HttpRequest, guild: Guild, user_id: int, data: dict[str, Any], now: datetime) -> None:
    length = member_moderation.TIME_OUTS.get(data["action"])
    until = now + length if length else None
    by, reason = actor_name(request), data["text"][: member_moderation.MAX_REASON]
    _, cancelled = member_moderation.ban(guild.pk, user_id, until=until, reason=reason, by=by, now=now)
    text = "The member can't use Sparkle for a while." if until else "The member is banned."
    more = f" Cancelled and refunded {formatting.counted(cancelled, 'request')}." if cancelled else ""
    messages.success(request, text + more)


def _unban(request: HttpRequest, guild: Guild, user_id: int, data: dict[str, Any], now: datetime) -> None:
    for ban in Ban.objects.filter(guild=guild, user_id=user_id).exclude(until__lte=now):
        ban.delete()  # One by one, for the audit.
    messages.success(request, "The member can use Sparkle again.")


def _grant(request: HttpRequest, guild: Guild, user_id: int, data: dict[str, Any], now: datetime) -> None:
    if not data["amount"] or not data["window"]:
        messages.error(request, "Enter how many images to grant.")
        return
    usage = _counter(guild, user_id, data["window"], now=now)
    moderation.grant(usage.pk, images=data["amount"])
    granted = f"Granted {formatting.counted(data['amount'], 'image')} more {_WINDOWS[data['window']]}"
    audit_log.record_action(request, usage, granted)
    messages.success(request, f"{granted}.")


def _reset(request: HttpRequest, guild: Guild, user_id: int, data: dict[str, Any], now: datetime) -> None:
    if not data["window"]:
        raise Http404
    usage = _counter(guild, user_id, data["window"], now=now)
    moderation.reset_window(usage.pk)
    audit_log.record_action(request, usage, "Reset the counter")
    messages.success(request, f"The full limit is available again {_WINDOWS[data['window']]}.")


def _counter(guild: Guild, user_id: int, window: str, *, now: datetime) -> Usage:
    starts_at = quota.load_clock(guild, now).windows(now)[window].start
    row, _ = Usage.objects.get_or_create(guild=guild, subject_id=user_id, window=window, starts_at=starts_at)
    return row


_ACTIONS: dict[str, Callable[[HttpRequest, Guild, int, dict[str, Any], datetime], None]] = {
    "warn": _warn,
    "note": _note,
    "ban": _ban,
    **dict.fromkeys(member_moderation.TIME_OUTS, _ban),
    "unban": _unban,
    "grant": _grant,
    "reset": _reset,
}


def _context(request: HttpRequest, guild: Guild, user_id: int, *, now: datetime) -> dict[str, Any]:
    viewer = access.of(request)
    name, role_ids = _read(guild, user_id, now=now)
    statuses = quota.load_status(guild.pk, user_id, role_ids or frozenset(), now=now)
    jobs = Job.objects.filter(guild=guild, user_id=user_id).order_by("-pk")
    notes = MemberNote.objects.filter(guild=guild, user_id=user_id)[:50]
    bans = Ban.objects.filter(user_id=user_id, guild=guild).order_by("-pk")
    known = directory.load(guild.pk)
    return {
        **admin.site.each_context(request),
        "title": name,
        "name": name,
        "icon": initials.icon(user_id, name, large=True),
        "guild": guild,
        "can_change": viewer.can_change,
        "roles": [role.name for role in known.roles if role.id in (role_ids or ())],
        "roles_unknown": role_ids is None,
        "limits": [_limit(status, channel=_channel(known, status)) for status in statuses],
        "requests_address": f"{reverse('admin:jobs_job_changelist')}?member={user_id}&guild__id__exact={guild.pk}",
        "requests": [_request(job) for job in jobs[:MAX_REQUESTS]],
        "total": jobs.count(),
        "notes": [
            {
                "kind": note.get_kind_display(),
                "warning": note.kind == MemberNote.Kind.WARNING,
                "text": note.text,
                "at": formatting.when(note.created_at),
                "by": actor_names.display_stored_name(viewer, note.created_by),
            }
            for note in notes
        ],
        "bans": [
            {
                "in_force": ban.until is None or ban.until > now,
                "reason": ban.reason,
                "at": formatting.when(ban.created_at),
                "until": formatting.when(ban.until, empty="for good"),
                "by": actor_names.display_stored_name(viewer, ban.created_by),
            }
            for ban in bans[:20]
        ],
    }


def _read(guild: Guild, user_id: int, *, now: datetime) -> tuple[str, frozenset[int] | None]:
    """Return the member's name and roles; the last known name and None if Discord does not tell."""
    try:
        member = discord_client.client().for_guild(guild.pk).member(guild.pk, user_id)
    except DiscordError:
        name = member_names.in_guilds([user_id], frozenset({guild.pk})).get(user_id, member_names.UNKNOWN)
        return name, None
    row = directory.store_member(guild.pk, member, now=now)
    roles = member.get("roles")
    ids = (snowflakes.parse(role) for role in roles) if isinstance(roles, list) else ()
    return row.name if row else member_names.UNKNOWN, frozenset(role for role in ids if role is not None)


def _channel(known: directory.Directory, status: QuotaStatus) -> str:
    channel_id = status.rule.channel_id
    return pickers.channel_label(known.channel(channel_id)) if channel_id is not None else ""


def _limit(status: QuotaStatus, *, channel: str) -> dict[str, Any]:
    rule = status.rule
    unit = "images" if rule.metric == "images" else "GPU seconds"
    whose = {"guild": "Whole server", "member": "Every member", "role": f"Role @{rule.role_name}"}[rule.subject]
    where = f" in {channel}" if channel else ""
    limit = "unlimited" if status.limit is None else formatting.count(status.limit)
    percent = min(100, round(100 * status.used / status.limit)) if status.limit else 0
    return {
        "rule": f"{whose}{where}, {unit} per {rule.window}",
        "used": f"{formatting.count(status.used)} of {limit} {unit}",
        "percent": percent,
        "resets_at": formatting.when(status.resets_at),
        "window": rule.window,
        # A grant raises the limits of the whole server, not those of one channel.
        "can_grant": rule.subject != "guild" and rule.metric == "images" and status.limit is not None and not channel,
    }


def _status(job: Job) -> str:
    status = str(job.get_status_display())
    if not job.reason:
        return status
    reason = formatting.reason(job.reason)
    # "Cancelled by the member" says both.
    return reason if reason.startswith(status) else f"{status}: {reason}"


def _request(job: Job) -> dict[str, Any]:
    return {
        "address": reverse("admin:jobs_job_change", args=[job.pk]),
        "id": job.pk,
        "prompt": job.prompt[:120] or "Erased",
        "status": _status(job),
        "at": formatting.when(job.created_at),
    }
