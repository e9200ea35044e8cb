"""Forms and lists for which invalid input is an error on the page, never a server error."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import NON_FIELD_ERRORS, FieldError, ValidationError
from django.db import DataError, transaction
from django.http import HttpRequest
from unfold.views import ChangeList

# What a filter raises for a value of the wrong type, from Python, Django or PostgreSQL.
INVALID_VALUE_ERRORS = (ValueError, TypeError, OverflowError, ValidationError, FieldError, DataError)


class CheckedForm(forms.ModelForm):  # type: ignore[type-arg]
    """Checks all constraints of the model, also those on fields that are not in the form."""

    def validate_unique(self) -> None:
        super().validate_unique()
        if self.errors:
            return
        try:
            self.instance.validate_constraints()
        except ValidationError as error:
            errors_by_field = error.error_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.error_list}
            for field, errors in errors_by_field.items():
                self.add_error(field if field in self.fields else None, ValidationError(errors))


class CheckedAutocompleteWidget(AutocompleteSelect):  # type: ignore[misc]
    """Selects nothing for a value that is not an id. Django's widget would query for it and fail."""

    def optgroups(self, name: str, value: Any, attrs: Any = None) -> Any:
        key = self.field.target_field
        return super().optgroups(name, [key_value for key_value in value if _is_valid(key, key_value)], attrs)


def _is_valid(field: Any, value: Any) -> bool:
    try:
        field.get_prep_value(field.to_python(value))
        field.get_prep_value(value)
    except (ValidationError, ValueError, TypeError, OverflowError):
        return False
    return True


class CheckedChangeList(ChangeList):  # type: ignore[misc]
    """Redirects to the unfiltered list if the query is invalid."""

    def get_queryset(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().get_queryset(*args, **kwargs)
        except INVALID_VALUE_ERRORS as error:
            raise IncorrectLookupParameters from error

    def get_results(self, request: HttpRequest) -> None:
        try:
            # In a savepoint: after an error PostgreSQL refuses all statements until a rollback.
            with transaction.atomic():
                super().get_results(request)
                len(self.result_list)
        except INVALID_VALUE_ERRORS as error:
            raise IncorrectLookupParameters from error
