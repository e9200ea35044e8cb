"""Servers: the list and the settings of one."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelect2MultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from discord_api import snowflakes
from discord_api.i18n import DEFAULT
from guilds import directory, settings_changes, settings_copy
from guilds.adapter_models import Adapter
from guilds.features import FEATURES
from guilds.models import Guild
from interactions_lambda.responses import feature_name
from sparkle_site import discord_client

from . import access, audit_views, formatting, guild_summary, initials, member_names, pickers
from .action_framework import Confirmation, Result, RowAction, go_to, with_actions
from .pickers import NameField, NamesField
from .quota_rules import QuotaRuleInline
from .scoped_admin import ScopedAdmin
from .validated_input import CheckedForm

LABELS = {
    "allowed_channel_ids": "Allowed channels",
    "allowed_role_ids": "Allowed roles",
    "loras_offered": "LoRAs offered",
    "results_ephemeral": "Private results",
    "result_layout": "Result layout",
    "previews": "Show previews",
    "nsfw_rule": "Adult prompts",
    "output_check": "Image check",
    "max_waiting": "Queue limit, whole server",
    "max_waiting_per_member": "Queue limit, per member",
    "monthly_budget_gpu_seconds": "Monthly budget (GPU seconds)",
    "retention_days": "Retention (days)",
    "cooldown_s": "Cool-down (seconds)",
    "find_spaced_letters": "Find spaced letters",
    "default_speed": "Default speed",
    "relaxed_patience_hours": "Longest wait of a relaxed request (hours)",
    "relaxed_over_quota": "Relaxed when a quota is used up",
}
HELP = {
    "default_speed": "For requests without a speed of their own. Relaxed costs almost nothing but may take hours.",
    "relaxed_patience_hours": "After this time a relaxed request starts a GPU. From 1 to 24 hours.",
    "allowed_sizes": "For example 512x512, separated by commas. Empty: all sizes of the model.",
}
# What stands below the lists of models and LoRAs.
OFFERED = {
    "models_offered": "Empty: every enabled model.",
    "loras_offered": "LoRAs that members may choose. Empty: none.",
}

T = TypeVar("T")


def _directory_of(guild: Guild) -> directory.Directory:
    # A page builds its form several times.
    return _once(guild, "_directory", lambda: directory.load(guild.pk) if guild.pk else directory.Directory())


def _owner_name(guild: Guild) -> str:
    owner = guild.owner_id or 0
    # A page renders a read-only field several times.
    names = _once(guild, "_owner_names", lambda: member_names.in_guilds([owner], frozenset({guild.pk})))
    return names.get(owner, member_names.UNKNOWN)


def _once(guild: Guild, name: str, read: Callable[[], T]) -> T:
    """Return what `read` returned first for this row."""
    kept = vars(guild)
    if name not in kept:
        kept[name] = read()
    value: T = kept[name]
    return value


class GuildForm(CheckedForm):
    """A server's settings, checked against the models that it offers. Channels and roles are chosen by name."""

    allowed_channel_ids = NamesField(
        "channels",
        label=LABELS["allowed_channel_ids"],
        help_text="Empty: all channels. A thread counts as its channel.",
    )
    mod_log_channel_id = NameField(
        "channel",
        label="Mod-log channel",
        help_text="Reports, removals, warnings, bans and reached limits are posted here. Choose a channel that only "
        "moderators can read, and where Sparkle can send messages.",
    )
    allowed_role_ids = NamesField("roles", label=LABELS["allowed_role_ids"], help_text="Empty: everyone.")
    features = forms.MultipleChoiceField(
        label="Members can use",
        required=False,
        choices=[(code, feature_name(DEFAULT, code)) for code in FEATURES],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="Commands, options and buttons. What is off is refused with a sentence, and its button is not shown.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = _directory_of(self.instance)
        offers = {
            "allowed_channel_ids": pickers.channel_choices(known, chosen=self.instance.allowed_channel_ids),
            "allowed_role_ids": pickers.role_choices(known, chosen=self.instance.allowed_role_ids),
        }
        log = self.instance.mod_log_channel_id
        log_choices = pickers.channel_choices(known, chosen=[log] if log else [], kinds=directory.LOGGABLE)
        offers["mod_log_channel_id"] = [("", "None"), *log_choices]
        self.initial["features"] = [code for code in FEATURES if code not in self.instance.switched_off]
        for name, choices in offers.items():
            if isinstance(field := self.fields.get(name), NamesField | NameField):
                field.choices = choices
        if "loras_offered" in self.fields:
            usable = Adapter.objects.filter(enabled=True).usable_in([self.instance.pk])
            self.fields["loras_offered"].queryset = usable  # type: ignore[attr-defined]
        for name in OFFERED.keys() & self.fields.keys():
            offered = self.fields[name]
            assert isinstance(offered, forms.ModelMultipleChoiceField)  # noqa: S101
            offered.widget = UnfoldAdminSelect2MultipleWidget()
            offered.widget.choices = offered.choices
            offered.help_text = OFFERED[name]

    def clean_time_zone(self) -> str:
        """Return the time zone in IANA's spelling, whatever case was typed."""
        typed = str(self.cleaned_data["time_zone"]).strip()
        return _zones().get(typed.casefold(), typed)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if "features" in self.fields and "features" in data:
            # What only a newer version of the site knows stays as it is.
            off = [code for code in self.instance.switched_off if code not in FEATURES]
            self.instance.switched_off = off + [code for code in FEATURES if code not in data["features"]]
        max_steps = data.get("max_steps")
        if max_steps is None:
            return data
        wrong = settings_changes.wrong_in_guild(
            default_steps=data.get("default_steps"),
            max_steps=max_steps,
            allowed_sizes=data.get("allowed_sizes") or (),
            offered=list(data.get("models_offered") or ()),
        )
        for field, message in wrong:
            if field in self.fields:
                self.add_error(field, message)
        return data


@cache
def _zones() -> dict[str, str]:
    return {name.casefold(): name for name in zoneinfo.available_timezones()}


def _switch(request: HttpRequest, guild: Guild, *, enabled: bool) -> Result:
    guild.enabled = enabled
    guild.save(update_fields=["enabled"])  # Not an update(): the audit listens to the signal of save().
    return Result(text=f"{guild} is {'active again' if enabled else 'paused'}.")


class CopyForm(BaseDialogForm):
    """The server whose settings are copied, of those that the viewer may see."""

    source = forms.ModelChoiceField(
        label="Copy from",
        queryset=Guild.objects.none(),
        widget=UnfoldAdminSelectWidget,
        error_messages={
            "required": "Choose the server to copy from.",
            "invalid_choice": "Choose one of the servers in the list.",
        },
    )

    def __init__(self, request: HttpRequest, object_id: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, object_id, *args, **kwargs)
        others = access.guilds_of(request).exclude(pk=snowflakes.parse(object_id) or 0)
        self.fields["source"].queryset = others  # type: ignore[attr-defined]


def _copy(request: HttpRequest, guild: Guild, form: CopyForm) -> Result:
    source = form.cleaned_data["source"]
    copied = settings_copy.copy(source, guild)
    rules, terms = formatting.counted(copied.rules, "quota rule"), formatting.counted(copied.terms, "new blocked term")
    return Result(text=f"{guild} has the settings of {source} now, with {rules} and {terms}.")


ON_ROW = (
    RowAction(
        name="copy_settings",
        label="Copy settings",
        icon="content_copy",
        url_path="copy",
        permission="copy",
        confirmation=Confirmation(
            title="Copy the settings of another server?",
            text="Replaces limits, models, language and the quota rules for members and the server, and adds its "
            "blocked terms. Channels, roles, rules of roles and channels, bans and styles stay.",
            button="Copy",
            form=CopyForm,
        ),
        run=_copy,
        applies_to=lambda guild: guild.left_at is None,
    ),
    RowAction(
        name="pause",
        label="Pause",
        icon="pause",
        url_path="pause",
        permission="pause",
        confirmation=Confirmation(
            title="Pause this server?",
            text="New requests are refused until you resume it. Waiting requests are still completed.",
            button="Pause",
        ),
        run=lambda request, guild, form: _switch(request, guild, enabled=False),
        applies_to=lambda guild: guild.enabled,
        variant=ActionVariant.WARNING,
    ),
    RowAction(
        name="resume",
        label="Resume",
        icon="play_arrow",
        url_path="resume",
        permission="resume",
        confirmation=Confirmation(
            title="Resume this server?", text="Its members can make requests again.", button="Resume"
        ),
        run=lambda request, guild, form: _switch(request, guild, enabled=True),
        applies_to=lambda guild: not guild.enabled,
        variant=ActionVariant.SUCCESS,
    ),
)


@admin.register(Guild)
@with_actions(on_row=ON_ROW)
class GuildAdmin(ScopedAdmin):
    guild_path = "pk"
    form = GuildForm
    moderators_may = frozenset({"view", "change"})
    operators_may = frozenset({"view", "change"})
    list_display = [
        "display_name",
        "display_state",
        "display_month",
        "concurrency",
        "retention_days",
        "display_installed",
    ]
    list_display_links = ["display_name"]
    search_fields = ["name__icontains", "=id"]
    search_help_text = "A part of its name"
    list_filter = ["enabled"]
    ordering = ["name", "id"]
    inlines = [QuotaRuleInline]
    change_form_outer_before_template = "admin/guilds/guild/top.html"
    change_form_after_template = "admin/guilds/guild/preview_button.html"
    change_form_outer_after_template = "admin/guilds/guild/summary.html"
    actions_detail = ["audit_link"]
    actions_detail_hide_default = True
    readonly_fields = ["display_owner", "installed_at", "left_at"]
    fieldsets = [
        (
            "Access",
            {
                "classes": ["tab"],
                "fields": [
                    "enabled",
                    "allowed_channel_ids",
                    "allowed_role_ids",
                    "mod_log_channel_id",
                    ("result_layout", "results_ephemeral"),
                    "previews",
                ],
            },
        ),
        (
            "Generation",
            {
                "classes": ["tab"],
                "fields": [
                    ("default_steps", "max_steps"),
                    ("max_images", "allowed_sizes"),
                    "models_offered",
                    "loras_offered",
                    "default_negative_prompt",
                    ("nsfw_rule", "output_check"),
                    "find_spaced_letters",
                    "features",
                ],
            },
        ),
        (
            "Limits",
            {
                "classes": ["tab"],
                "fields": [
                    ("max_waiting", "max_waiting_per_member"),
                    ("concurrency", "cooldown_s"),
                    ("monthly_budget_gpu_seconds", "budget_warning_percent"),
                    ("default_speed", "relaxed_patience_hours"),
                    "relaxed_over_quota",
                ],
            },
        ),
        (
            "Language and privacy",
            {
                "classes": ["tab"],
                "fields": [
                    ("language", "time_zone"),
                    "retention_days",
                    "display_owner",
                    ("installed_at", "left_at"),
                ],
            },
        ),
    ]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["labels"] = LABELS
        kwargs["help_texts"] = HELP
        kwargs["widgets"] = {"allowed_sizes": UnfoldAdminTextInputWidget()}
        return super().get_form(request, obj, change, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # Only operators decide how much capacity and money one server may use.
        more = [] if access.of(request).sees_all_guilds else ["concurrency", "monthly_budget_gpu_seconds"]
        return [*self.readonly_fields, *more]

    # The list

    @display(description="Server")
    def display_name(self, guild: Guild) -> SafeString:
        return format_html(
            '<span class="sp-guild">{}<span>{}</span></span>', initials.icon(guild.pk, guild.name), str(guild)
        )

    @display(description="State", label={"Active": "success", "Paused": "warning", "Left": "default"})
    def display_state(self, guild: Guild) -> str:
        if guild.left_at:
            return "Left"
        return "Active" if guild.enabled else "Paused"

    @display(description="Images this month")
    def display_month(self, guild: Guild) -> str:
        return formatting.count(getattr(guild, "month_images", None) or 0)

    @display(description="Owner")
    def display_owner(self, guild: Guild) -> str:
        return _owner_name(guild)

    @display(description="Installed", ordering="installed_at")
    def display_installed(self, guild: Guild) -> str:
        return formatting.when(guild.installed_at)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Guild]:
        rows: QuerySet[Guild] = super().get_queryset(request)
        if request.resolver_match and request.resolver_match.url_name == "guilds_guild_changelist":
            rows = guild_summary.with_month(rows, now=timezone.now())
        return rows

    # The page

    def changeform_view(self, request: HttpRequest, object_id: str | None = None, *args: Any, **kwargs: Any) -> Any:
        if request.method == "GET" and object_id is not None:
            guild = self.get_or_404(request, object_id)
            if guild.left_at is None:
                force = "refresh" in request.GET
                directory.refresh_if_old(guild.pk, discord_client.client(), now=timezone.now(), force=force)
        return super().changeform_view(request, object_id, *args, **kwargs)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Guild | None = None, **kwargs: Any
    ) -> HttpResponse:
        if obj is not None:
            # Read again: a form with errors has put the typed values into `obj`.
            saved = Guild.objects.get(pk=obj.pk)
            context |= guild_summary.build_context(saved, now=timezone.now())
            context["title"] = str(saved)
            context["can_change"] = access.of(request).can_change
            context["directory"] = _directory_of(obj)
        response: HttpResponse = super().render_change_form(request, context, *args, obj=obj, **kwargs)
        return response

    @action(description="Audit", icon="history", url_path="to-audit", permissions=["view"])
    def audit_link(self, request: HttpRequest, object_id: str) -> HttpResponse:
        guild = self.get_or_404(request, object_id)
        return go_to(request, reverse("admin:guilds_guild_audit", args=[guild.pk]))

    def get_urls(self) -> list[URLPattern]:
        audited = path("<int:object_id>/audit/", self.admin_site.admin_view(self.audit_view), name="guilds_guild_audit")
        return [audited, *super().get_urls()]

    def audit_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Show the changes of one server's settings."""
        guild = self.get_or_404(request, object_id)
        title = f"Audit of {guild}"
        return audit_views.render_page(request, frozenset({guild.pk}), title=title, opts=self.opts)
