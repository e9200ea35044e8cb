"""Forms and lists of the admin that answer every input: what the database would refuse is an error on the page."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import NON_FIELD_ERRORS, FieldError, ValidationError
from django.db import DataError, transaction
from django.http import HttpRequest
from unfold.views import ChangeList

# What a filter raises that takes a value for another kind than it is: Python's, Django's and PostgreSQL's errors.
NOT_UNDERSTOOD = (ValueError, TypeError, OverflowError, ValidationError, FieldError, DataError)


class CheckedForm(forms.ModelForm):  # type: ignore[type-arg]
    """Checks every constraint of the row: those too whose fields the form does not show (a folded phrase, a server)."""

    def validate_unique(self) -> None:
        super().validate_unique()
        if self.errors:
            return
        try:
            self.instance.validate_constraints()
        except ValidationError as error:
            found = error.error_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.error_list}
            for field, errors in found.items():
                self.add_error(field if field in self.fields else None, ValidationError(errors))


class CheckedAutocompleteWidget(AutocompleteSelect):  # type: ignore[misc]
    """Shows nothing selected for a value that is no id: Django's own asks the database for it and fails."""

    def optgroups(self, name: str, value: Any, attrs: Any = None) -> Any:
        key = self.field.target_field
        return super().optgroups(name, [each for each in value if _reads(key, each)], attrs)


def _reads(field: Any, value: Any) -> bool:
    try:
        field.get_prep_value(field.to_python(value))
        field.get_prep_value(value)
    except (ValidationError, ValueError, TypeError, OverflowError):
        return False
    return True


class CheckedChangeList(ChangeList):  # type: ignore[misc]
    """A list whose query was not understood is shown whole (the admin redirects to it), never as an error."""

    def get_queryset(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().get_queryset(*args, **kwargs)
        except NOT_UNDERSTOOD as error:
            raise IncorrectLookupParameters from error

    def get_results(self, request: HttpRequest) -> None:
        try:
            # A savepoint: PostgreSQL refuses everything after an error until the transaction is rolled back.
            with transaction.atomic():
                super().get_results(request)
                len(self.result_list)
        except NOT_UNDERSTOOD as error:
            raise IncorrectLookupParameters from error
