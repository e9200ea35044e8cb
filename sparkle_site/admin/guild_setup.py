"""The set-up of a server: five questions on one page, as `/sparkle-settings` asks them in Discord."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from guilds import directory, settings_changes
from guilds.models import LANGUAGES, MAX_LIMIT, Guild, QuotaRule
from sparkle_site import discord_client

from . import access
from .guilds import GuildForm


def _per_day(label: str) -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        required=False,
        min_value=0,
        max_value=MAX_LIMIT,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="Empty: no limit.",
    )


class SetupForm(GuildForm):
    """The five questions. Its fields and checks are those of the server's settings."""

    per_member = _per_day("Images per day for each member")
    per_guild = _per_day("Images per day for the whole server")
    nsfw_rule = forms.ChoiceField(label="Adult prompts", choices=Guild.Nsfw.choices, widget=UnfoldAdminSelectWidget)
    language = forms.ChoiceField(label="Language", choices=LANGUAGES, required=False, widget=UnfoldAdminSelectWidget)
    # Django's way to leave fields out.
    mod_log_channel_id = None  # type: ignore[assignment]
    features = None  # type: ignore[assignment]

    class Meta:
        model = Guild
        fields = ["allowed_channel_ids", "allowed_role_ids", "nsfw_rule", "language"]

    field_order = ["allowed_channel_ids", "allowed_role_ids", "per_member", "per_guild", "nsfw_rule", "language"]


def page(request: HttpRequest, guild_id: int) -> HttpResponse:
    """Ask the questions. A POST saves all answers and leads to the server's page."""
    viewer = access.of(request)
    guild = access.guilds_of(request).filter(pk=guild_id, left_at=None).first()
    if guild is None:
        raise Http404
    if not viewer.can_change:
        raise PermissionDenied
    now = timezone.now()
    if request.method == "POST":
        form = SetupForm(request.POST, instance=guild)
        if form.is_valid():
            form.instance.set_up_at = now
            _save(form)
            messages.success(request, f"Sparkle is ready in {guild}. Members can type /sparkle now.")
            return redirect("admin:guilds_guild_change", guild.pk)
    else:
        directory.refresh_if_old(guild.pk, discord_client.client(), now=now)
        limits = {
            f"per_{subject}": settings_changes.read_daily_limit(guild.pk, subject)
            for subject in settings_changes.QUICK_RULES
        }
        form = SetupForm(instance=guild, initial=limits)
    context: dict[str, Any] = {
        **admin.site.each_context(request),
        "title": f"Set up {guild}",
        "form": form,
        "guild": guild,
        "media": form.media,
    }
    return render(request, "admin/guilds/guild/setup.html", context, status=422 if form.errors else 200)


def _save(form: SetupForm) -> None:
    # save() and delete(), to which the audit listens.
    with transaction.atomic():
        guild = form.save()
        for subject in settings_changes.QUICK_RULES:
            limit = form.cleaned_data[f"per_{subject}"]
            rule = settings_changes.quick_rule(guild.pk, subject)
            if limit is None and rule is not None:
                rule.delete()
            elif limit is not None and (rule is None or rule.limit != limit):
                rule = rule or QuotaRule(guild=guild, subject=subject, window="day", metric="images")
                rule.limit = limit
                rule.save()
