"""The quota rules of a server, edited on the server's page."""

from __future__ import annotations

from typing import Any

from django import forms
from django.forms import BaseInlineFormSet
from django.http import HttpRequest
from unfold.admin import TabularInline

from guilds import directory
from guilds.models import QuotaRule

from . import access, pickers
from .pickers import NameField

# Of one channel. A request may be in a channel and in its category, and a job has room for sixteen counters in all.
MAX_COUNTERS = 5


class QuotaRuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """One rule, with its role and channel chosen by name. QuotaRuleFormSet checks that no two are the same."""

    role_id = NameField("role", label="Role")
    channel_id = NameField("channel", label="Channel")
    known = directory.Directory()
    """The names of the server's roles and channels."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for column in self.fields.values():
            # The column's heading is no label of the field.
            column.widget.attrs["aria-label"] = column.label
        if isinstance(field := self.fields.get("role_id"), NameField):
            chosen = [self.instance.role_id] if self.instance.role_id else []
            field.choices = [("", "–"), *pickers.role_choices(self.known, chosen=chosen)]

        if isinstance(field := self.fields.get("channel_id"), NameField):
            chosen = [self.instance.channel_id] if self.instance.channel_id else []
            field.choices = [("", "Whole server"), *pickers.channel_choices(self.known, chosen=chosen)]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or self.cleaned_data
        subject, role_id = data.get("subject"), data.get("role_id")
        if subject == QuotaRule.Subject.ROLE and role_id is None and "role_id" not in self.errors:
            self.add_error("role_id", "Choose the role that this rule is for.")
        elif subject and subject != QuotaRule.Subject.ROLE:
            data["role_id"] = None
        if subject and subject != QuotaRule.Subject.ROLE and data.get("limit") is None and "limit" not in self.errors:
            self.add_error("limit", "Enter a limit. Only a role's rule may be unlimited.")
        return data

    def save(self, commit: bool = True) -> Any:
        role_id = self.instance.role_id
        self.instance.role_name = self.known.role(role_id).name or self.instance.role_name if role_id else ""
        return super().save(commit)

    def validate_unique(self) -> None:
        """Skip the check: the rule that has these values now may change in the same save."""


class QuotaRuleFormSet(BaseInlineFormSet):  # type: ignore[type-arg]
    """All rules of a server. Two rules may swap their values in one save; no two are the same after it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            known = directory.load(self.instance.pk)
            self.form = type(self.form.__name__, (self.form,), {"known": known})

    def clean(self) -> None:
        super().clean()
        seen: set[tuple[Any, ...]] = set()
        counters: dict[int, set[tuple[bool, str]]] = {}
        for form in self.forms:
            data = getattr(form, "cleaned_data", {})
            if not data or data.get("DELETE") or form.errors:
                continue
            key = tuple(data.get(name) for name in ("subject", "role_id", "channel_id", "metric", "window"))
            if key in seen:
                form.add_error(None, "This rule already exists. Change its limit instead.")
            seen.add(key)
            if (channel_id := data.get("channel_id")) is None:
                continue
            used = counters.setdefault(channel_id, set())
            used.add((data["subject"] == QuotaRule.Subject.GUILD, data["window"]))
            if len(used) > MAX_COUNTERS:
                form.add_error(None, "This channel has rules for all but one of the windows. Delete one of them first.")


class QuotaRuleInline(TabularInline):
    """The quota rules as a table."""

    model = QuotaRule
    form = QuotaRuleForm
    formset = QuotaRuleFormSet
    extra = 0
    fields = ["subject", "role_id", "channel_id", "metric", "window", "limit"]
    verbose_name_plural = "Quota rules"
    tab = True

    def _can_change(self, request: HttpRequest, obj: Any) -> bool:
        viewer = access.of(request)
        return viewer.can_change and (obj is None or viewer.includes(obj.pk))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return access.of(request).can_enter

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._can_change(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._can_change(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._can_change(request, obj)
