"""The inbox of reported images: one report at a time, decided with one form, then the next one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone

from discord_api import snowflakes
from guilds.models import Ban, MemberNote
from jobs import member_moderation, moderation
from jobs.job_status import OPEN
from jobs.models import JobImage
from sparkle_site import discord_client

from . import access, actor_names, formatting, image_actions, member_names
from .access import Access
from .action_framework import actor_name

MAX_LISTED = 200
REMOVE, DISMISS = "remove", "dismiss"
TIME_OUT_NAMES = {"1h": "Time out for 1 hour", "1d": "Time out for 1 day", "7d": "Time out for 7 days"}


class DecisionForm(forms.Form):
    """What happens to the image and to its author."""

    image = forms.ChoiceField(
        label="Image",
        choices=[(REMOVE, "Remove"), (DISMISS, "Keep (dismiss the report)")],
        initial=REMOVE,
        widget=forms.RadioSelect,
        error_messages={"required": "Choose what happens to the image."},
    )
    member = forms.ChoiceField(
        label="Author",
        choices=[("", "Nothing"), ("warn", "Warn"), *TIME_OUT_NAMES.items(), ("ban", "Ban")],
        initial="",
        required=False,
        widget=forms.RadioSelect,
    )
    reason = forms.CharField(
        label="Reason, which the author reads (optional)", max_length=member_moderation.MAX_REASON, required=False
    )


def open_reports(viewer: Access) -> QuerySet[JobImage]:
    """Return the reported images that the viewer may decide on, the oldest report first."""
    rows = JobImage.objects.filter(reported_at__isnull=False).select_related("job", "job__guild")
    if viewer.guild_ids is not None:
        rows = rows.filter(job__guild_id__in=viewer.guild_ids)
    return rows.order_by("reported_at", "pk")


def page(request: HttpRequest) -> HttpResponse:
    """Show one report, the one in `?image=` or the oldest. A POST decides it and shows the next."""
    viewer = access.of(request)
    if not viewer.can_enter:
        raise Http404
    ids = list(open_reports(viewer).values_list("pk", flat=True)[:MAX_LISTED])
    wanted = snowflakes.parse(request.GET.get("image"))
    if request.method == "POST":
        return _decide(request, viewer, ids, wanted)
    return _show(request, viewer, ids, wanted, DecisionForm())


def _decide(request: HttpRequest, viewer: Access, ids: list[int], wanted: int | None) -> HttpResponse:
    if not viewer.can_change:
        raise PermissionDenied
    image = open_reports(viewer).filter(pk=wanted or 0).first()
    if image is None:
        messages.warning(request, "Someone else has decided this report already.")
        return redirect("admin:reports")
    form = DecisionForm(request.POST)
    if not form.is_valid():
        return _show(request, viewer, ids, wanted, form)
    _apply(request, image, form.cleaned_data, now=timezone.now())
    following = _neighbours(ids, image.pk)[1]
    return redirect(_address(following) if following else reverse("admin:reports"))


def _apply(request: HttpRequest, image: JobImage, chosen: dict[str, str], *, now: datetime) -> None:
    by, job, reason = actor_name(request), image.job, chosen["reason"]
    if chosen["image"] == REMOVE:
        if job.status in OPEN:
            messages.warning(request, "The request is still running. Decide when it has ended.")
            return
        result = image_actions.remove(request, [image.pk])
        messages.add_message(request, result.level, result.text)
    else:
        moderation.dismiss_reports([image.pk], by=by, now=now)
        messages.success(request, "The report is dismissed. The image stays.")
    if chosen["member"] == "warn":
        sent = member_moderation.warn(
            job.guild, job.user_id, reason=reason, by=by, now=now, client=discord_client.client()
        )
        text = (
            "Sent the author a warning." if sent else "The warning is on record. The author takes no direct messages."
        )
        messages.add_message(request, messages.SUCCESS if sent else messages.WARNING, text)
    elif chosen["member"]:
        length = member_moderation.TIME_OUTS.get(chosen["member"])
        until = now + length if length else None
        _, cancelled = member_moderation.ban(job.guild_id, job.user_id, until=until, reason=reason, by=by, now=now)
        what = "can't use Sparkle for a while" if until else "is banned from Sparkle"
        more = f" Cancelled {formatting.counted(cancelled, 'request')}." if cancelled else ""
        messages.success(request, f"The author {what} in {job.guild}.{more}")


def _neighbours(ids: list[int], pk: int) -> tuple[int | None, int | None]:
    """Return the report before and the one after `pk`. Pure."""
    if pk not in ids:
        return None, ids[0] if ids else None
    place = ids.index(pk)
    before = ids[place - 1] if place else None
    return before, ids[place + 1] if place + 1 < len(ids) else None


def _address(pk: int) -> str:
    return f"{reverse('admin:reports')}?image={pk}"


def _show(request: HttpRequest, viewer: Access, ids: list[int], wanted: int | None, form: DecisionForm) -> HttpResponse:
    image = open_reports(viewer).filter(pk=wanted).first() if wanted else None
    if image is None and ids:
        image = open_reports(viewer).get(pk=ids[0])
    context: dict[str, Any] = {**admin.site.each_context(request), "title": "Reports", "image": image}
    if image is not None:
        before, after = _neighbours(ids, image.pk)
        context |= {
            **_report(image, viewer),
            "form": form,
            "can_change": viewer.can_change,
            "place": ids.index(image.pk) + 1 if image.pk in ids else 1,
            "total": len(ids),
            "previous": _address(before) if before else "",
            "next": _address(after) if after else "",
        }
    return render(request, "admin/reports.html", context, status=200 if not form.errors else 422)


def _report(image: JobImage, viewer: Access) -> dict[str, Any]:
    job = image.job
    only = frozenset({job.guild_id})
    people = [job.user_id, *([image.reported_by] if image.reported_by else [])]
    names = member_names.in_guilds(people, only)
    now = timezone.now()
    bans = Ban.objects.filter(user_id=job.user_id, guild_id=job.guild_id).exclude(until__lte=now)
    notes = MemberNote.objects.filter(guild_id=job.guild_id, user_id=job.user_id)
    return {
        "job": job,
        "src": formatting.image_url(image, width=768),
        "original": formatting.image_url(image),
        "alt": formatting.alt(image),
        "blur": image.blurred or job.spoiler,
        "author_address": formatting.member_address(job.guild_id, job.user_id),
        "author": names.get(job.user_id, member_names.UNKNOWN),
        "reporter": names.get(image.reported_by or 0, "A member"),
        "reported_at": formatting.when(image.reported_at),
        "requested_at": formatting.when(job.created_at),
        "message_link": formatting.message_link(job),
        "warnings": notes.filter(kind=MemberNote.Kind.WARNING).count(),
        "ban": (ban := bans.first()),
        "ban_by": actor_names.display_stored_name(viewer, ban.created_by) if ban else "",
    }
