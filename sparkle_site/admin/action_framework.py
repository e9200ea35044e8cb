"""Admin actions as rows of a table: for one row, with a confirmation, and for the rows chosen in a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import reverse
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.forms import BaseDialogForm

from .scoped_admin import ScopedAdmin

AdminClass = TypeVar("AdminClass", bound=type[ScopedAdmin])


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What an action tells the person who ran it, and the address to go to ("": back to where the action says)."""

    text: str
    level: int = messages.SUCCESS
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """The dialog before an action runs: its title, what will happen, the button, and a form for more input."""

    title: str
    text: str
    button: str
    form: type[BaseDialogForm] = BaseDialogForm


@dataclass(frozen=True, slots=True, kw_only=True)
class RowAction:
    """An action on one row, at the address `<id>/<url_path>/`.

    `permission` names the method `has_<permission>_permission`. It is made from `applies_to`, which says whether the
    action makes sense for a row; without `applies_to` the admin class defines it.
    """

    name: str
    label: str
    icon: str
    url_path: str
    permission: str
    confirmation: Confirmation
    run: Callable[[HttpRequest, Any, Any], Result]
    """Takes the request, the row and the valid form of the dialog."""
    applies_to: Callable[[Any], bool] | None = None
    variant: ActionVariant = ActionVariant.DEFAULT
    back_to: str = "change"
    """The page afterwards: the row's own ("change") or the list ("changelist")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListAction:
    """An action on the rows that are chosen in a list. `run` takes the request and the rows."""

    name: str
    label: str
    permission: str
    run: Callable[[HttpRequest, QuerySet[Any]], Result | HttpResponseBase]


def with_actions(
    *, on_row: Iterable[RowAction] = (), on_list: Iterable[ListAction] = ()
) -> Callable[[AdminClass], AdminClass]:
    """Give an admin class the actions, in this order, with their permissions."""
    row_actions, list_actions = tuple(on_row), tuple(on_list)

    def decorate(admin_class: AdminClass) -> AdminClass:
        for row_action in row_actions:
            setattr(admin_class, row_action.name, _row_method(row_action))
            if row_action.applies_to is not None:
                setattr(admin_class, f"has_{row_action.permission}_permission", _permission(row_action.applies_to))
        for list_action in list_actions:
            setattr(admin_class, list_action.name, _list_method(list_action))
        admin_class.actions_detail = [*admin_class.actions_detail, *(row_action.name for row_action in row_actions)]
        admin_class.actions = [*(admin_class.actions or ()), *(list_action.name for list_action in list_actions)]
        return admin_class

    return decorate


def actor_name(request: HttpRequest) -> str:
    """Return the name under which events record the person who acts."""
    return str(request.user.get_username())


def go_to(request: HttpRequest, address: str) -> HttpResponse:
    """Redirect to `address`, whether a dialog (htmx) or a plain form sent the request."""
    if request.headers.get("HX-Request"):
        return HttpResponse(headers={"HX-Redirect": address})
    return HttpResponseRedirect(address)


def _permission(applies_to: Callable[[Any], bool]) -> Callable[..., bool]:
    def has_permission(self: ScopedAdmin, request: HttpRequest, object_id: Any = None) -> bool:
        if not self.may_act(request, object_id):
            return False
        return object_id is None or applies_to(self.get_or_404(request, object_id))

    return has_permission


def _row_method(spec: RowAction) -> Any:
    def run(self: ScopedAdmin, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        row = self.get_or_404(request, object_id)
        result = spec.run(request, row, form)
        messages.add_message(request, result.level, result.text)
        page = f"admin:{self.opts.app_label}_{self.opts.model_name}_{spec.back_to}"
        return go_to(request, result.address or reverse(page, args=[row.pk] if spec.back_to == "change" else []))

    # Unfold finds an action, and names its URL, by the function's name.
    run.__name__ = spec.name
    confirmation = spec.confirmation
    return action(
        description=spec.label,
        icon=spec.icon,
        url_path=spec.url_path,
        permissions=[spec.permission],
        variant=spec.variant,
        dialog={
            "title": confirmation.title,
            "description": confirmation.text,
            "form_class": confirmation.form,
            "form_submit_text": confirmation.button,
        },
    )(run)


def _list_method(spec: ListAction) -> Any:
    def run(self: ScopedAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase | None:
        result = spec.run(request, queryset)
        if isinstance(result, HttpResponseBase):
            return result
        messages.add_message(request, result.level, result.text)
        return None

    run.__name__ = spec.name
    return admin.action(description=spec.label, permissions=[spec.permission])(run)
