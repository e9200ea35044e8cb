"""Keys of the HTTP API: created by moderators, shown once, revoked at any time."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from unfold.decorators import display

from jobs import api_keys
from jobs.api_models import ApiKey

from . import access, audit_log, formatting
from .action_framework import Confirmation, Result, RowAction, with_actions
from .filters import GuildFilter
from .scoped_admin import GuildOwnedAdmin
from .validated_input import CheckedForm


class ApiKeyForm(CheckedForm):
    def clean(self) -> Any:
        cleaned = super().clean()
        guild = (cleaned or {}).get("guild")
        if guild is not None and self.instance.pk is None:
            if ApiKey.objects.filter(guild=guild, revoked_at=None).count() >= api_keys.MOST_KEYS:
                raise ValidationError(f"This server has {api_keys.MOST_KEYS} keys. Revoke one that is not used.")
            self.instance.user_id = api_keys.default_member(guild, self.discord_id)
            if self.instance.user_id is None:
                raise ValidationError("Sign in with Discord to create a key: its requests count as a member's.")
        return cleaned

    discord_id: int | None = None


def _revoke(request: HttpRequest, key: ApiKey, form: Any) -> Result:
    api_keys.revoke(key, now=timezone.now())
    audit_log.record_action(request, key, "Revoked the key")
    return Result(text="The key was revoked. Programs that use it are refused from now on.")


ON_ROW = (
    RowAction(
        name="revoke_key",
        label="Revoke",
        icon="key_off",
        url_path="revoke",
        permission="revoke",
        confirmation=Confirmation(
            title="Revoke this key?",
            text="Programs that use it are refused at once, and its webhooks stop. This cannot be undone.",
            button="Revoke",
        ),
        run=_revoke,
        applies_to=lambda key: key.revoked_at is None,
        back_to="changelist",
    ),
)


@admin.register(ApiKey)
@with_actions(on_row=ON_ROW)
class ApiKeyAdmin(GuildOwnedAdmin):
    moderators_may = frozenset({"view", "add", "change"})
    operators_may = frozenset({"view", "add", "change"})
    form = ApiKeyForm
    list_display = ["name", "display_guild", "display_hint", "display_state", "display_used"]
    list_filter = [("guild", GuildFilter)]
    list_filter_submit = True
    search_fields = ["name"]
    fields = ["guild", "name", "webhook_url"]
    actions_row = [row_action.name for row_action in ON_ROW]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        form.discord_id = access.discord_id(request.user)
        return form

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        # Shown once, by response_add.
        request._sparkle_secret = api_keys.issue(obj)  # type: ignore[attr-defined]
        audit_log.record_action(request, obj, "Created the key")

    def response_add(self, request: HttpRequest, obj: ApiKey, *args: Any) -> HttpResponse:
        response = render(
            request,
            "admin/api_key.html",
            {
                **self.admin_site.each_context(request),
                "title": f"Key “{obj.name}”",
                "opts": self.opts,
                "key": obj,
                "secret": request._sparkle_secret,  # type: ignore[attr-defined]
            },
        )
        response.headers["Cache-Control"] = "no-store"
        # Django's own message would say the same on the next page.
        list(messages.get_messages(request))
        return response

    @display(description="Key")
    def display_hint(self, key: ApiKey) -> str:
        return f"{key.hint}…"

    @display(description="State", label={"Active": "success", "Revoked": "default"})
    def display_state(self, key: ApiKey) -> str:
        return "Revoked" if key.revoked_at else "Active"

    @display(description="Last used")
    def display_used(self, key: ApiKey) -> str:
        return formatting.when(key.last_used_at, empty="Never")
