"""Import and export of blocked terms, as lists of text."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from guilds import blocked_term_lists
from guilds.models import BlockedTerm, Guild

from . import access, formatting

MAX_CHARACTERS = 250_000
MAX_SHOWN = 20


class ImportForm(forms.Form):
    """The list, and the server that it is for."""

    guild = forms.ModelChoiceField(queryset=Guild.objects.none(), label="Server", empty_label=None)
    terms = forms.CharField(
        label="One term a line",
        max_length=MAX_CHARACTERS,
        widget=forms.Textarea(attrs={"rows": 12, "class": "sp-field"}),
        error_messages={"required": "Paste the terms, one a line."},
    )

    def __init__(self, *args: Any, request: HttpRequest, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        guild = self.fields["guild"]
        assert isinstance(guild, forms.ModelChoiceField)  # noqa: S101
        guild.queryset = access.guilds_of(request).filter(left_at=None)
        guild.widget.attrs["class"] = "sp-field"
        if access.of(request).sees_all_guilds:
            guild.empty_label, guild.required = "All servers", False

    def clean_terms(self) -> list[blocked_term_lists.Line]:
        """Return the lines of the list."""
        lines = blocked_term_lists.parse_terms(self.cleaned_data["terms"])
        if not lines:
            raise forms.ValidationError("There is no term in this list.")
        if len(lines) > blocked_term_lists.MAX_LINES:
            raise forms.ValidationError(
                f"Paste at most {formatting.count(blocked_term_lists.MAX_LINES)} terms at once."
            )
        return lines


def import_page(request: HttpRequest) -> HttpResponse:
    """Add the terms of a pasted list. Wrong lines are shown again, and the others are added."""
    if not access.of(request).can_change:
        raise PermissionDenied
    form = ImportForm(request.POST or None, request=request)
    wrong: tuple[tuple[int, str], ...] = ()
    if request.method == "POST" and form.is_valid():
        guild, lines = form.cleaned_data["guild"], form.cleaned_data["terms"]
        done = blocked_term_lists.add(guild.pk if guild else None, lines)
        was = "was" if done.known == 1 else "were"
        text = f"Added {formatting.counted(done.added, 'term')}. {formatting.count(done.known)} {was} blocked already."
        messages.success(request, text)
        if not done.wrong:
            return redirect("admin:guilds_blockedterm_changelist")
        wrong = done.wrong
        by_number = {line.number: line.phrase for line in lines}
        form.initial["terms"] = "\n".join(by_number[number] for number, _ in wrong)
        form = ImportForm(initial={"guild": guild, "terms": form.initial["terms"]}, request=request)
    context = {
        **admin.site.each_context(request),
        "title": "Import blocked terms",
        "form": form,
        "wrong": wrong[:MAX_SHOWN],
        "more": max(0, len(wrong) - MAX_SHOWN),
    }
    return render(request, "admin/term_import.html", context, status=422 if form.errors else 200)


def export(request: HttpRequest) -> HttpResponse:
    """Return the terms of the servers that the viewer may see, as a list that can be imported."""
    ids = access.of(request).guild_ids
    terms = BlockedTerm.objects.all() if ids is None else BlockedTerm.objects.filter(guild_id__in=ids)
    text = blocked_term_lists.format_terms({term.folded: term for term in terms.order_by("phrase")}.values())
    headers = {"Content-Disposition": 'attachment; filename="blocked-terms.txt"', "Cache-Control": "no-store"}
    return HttpResponse(text, content_type="text/plain; charset=utf-8", headers=headers)
