"""What the quota rules and the cool-down in a form would have refused in the last 30 days, before they are saved."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import render
from django.utils import timezone

from guilds import quota, quota_replay
from guilds.models import Guild
from guilds.quota import Rule
from jobs import past_requests

from . import access, formatting
from .quota_rules import QuotaRuleInline

DAYS = 30


def preview(request: HttpRequest, guild_id: int) -> HttpResponse:
    """Return the sentence for the rules in the sent form, or its errors."""
    viewer = access.of(request)
    guild = access.guilds_of(request).filter(pk=guild_id).first()
    if guild is None:
        raise Http404
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    if not viewer.can_change:
        raise PermissionDenied
    cooldown_s = _cooldown_s(request, guild)
    formset = QuotaRuleInline(Guild, admin.site).get_formset(request, guild)(request.POST, instance=guild)
    if not formset.is_valid() or cooldown_s is None:
        return render(request, "admin/guilds/guild/quota_preview.html", {"invalid": True})
    rules = [
        Rule(**{name: data.get(name) for name in ("subject", "role_id", "channel_id", "metric", "window", "limit")})
        for form in formset.forms
        if (data := form.cleaned_data) and not data.get("DELETE")
    ]
    now = timezone.now()
    requests = past_requests.since(guild.pk, now - timedelta(days=DAYS))
    result = quota_replay.replay(rules, requests, clock=quota.load_clock(guild, now), cooldown_s=cooldown_s)
    context = {
        "result": result,
        "requests": formatting.count(result.requests),
        "refused": formatting.count(result.refused),
        "members": formatting.counted(result.members, "member"),
        "days": DAYS,
        "cooldown_s": cooldown_s,
        "has_roles": any(rule.subject == "role" for rule in rules),
    }
    return render(request, "admin/guilds/guild/quota_preview.html", context)


def _cooldown_s(request: HttpRequest, guild: Guild) -> int | None:
    """Return the cool-down in the sent form, else the saved one; None for one that cannot be saved."""
    field = Guild._meta.get_field("cooldown_s")
    try:
        return int(field.clean(request.POST.get("cooldown_s", guild.cooldown_s), guild))
    except ValidationError:
        return None
