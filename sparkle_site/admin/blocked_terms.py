"""Blocked terms, and a page that tests a term on past prompts."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from unfold.decorators import action, display

from guilds.models import BlockedTerm
from jobs import moderation

from . import access, blocked_term_files, formatting
from .action_framework import go_to
from .filters import GuildFilter
from .scoped_admin import GuildOwnedAdmin


@admin.register(BlockedTerm)
class BlockedTermAdmin(GuildOwnedAdmin):
    list_display = ["phrase", "display_guild", "display_effect", "hits"]
    list_filter = [("guild", GuildFilter), "nsfw", "allowed"]
    list_filter_submit = True
    search_fields = ["phrase"]
    fields = ["guild", "phrase", "nsfw", "allowed"]
    actions_list = ["dry_run_link", "import_link", "export_link"]

    @display(description="Effect", label={"Refused": "danger", "Adult": "warning", "Exception": "success"})
    def display_effect(self, term: BlockedTerm) -> str:
        if term.allowed:
            return "Exception"
        return "Adult" if term.nsfw else "Refused"

    @action(description="Test a term", icon="science", url_path="try", permissions=["view"])
    def dry_run_link(self, request: HttpRequest) -> HttpResponse:
        return go_to(request, reverse("admin:guilds_blockedterm_dry_run"))

    @action(description="Import", icon="upload", url_path="to-import", permissions=["add"])
    def import_link(self, request: HttpRequest) -> HttpResponse:
        return go_to(request, reverse("admin:guilds_blockedterm_import"))

    @action(description="Export", icon="download", url_path="export", permissions=["view"])
    def export_link(self, request: HttpRequest) -> HttpResponse:
        return blocked_term_files.export(request)

    def get_urls(self) -> list[URLPattern]:
        page = path("dry-run/", self.admin_site.admin_view(self.dry_run), name="guilds_blockedterm_dry_run")
        view = self.admin_site.admin_view(blocked_term_files.import_page)
        return [page, path("import/", view, name="guilds_blockedterm_import"), *super().get_urls()]

    def dry_run(self, request: HttpRequest) -> HttpResponse:
        """Show what a term would have blocked among the newest prompts that the viewer may see. Changes nothing."""
        phrase = request.GET.get("phrase", "").strip()[:100]
        ids = access.of(request).guild_ids
        result = moderation.dry_run(phrase, guild_ids=None if ids is None else sorted(ids)) if phrase else None
        context = {
            **self.admin_site.each_context(request),
            "title": "Test a term",
            "opts": self.opts,
            "phrase": phrase,
            "found": result,
            "examples": [(job, formatting.when(job.created_at)) for job in result.examples] if result else [],
            "share": round(100 * result.hits / result.looked_at, 1) if result and result.looked_at else 0,
        }
        return render(request, "admin/dry_run.html", context)
