"""The quota rules of a server, edited on the server's page."""

from __future__ import annotations

from typing import Any

from django import forms
from django.forms import BaseInlineFormSet
from django.http import HttpRequest
from unfold.admin import TabularInline

from guilds.models import QuotaRule

from . import access


class QuotaRuleForm(forms.ModelForm):  # type: ignore[type-arg]
    """One rule. QuotaRuleFormSet checks that no two are the same."""

    def validate_unique(self) -> None:
        """Skip the check: the rule that has these values now may change in the same save."""


class QuotaRuleFormSet(BaseInlineFormSet):  # type: ignore[type-arg]
    """All rules of a server. Two rules may swap their values in one save; no two are the same after it."""

    def clean(self) -> None:
        super().clean()
        seen = set()
        for form in self.forms:
            data = getattr(form, "cleaned_data", {})
            if not data or data.get("DELETE") or form.errors:
                continue
            key = tuple(data.get(name) for name in ("subject", "role_id", "metric", "window"))
            if key in seen:
                form.add_error(None, "This rule already exists. Change its limit instead.")
            seen.add(key)


class QuotaRuleInline(TabularInline):
    """The quota rules as a table."""

    model = QuotaRule
    form = QuotaRuleForm
    formset = QuotaRuleFormSet
    extra = 0
    fields = ["subject", "role_id", "role_name", "metric", "window", "limit"]
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
