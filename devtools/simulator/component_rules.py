"""Which components Discord accepts in a message and in a modal, after their shapes were checked. Pure.

Source: components/reference, interactions/receiving-and-responding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from . import body_schemas
from .body_schemas import (
    ACTION_ROW,
    BUTTON,
    CONTAINER,
    FILE,
    FILE_UPLOAD,
    LABEL,
    MEDIA_GALLERY,
    SECTION,
    SELECTS,
    SEPARATOR,
    STRING_SELECT,
    TEXT_DISPLAY,
    TEXT_INPUT,
    THUMBNAIL,
)
from .body_validation import FormErrors, Path, errors_of
from .errors_and_rate_limits import Refused, bad_form

LINK, PREMIUM = 5, 6
MAX_ROWS = 5
MAX_LAYOUT_COMPONENTS = 40
MAX_LAYOUT_CHARACTERS = 4000
_TOP_LEVEL = frozenset({ACTION_ROW, SECTION, TEXT_DISPLAY, MEDIA_GALLERY, FILE, SEPARATOR, CONTAINER})
_IN_CONTAINER = _TOP_LEVEL - {CONTAINER}


def check_rows(components: Sequence[Mapping[str, Any]], errors: FormErrors) -> None:
    """Check a message's rows of buttons and selects (components before version 2)."""
    base: Path = ("components",)
    if len(components) > MAX_ROWS:
        errors.add(base, "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
    seen: set[str] = set()
    for n, row in enumerate(components):
        if row["type"] != ACTION_ROW:
            _refuse_type(row, (*base, n), {ACTION_ROW}, errors)
        else:
            _check_row(row, (*base, n), seen, errors)


def check_layout(
    components: Sequence[Mapping[str, Any]], errors: FormErrors, *, filenames: frozenset[str] = frozenset()
) -> None:
    """Check a message of Components V2: what may stand in what, how much there is in all, and its `filenames`."""
    base: Path = ("components",)
    seen: set[str] = set()
    for n, each in enumerate(components):
        _check_layout_part(each, (*base, n), _TOP_LEVEL, seen, errors)
    everything = list(_walk(components))
    if len(everything) > MAX_LAYOUT_COMPONENTS:
        errors.add(
            base, "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED", "The total number of components must be 40 or fewer."
        )
    if sum(map(len, texts(components))) > MAX_LAYOUT_CHARACTERS:
        errors.add(
            base,
            "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED",
            "The total size of displayable text exceeds 4000 characters.",
        )
    for url in media_urls(components):
        name = url.removeprefix("attachment://")
        if name != url and name not in filenames:
            errors.add(
                base,
                "UNFURLED_MEDIA_ITEM_REFERENCED_ATTACHMENT_NOT_FOUND",
                f"The referenced attachment '{name}' was not found",
            )


def media_urls(components: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the URL of every file that the components show."""
    for each in _walk(components):
        for media in (each.get("media"), each.get("file"), *(item["media"] for item in each.get("items") or [])):
            if media:
                yield media["url"]


def texts(components: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the content of every text display."""
    return (each["content"] for each in _walk(components) if each["type"] == TEXT_DISPLAY)


def interactive(components: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield the buttons and selects, wherever they stand."""
    return (each for each in _walk(components) if each["type"] == BUTTON or each["type"] in SELECTS)


def _check_layout_part(
    part: Mapping[str, Any], at: Path, allowed: frozenset[int], seen: set[str], errors: FormErrors
) -> None:
    kind = part["type"]
    if kind not in allowed:
        _refuse_type(part, at, allowed, errors)
    elif kind == ACTION_ROW:
        _check_row(part, at, seen, errors)
    elif kind == CONTAINER:
        for n, each in enumerate(part["components"]):
            _check_layout_part(each, (*at, "components", n), _IN_CONTAINER, seen, errors)
    elif kind == SECTION:
        for n, each in enumerate(part["components"]):
            if each["type"] != TEXT_DISPLAY:
                _refuse_type(each, (*at, "components", n), {TEXT_DISPLAY}, errors)
        accessory = part["accessory"]
        if accessory["type"] == BUTTON:
            _check_button(accessory, (*at, "accessory"), seen, errors)
        elif accessory["type"] != THUMBNAIL:
            _refuse_type(accessory, (*at, "accessory"), {BUTTON, THUMBNAIL}, errors)


def _walk(components: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for each in components:
        yield each
        yield from _walk(each.get("components") or [])
        if each.get("accessory"):
            yield each["accessory"]


def _check_row(row: Mapping[str, Any], at: Path, seen: set[str], errors: FormErrors) -> None:
    inside = row["components"]
    if any(each["type"] in SELECTS for each in inside) and len(inside) > 1:
        errors.add(
            (*at, "components"), "COMPONENT_LAYOUT_WIDTH_EXCEEDED", "The specified component exceeds the maximum width"
        )
    for n, each in enumerate(inside):
        here = (*at, "components", n)
        if each["type"] == BUTTON:
            _check_button(each, here, seen, errors)
        elif each["type"] in SELECTS:
            _check_select(each, here, seen, errors)
        else:
            _refuse_type(each, here, {BUTTON, *SELECTS}, errors)


def _check_button(button: Mapping[str, Any], at: Path, seen: set[str], errors: FormErrors) -> None:
    style = button["style"]
    if style == PREMIUM:
        if not button.get("sku_id"):
            errors.add((*at, "sku_id"), "BASE_TYPE_REQUIRED", "This field is required")
        if button.get("label") or button.get("custom_id") or button.get("url"):
            errors.add(at, "BUTTON_COMPONENT_PREMIUM_EXCLUSIVE", "A premium button has only its sku_id.")
        return
    if not button.get("label") and not button.get("emoji"):
        errors.add(at, "BUTTON_COMPONENT_LABEL_OR_EMOJI_REQUIRED", "A button needs a label or an emoji.")
    if style == LINK:
        if button.get("custom_id") is not None:
            errors.add(
                at, "BUTTON_COMPONENT_CUSTOM_ID_URL_MUTUALLY_EXCLUSIVE", "A custom id and url cannot both be specified"
            )
        if button.get("url") is None:
            errors.add((*at, "url"), "BASE_TYPE_REQUIRED", "This field is required")
        return
    if button.get("url") is not None:
        errors.add(at, "BUTTON_COMPONENT_CUSTOM_ID_URL_MUTUALLY_EXCLUSIVE", "Only a link button has a url")
    if button.get("custom_id") is None:
        errors.add((*at, "custom_id"), "BASE_TYPE_REQUIRED", "This field is required")
    else:
        _check_unique(button, at, seen, errors)


def _check_select(select: Mapping[str, Any], at: Path, seen: set[str], errors: FormErrors) -> None:
    least, most = select.get("min_values"), select.get("max_values")
    if (1 if least is None else least) > (1 if most is None else most):
        errors.add((*at, "min_values"), "NUMBER_TYPE_MAX", "min_values must not be greater than max_values.")
    if select["type"] == STRING_SELECT:
        values = [option["value"] for option in select["options"]]
        if len(set(values)) < len(values):
            errors.add((*at, "options"), "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", "The value is already used")
        if most is not None and most > len(values):
            errors.add((*at, "max_values"), "NUMBER_TYPE_MAX", "max_values must not exceed the number of options.")
    _check_unique(select, at, seen, errors)


def _check_unique(component: Mapping[str, Any], at: Path, seen: set[str], errors: FormErrors) -> None:
    custom_id = component["custom_id"]
    if custom_id in seen:
        errors.add((*at, "custom_id"), "COMPONENT_CUSTOM_ID_DUPLICATED", "Component custom id cannot be duplicated")
    seen.add(custom_id)


def check_modal(data: Any) -> Refused | None:
    """Check a modal: one to five rows or labels with one input each, or texts."""
    errors = errors_of(body_schemas.MODAL, data, path=("data",))
    if not errors.tree:
        seen: set[str] = set()
        for n, row in enumerate(data["components"]):
            _check_modal_row(row, ("data", "components", n), seen, errors)
    return bad_form(errors.tree) if errors.tree else None


def _check_modal_row(row: Mapping[str, Any], at: Path, seen: set[str], errors: FormErrors) -> None:
    kind = row["type"]
    if kind == TEXT_DISPLAY:
        return
    if kind == ACTION_ROW:
        inside, allowed = row["components"], {TEXT_INPUT}
        if len(inside) != 1:
            errors.add((*at, "components"), "BASE_TYPE_BAD_LENGTH", "Must be 1 in length.")
            return
        where: Path = (*at, "components", 0)
    elif kind == LABEL:
        inside, allowed = [row["component"]], {TEXT_INPUT, FILE_UPLOAD, *SELECTS}
        where = (*at, "component")
    else:
        _refuse_type(row, at, {ACTION_ROW, TEXT_DISPLAY, LABEL}, errors)
        return
    component = inside[0]
    if component["type"] not in allowed:
        _refuse_type(component, where, allowed, errors)
        return
    if component["type"] == TEXT_INPUT:
        _check_text_input(component, where, errors, labelled=kind == LABEL)
        _check_unique(component, where, seen, errors)
    elif component["type"] in SELECTS:
        _check_select(component, where, seen, errors)
    else:
        _check_unique(component, where, seen, errors)


def _check_text_input(component: Mapping[str, Any], at: Path, errors: FormErrors, *, labelled: bool) -> None:
    if not labelled and component.get("label") is None:
        errors.add((*at, "label"), "BASE_TYPE_REQUIRED", "This field is required")
    most = component.get("max_length") or 4000
    if (component.get("min_length") or 0) > most:
        errors.add((*at, "min_length"), "NUMBER_TYPE_MAX", "min_length must not be greater than max_length.")
    if len(component.get("value") or "") > most:
        errors.add((*at, "value"), "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length.")


def check_choices(data: Any) -> Refused | None:
    """Check the answer to an autocomplete: at most 25 choices."""
    errors = errors_of(body_schemas.CHOICES, data, path=("data",))
    return bad_form(errors.tree) if errors.tree else None


def _refuse_type(part: Mapping[str, Any], at: Path, allowed: frozenset[int] | set[int], errors: FormErrors) -> None:
    choices = ", ".join(str(kind) for kind in sorted(allowed))
    errors.add((*at, "type"), "UNION_TYPE_CHOICES", f'Value of field "type" must be one of ({choices}).')
