"""Servers and their rules."""

from __future__ import annotations

import zoneinfo
from functools import cache
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.forms import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from guilds import generation_limits
from guilds.models import Ban, BlockedTerm, Guild, ModelProfile, QuotaRule, StylePreset, Usage
from jobs import moderation
from jobs.models import Job

from . import access, actor_names, audit, dialogs, formatting, guild_summary, initials
from .filters import BanStatusFilter, GuildFilter, SubjectFilter
from .pagination import BoundedPaginator
from .scoped_admin import ScopedAdmin
from .validated_input import CheckedForm

LABELS = {
    "allowed_channel_ids": "Allowed channels",
    "allowed_role_ids": "Allowed roles",
    "results_ephemeral": "Private results",
    "previews": "Show previews",
    "nsfw_rule": "Adult words",
    "output_check": "Check of finished pictures",
    "max_waiting": "Waiting, the whole server",
    "max_waiting_per_member": "Waiting, one member",
    "monthly_budget_gpu_seconds": "Monthly budget, GPU seconds",
    "retention_days": "Days pictures are kept",
}
HELP = {
    "allowed_channel_ids": "IDs of channels, with commas between. Empty: every channel. Threads follow their channel.",
    "allowed_role_ids": "IDs of roles, with commas between. Empty: everyone may ask.",
    "allowed_sizes": "Like 512x512, with commas between. Empty: every size of the model.",
}


class QuotaRuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """One limit. Whether two are the same is for all of them together to say (QuotaRules)."""

    def validate_unique(self) -> None:
        """Nothing: the rule that has this place now may leave it in the same save."""


class QuotaRules(BaseInlineFormSet):  # type: ignore[type-arg]
    """All limits of a server, so that two may change places in one save, and no two are the same after it."""

    def clean(self) -> None:
        super().clean()
        seen = set()
        for form in self.forms:
            data = getattr(form, "cleaned_data", {})
            if not data or data.get("DELETE") or form.errors:
                continue
            same = tuple(data.get(name) for name in ("subject", "role_id", "metric", "window"))
            if same in seen:
                form.add_error(None, "There is such a rule already. Change its limit instead.")
            seen.add(same)


class QuotaRuleInline(TabularInline):
    """The limits, on their server's page."""

    model = QuotaRule
    form = QuotaRuleForm
    formset = QuotaRules
    extra = 0
    fields = ["subject", "role_id", "role_name", "metric", "window", "limit"]
    verbose_name_plural = "Quota rules"
    tab = True

    def _may(self, request: HttpRequest, obj: Any) -> bool:
        viewer = access.of(request)
        return viewer.can_change and (obj is None or viewer.includes(obj.pk))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.of(request).can_enter

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)


class GuildForm(CheckedForm):
    """A server's settings, held against the models that it offers."""

    def clean_time_zone(self) -> str:
        """The zone as IANA writes it, in whatever case it was typed."""
        typed = str(self.cleaned_data["time_zone"]).strip()
        return _zones().get(typed.casefold(), typed)

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        offered = list(data.get("models_offered") or ()) or list(ModelProfile.objects.filter(enabled=True))
        max_steps = data.get("max_steps")
        if max_steps is None:
            return data
        wrong = generation_limits.wrong_in_guild(
            default_steps=data.get("default_steps"),
            max_steps=max_steps,
            allowed_sizes=data.get("allowed_sizes") or (),
            models=[model.bounds() for model in offered],
        )
        for field, message in wrong:
            if field in self.fields:
                self.add_error(field, message)
        return data


@cache
def _zones() -> dict[str, str]:
    return {name.casefold(): name for name in zoneinfo.available_timezones()}


@admin.register(Guild)
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
    search_fields = ["name__istartswith", "=id"]
    search_help_text = "The beginning of its name, or its ID"
    list_filter = ["enabled"]
    ordering = ["name", "id"]
    inlines = [QuotaRuleInline]
    filter_horizontal = ["models_offered"]
    change_form_outer_before_template = "admin/guilds/guild/top.html"
    actions_detail = ["audit_link", "pause", "resume"]
    actions_detail_hide_default = True
    readonly_fields = ["id", "owner_id", "installed_at", "left_at"]
    fieldsets = [
        (
            "Who may ask, and where",
            {
                "classes": ["tab"],
                "fields": ["enabled", "allowed_channel_ids", "allowed_role_ids", "results_ephemeral", "previews"],
            },
        ),
        (
            "What may be asked",
            {
                "classes": ["tab"],
                "fields": [
                    ("default_steps", "max_steps"),
                    ("max_pictures", "allowed_sizes"),
                    "models_offered",
                    "default_negative_prompt",
                    ("nsfw_rule", "output_check"),
                ],
            },
        ),
        (
            "How much",
            {
                "classes": ["tab"],
                "fields": [
                    ("max_waiting", "max_waiting_per_member"),
                    "concurrency",
                    ("monthly_budget_gpu_seconds", "budget_warning_percent"),
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
                    ("id", "owner_id"),
                    ("installed_at", "left_at"),
                ],
            },
        ),
    ]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        kwargs["labels"] = LABELS
        kwargs["help_texts"] = HELP
        kwargs["widgets"] = {
            name: UnfoldAdminTextInputWidget() for name in ("allowed_channel_ids", "allowed_role_ids", "allowed_sizes")
        }
        return super().get_form(request, obj, change, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # What one server takes from the others, and what it may cost, are the operators' to say.
        more = [] if access.of(request).sees_all_guilds else ["concurrency", "monthly_budget_gpu_seconds"]
        return [*self.readonly_fields, *more]

    # The list

    @display(description="Server")
    def display_name(self, guild: Guild) -> SafeString:
        return format_html(
            '<span class="sp-guild">{}<span>{}<span class="sp-sub">{}</span></span></span>',
            initials.icon(guild.pk, guild.name),
            str(guild),
            guild.pk,
        )

    @display(description="State", label={"On": "success", "Paused": "warning", "Left": "default"})
    def display_state(self, guild: Guild) -> str:
        if guild.left_at:
            return "Left"
        return "On" if guild.enabled else "Paused"

    @display(description="Pictures this month")
    def display_month(self, guild: Guild) -> str:
        return formatting.count(getattr(guild, "month_pictures", None) or 0)

    @display(description="Installed", ordering="installed_at")
    def display_installed(self, guild: Guild) -> str:
        return formatting.when(guild.installed_at)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Guild]:
        rows: QuerySet[Guild] = super().get_queryset(request)
        if request.resolver_match and request.resolver_match.url_name == "guilds_guild_changelist":
            rows = guild_summary.with_month(rows, now=timezone.now())
        return rows

    # The page

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, obj: Guild | None = None, **kwargs: Any
    ) -> HttpResponse:
        if obj is not None:
            # As it is saved: a form with errors has put what was typed into `obj`.
            saved = Guild.objects.get(pk=obj.pk)
            context |= guild_summary.guild_page(saved, now=timezone.now())
            context["title"] = str(saved)
            context["can_change"] = access.of(request).can_change
        response: HttpResponse = super().render_change_form(request, context, *args, obj=obj, **kwargs)
        return response

    def has_pause_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.may_act(request, object_id) and (object_id is None or self.get_or_404(request, object_id).enabled)

    def has_resume_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.may_act(request, object_id) and (
            object_id is None or not self.get_or_404(request, object_id).enabled
        )

    @action(description="Audit", icon="history", url_path="to-audit", permissions=["view"])
    def audit_link(self, request: HttpRequest, object_id: str) -> HttpResponse:
        guild = self.get_or_404(request, object_id)
        return dialogs.done(request, reverse("admin:guilds_guild_audit", args=[guild.pk]))

    @action(
        description="Pause",
        icon="pause",
        url_path="pause",
        permissions=["pause"],
        variant=ActionVariant.WARNING,
        dialog=dialogs.dialog(
            "Pause this server?", "New requests are refused until it is resumed. What waits is still made.", "Pause"
        ),
    )
    def pause(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._switch(request, object_id, enabled=False)

    @action(
        description="Resume",
        icon="play_arrow",
        url_path="resume",
        permissions=["resume"],
        variant=ActionVariant.SUCCESS,
        dialog=dialogs.dialog("Resume this server?", "Its members may ask again.", "Resume"),
    )
    def resume(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._switch(request, object_id, enabled=True)

    def _switch(self, request: HttpRequest, object_id: str, *, enabled: bool) -> HttpResponse:
        guild: Guild = self.get_or_404(request, object_id)
        guild.enabled = enabled
        guild.save(update_fields=["enabled"])  # Not an update(): the audit listens to this.
        messages.success(request, f"{guild} is {'on again' if enabled else 'paused'}.")
        return dialogs.done(request, reverse("admin:guilds_guild_change", args=[guild.pk]))

    def get_urls(self) -> list[URLPattern]:
        audited = path("<int:object_id>/audit/", self.admin_site.admin_view(self.audit_view), name="guilds_guild_audit")
        return [audited, *super().get_urls()]

    def audit_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """What was changed in one server's settings."""
        guild = self.get_or_404(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Audit of {guild}",
            "opts": self.opts,
            "entries": audit.entries(frozenset({guild.pk}), viewer=access.of(request)),
        }
        return render(request, "admin/audit.html", context)


class GuildOwnedAdmin(ScopedAdmin):
    """Rows that a guild's moderators keep themselves."""

    moderators_may = frozenset({"view", "add", "change", "delete"})
    list_select_related = ["guild"]
    autocomplete_fields = ["guild"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # A row stays with its server: its history is that server's.
        return [*super().get_readonly_fields(request, obj), *(["guild"] if obj is not None else [])]

    @display(description="Server")
    def display_guild(self, row: Any) -> str | SafeString:
        return str(row.guild) if row.guild_id else SafeString('<span class="sp-tag">Every server</span>')


@admin.register(Ban)
class BanAdmin(GuildOwnedAdmin):
    list_display = ["user_id", "display_guild", "reason", "display_standing", "display_until"]
    list_filter = [("guild", GuildFilter), BanStatusFilter]
    list_filter_submit = True
    search_fields = ["=user_id", "reason"]
    ordering = ["-id"]
    fields = ["guild", "user_id", "reason", "until"]

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        person = access.of(request)

        @display(description="Banned by")
        def shown_by(ban: Ban) -> str:
            return actor_names.display_stored_name(person, ban.created_by)

        return [*super().get_list_display(request), shown_by]

    @display(description="Standing", label={"Holds": "danger", "Over": "default"})
    def display_standing(self, ban: Ban) -> str:
        return "Over" if ban.until and ban.until <= timezone.now() else "Holds"

    @display(description="Until", ordering="until")
    def display_until(self, ban: Ban) -> str:
        return formatting.when(ban.until, empty="it is lifted")

    def save_model(self, request: HttpRequest, obj: Ban, form: Any, change: bool) -> None:
        if not change:
            obj.created_by = dialogs.name_of(request)[:100]
        super().save_model(request, obj, form, change)
        if not change:
            cancelled = moderation.cancel_of_member(
                obj.guild_id, obj.user_id, by=dialogs.name_of(request), now=timezone.now()
            )
            if cancelled:
                messages.info(request, f"{cancelled} of their requests were cancelled and refunded.")


@admin.register(BlockedTerm)
class BlockedTermAdmin(GuildOwnedAdmin):
    list_display = ["phrase", "display_guild", "display_effect", "hits"]
    list_filter = [("guild", GuildFilter), "nsfw"]
    list_filter_submit = True
    search_fields = ["phrase"]
    fields = ["guild", "phrase", "nsfw"]
    actions_list = ["dry_run_link"]

    @display(description="Effect", label={"Refused": "danger", "Adult": "warning"})
    def display_effect(self, term: BlockedTerm) -> str:
        return "Adult" if term.nsfw else "Refused"

    @action(description="Try a term", icon="science", url_path="try", permissions=["view"])
    def dry_run_link(self, request: HttpRequest) -> HttpResponse:
        return dialogs.done(request, reverse("admin:guilds_blockedterm_dry_run"))

    def get_urls(self) -> list[URLPattern]:
        tried = path("dry-run/", self.admin_site.admin_view(self.dry_run), name="guilds_blockedterm_dry_run")
        return [tried, *super().get_urls()]

    def dry_run(self, request: HttpRequest) -> HttpResponse:
        """What a term would have blocked among the newest prompts in scope. Changes nothing."""
        phrase = request.GET.get("phrase", "").strip()[:100]
        ids = access.of(request).guild_ids
        found = moderation.dry_run(phrase, guild_ids=None if ids is None else sorted(ids)) if phrase else None
        context = {
            **self.admin_site.each_context(request),
            "title": "Try a term",
            "opts": self.opts,
            "phrase": phrase,
            "found": found,
            "examples": [(job, formatting.when(job.created_at)) for job in found.examples] if found else [],
            "share": round(100 * found.hits / found.looked_at, 1) if found and found.looked_at else 0,
        }
        return render(request, "admin/dry_run.html", context)


@admin.register(StylePreset)
class StylePresetAdmin(GuildOwnedAdmin):
    list_display = ["display_style", "display_guild", "display_template", "enabled"]
    list_display_links = ["display_style"]
    list_filter = [("guild", GuildFilter), "enabled"]
    list_filter_submit = True
    search_fields = ["name", "slug"]
    prepopulated_fields = {"slug": ["name"]}
    fields = ["guild", ("name", "slug"), "template", "negative_prompt", "preview", "enabled"]

    @display(description="Style")
    def display_style(self, style: StylePreset) -> SafeString:
        return formatting.named(style.name, style.slug, style.preview.name or "", "guilds_stylepreset", style.pk)

    @display(description="Words")
    def display_template(self, style: StylePreset) -> SafeString:
        return format_html('<span class="sp-prompt sp-faint">{}</span>', style.template)


class GrantForm(BaseDialogForm):
    pictures = forms.IntegerField(
        min_value=0, max_value=100_000, initial=50, required=False, widget=UnfoldAdminIntegerFieldWidget
    )
    gpu_seconds = forms.IntegerField(
        label="GPU seconds",
        min_value=0,
        max_value=10_000_000,
        initial=0,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
    )


@admin.register(Usage)
class UsageAdmin(ScopedAdmin):
    operators_may = frozenset({"view"})
    list_display = ["display_subject", "display_guild", "window", "display_start", "display_pictures", "display_gpu"]
    list_display_links = None
    list_select_related = ["guild"]
    list_filter = [("guild", GuildFilter), SubjectFilter, ("window", ChoicesDropdownFilter)]
    list_filter_submit = True
    ordering = ["-starts_at", "-pk"]
    sortable_by = ()
    paginator = BoundedPaginator
    actions_row = ["grant_more", "start_anew"]
    # Only of these does Unfold ask with the row's id.
    actions_detail = actions_row

    def get_queryset(self, request: HttpRequest) -> QuerySet[Usage]:
        last = Job.objects.filter(guild_id=OuterRef("guild_id"), user_id=OuterRef("subject_id")).order_by("-pk")
        rows: QuerySet[Usage] = super().get_queryset(request)
        return rows.annotate(member_name=Subquery(last.values("member_name")[:1]))

    @display(description="Who")
    def display_subject(self, usage: Usage) -> str | SafeString:
        if not usage.subject_id:
            return "The whole server"
        if usage.subject_id < 0:
            return "A member who erased their data"
        return formatting.member(usage.subject_id, getattr(usage, "member_name", None) or "")

    @display(description="Server")
    def display_guild(self, usage: Usage) -> str:
        return str(usage.guild)

    @display(description="From")
    def display_start(self, usage: Usage) -> str:
        return formatting.when(usage.starts_at)

    @display(description="Pictures")
    def display_pictures(self, usage: Usage) -> SafeString:
        return _with_grant(formatting.count(usage.pictures), usage.granted_pictures, "")

    @display(description="GPU seconds")
    def display_gpu(self, usage: Usage) -> SafeString:
        return _with_grant(formatting.count(usage.gpu_ms / 1000), usage.granted_gpu_ms // 1000, " s")

    def has_grant_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        if not self.may_act(request, object_id):
            return False
        # The whole server's counters are what the operators' limits are counted by.
        whole_server = object_id is not None and not self.get_or_404(request, object_id).subject_id
        return not whole_server or access.of(request).sees_all_guilds

    @action(
        description="Grant more",
        icon="add",
        url_path="grant",
        permissions=["grant"],
        dialog=dialogs.dialog("Grant more", "On top of the limit, until this window ends.", "Grant", GrantForm),
    )
    def grant_more(self, request: HttpRequest, form: GrantForm, object_id: str) -> HttpResponse:
        usage = self.get_or_404(request, object_id)
        pictures, gpu = form.cleaned_data["pictures"] or 0, form.cleaned_data["gpu_seconds"] or 0
        operator = access.of(request).sees_all_guilds
        moderation.grant(usage.pk, pictures=pictures, gpu_ms=gpu * 1000, operator=operator)
        audit.note(request, usage, f"Granted {pictures} pictures and {gpu} GPU seconds more")
        messages.success(request, f"Granted {pictures} pictures and {gpu} GPU seconds more.")
        return dialogs.done(request, reverse("admin:guilds_usage_changelist"))

    @action(
        description="Start anew",
        icon="restart_alt",
        url_path="anew",
        permissions=["grant"],
        dialog=dialogs.dialog(
            "Start this counter anew?", "The whole limit may be used again in this window.", "Start anew"
        ),
    )
    def start_anew(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        usage = self.get_or_404(request, object_id)
        moderation.reset_window(usage.pk, operator=access.of(request).sees_all_guilds)
        audit.note(request, usage, "Started the counter anew")
        messages.success(request, "The whole limit may be used again.")
        return dialogs.done(request, reverse("admin:guilds_usage_changelist"))


def _with_grant(used: str, granted: int, unit: str) -> SafeString:
    more = format_html('<span class="sp-sub">{}{} granted</span>', formatting.count(granted), unit) if granted else ""
    return format_html("{}{}", used, more)
