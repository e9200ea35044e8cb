"""The base of every ModelAdmin: querysets, forms and permissions narrowed to the guilds that the viewer manages."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display

from discord_api import snowflakes
from guilds.models import Guild

from . import access, audit_log
from .validated_input import CheckedAutocompleteWidget, CheckedChangeList, CheckedForm

logger = logging.getLogger(__name__)


class ScopedAdmin(ModelAdmin):
    """Hides rows of other guilds everywhere: URLs, filters, autocomplete, actions and history."""

    guild_path: str | None = "guild_id"
    """The lookup from a row to its guild's id; None if only operators may see the rows."""
    moderators_may: frozenset[str] = frozenset({"view"})
    operators_may: frozenset[str] = frozenset({"view", "add", "change", "delete"})
    list_fullwidth = True
    compressed_fields = True
    warn_unsaved_form = True
    show_full_result_count = False
    list_max_show_all = 0
    form = CheckedForm

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        viewer = access.of(request)
        if viewer.guild_ids is None:
            return rows
        return rows.filter(**{f"{self.guild_path}__in": viewer.guild_ids}) if self.guild_path else rows.none()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[CheckedChangeList]:
        return CheckedChangeList

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except (IntegrityError, DataError) as error:
            # The form is valid, so another save at the same time conflicts.
            logger.warning("form_not_saved", extra={"form": self.model.__name__, "error": type(error).__name__})
            messages.error(request, "Nothing was saved because someone else saved a conflicting change. Try again.")
            return HttpResponseRedirect(request.get_full_path())

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *location: Any) -> Any:
        # Django passes the chosen ids to the database unchecked.
        for row_id in request.POST.getlist(ACTION_CHECKBOX_NAME):
            if not _is_key(self.model, row_id):
                messages.error(request, "The selection was invalid. Select the rows again.")
                return HttpResponseRedirect(request.get_full_path())
        return super().response_action(request, queryset, *location)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        # One by one, because deleting a row also deletes its file.
        for row in queryset:
            row.delete()

    def may(self, request: HttpRequest, what: str, obj: Any = None) -> bool:
        """Return whether the user may view, add, change or delete (`what`) rows of this model, or `obj` if given."""
        viewer = access.of(request)
        if not viewer.can_enter or (what != "view" and not viewer.can_change):
            return False
        if viewer.sees_all_guilds:
            return what in self.operators_may
        if self.guild_path is None or what not in self.moderators_may:
            return False
        # Unfold may pass an id instead. The action then fetches the row through get_queryset.
        return not isinstance(obj, Model) or viewer.includes(self.guild_of(obj))

    def guild_of(self, obj: Model) -> int | None:
        """Return the id of the row's guild."""
        value: Any = obj
        for field in (self.guild_path or "").split("__"):
            value = getattr(value, field) if value is not None else None
        return value

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "view", obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "add", obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "change", obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, "delete", obj)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.may(request, "view")

    def get_or_404(self, request: HttpRequest, object_id: Any) -> Any:
        """Return the row, read once per request. Raise Http404 if it does not exist or the user may not see it."""
        rows: dict[Any, Any] = request.__dict__.setdefault("_sparkle_rows", {})
        key = (self.model, str(object_id))
        if key not in rows:
            rows[key] = self.get_object(request, str(object_id))
        if rows[key] is None:
            raise Http404
        return rows[key]

    def may_act(self, request: HttpRequest, object_id: Any) -> bool:
        """Return whether the user may run actions on rows of this model. Raise Http404 if `object_id` is not theirs."""
        viewer = access.of(request)
        if not viewer.can_enter or not viewer.can_change or (self.guild_path is None and not viewer.sees_all_guilds):
            return False
        if object_id is not None:
            self.get_or_404(request, object_id)
        return True

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.related_model is Guild and "queryset" not in kwargs:
            kwargs["queryset"] = access.guilds_of(request)
        if db_field.name in self.get_autocomplete_fields(request) and "widget" not in kwargs:
            kwargs["widget"] = CheckedAutocompleteWidget(db_field, self.admin_site, using=kwargs.get("using"))
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.related_model is Guild and field is not None and not access.of(request).sees_all_guilds:
            # Only operators may create rows without a guild, which apply to all servers.
            field.required = True
            field.help_text = ""
        return field

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        initial: dict[str, Any] = dict(super().get_changeform_initial_data(request))
        if "guild" in initial:
            guild_id = snowflakes.parse(initial["guild"]) or 0
            if not access.guilds_of(request).filter(pk=guild_id).exists():
                del initial["guild"]
        guild_ids = access.of(request).guild_ids
        if guild_ids and len(guild_ids) == 1:
            initial.setdefault("guild", next(iter(guild_ids)))
        return initial

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Show the changes of one row from the audit instead of Django's own log."""
        row = self.get_or_404(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": f"History of {row}",
            "opts": self.opts,
            "entries": audit_log.row_history(row, viewer=access.of(request)),
        }
        return render(request, "admin/audit.html", context)

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        raise Http404


class GuildOwnedAdmin(ScopedAdmin):
    """The base for rows of a guild that its moderators manage themselves."""

    moderators_may = frozenset({"view", "add", "change", "delete"})
    list_select_related = ["guild"]
    autocomplete_fields = ["guild"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # A row stays with its server, because its history belongs to that server.
        return [*super().get_readonly_fields(request, obj), *(["guild"] if obj is not None else [])]

    @display(description="Server")
    def display_guild(self, row: Any) -> str | SafeString:
        return str(row.guild) if row.guild_id else SafeString('<span class="sp-tag">All servers</span>')


def _is_key(model: type[Any], text: str) -> bool:
    try:
        return bool(text) and model._meta.pk.to_python(text) is not None
    except ValidationError:
        return False
