"""The shape of a JSON body: which types stand where, and Discord's error form for what is wrong.

A shape is checked before any rule, so rules read fields of the right type. An optional field may be absent or null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

Path = tuple[str | int, ...]
LARGEST_SNOWFLAKE = 2**63 - 1


@dataclass(slots=True)
class FormErrors:
    """Collects a form's errors under their paths."""

    tree: dict[str, Any] = field(default_factory=dict)

    def add(self, path: Iterable[str | int], code: str, message: str) -> None:
        node = self.tree
        for key in path:
            node = node.setdefault(str(key), {})
        node.setdefault("_errors", []).append({"code": code, "message": message})


class Shape(Protocol):
    def check(self, value: Any, path: Path, errors: FormErrors) -> None:
        """Add an error for each thing in `value`, which is not null, that has the wrong shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A string; its length is counted in characters."""

    least: int = 0
    most: int = 6000

    def check(self, value: Any, path: Path, errors: FormErrors) -> None:
        if not isinstance(value, str):
            errors.add(path, "STRING_TYPE_CONVERT", "Could not interpret as string.")
        elif len(value) > self.most:
            errors.add(path, "BASE_TYPE_MAX_LENGTH", f"Must be {self.most} or fewer in length.")
        elif len(value) < self.least:
            errors.add(path, "BASE_TYPE_MIN_LENGTH", f"Must be {self.least} or more in length.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Url:
    """An absolute address with one of `schemes`."""

    schemes: tuple[str, ...]
    most: int = 2048

    def check(self, value: Any, path: Path, errors: FormErrors) -> None:
        if not isinstance(value, str):
            errors.add(path, "STRING_TYPE_CONVERT", "Could not interpret as string.")
            return
        if len(value) > self.most:
            errors.add(path, "BASE_TYPE_MAX_LENGTH", f"Must be {self.most} or fewer in length.")
        try:
            parts = urlsplit(value)
        except ValueError:
            errors.add(path, "URL_TYPE_INVALID_URL", "Not a well formed URL.")
            return
        if parts.scheme not in self.schemes:
            allowed = ", ".join(repr(scheme) for scheme in self.schemes)
            errors.add(path, "URL_TYPE_INVALID_SCHEME", f'Scheme "{parts.scheme}" must be one of ({allowed}).')
        elif not (parts.netloc or parts.path):
            errors.add(path, "URL_TYPE_INVALID_URL", "Not a well formed URL.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer:
    least: int = -(2**53) + 1
    most: int = 2**53 - 1

    def check(self, value: Any, path: Path, errors: FormErrors) -> None:
        if not isinstance(value, int) or isinstance(value, bool):
            errors.add(path, "NUMBER_TYPE_COERCE", f'Value "{_short(value)}" is not int.')
        else:
            _check_bounds(value, self.least, self.most, path, errors, kind="int")


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    least: float = -(2**53) + 1
    most: float = 2**53 - 1

    def check(self, value: Any, path: Path, errors: FormErrors) -> None:
        if not isinstance(value, int | float) or isinstance(value, bool):
            errors.add(path, "NUMBER_TYPE_COERCE", f'Value "{_short(value)}" is not float.')
        else:
            _check_bounds(value, self.least, self.most, path, errors, kind="float")


@dataclass(frozen=True, slots=True)
class Boolean:
    def check(self, value: Any, path: Path, errors: FormErrors) -> None:
        if not isinstance(value, bool):
            errors.add(path, "BOOLEAN_TYPE_CONVERT", "Must be either true or false.")


@dataclass(frozen=True, slots=True)
class Snowflake:
    """An id: digits in a string, or a number."""

    def check(self, value: Any, path: Path, errors: FormErrors) -> None:
        if snowflake(value) is None:
            errors.add(path, "NUMBER_TYPE_COERCE", f'Value "{_short(value)}" is not snowflake.')


@dataclass(frozen=True, slots=True)
class Bitfield:
    """Permission bits: the prose writes digits in a string, the schema a number; Discord takes both."""

    def check(self, value: Any, path: Path, errors: FormErrors) -> None:
        if snowflake(value) is None:
            errors.add(path, "BITFIELD_TYPE_CONVERT", "A set of permission bits")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values of one type."""

    values: tuple[Any, ...]

    def check(self, value: Any, path: Path, errors: FormErrors) -> None:
        if isinstance(value, bool) or not isinstance(value, str | int) or value not in self.values:
            errors.add(path, "BASE_TYPE_CHOICES", f"Value must be one of {self.values}.")


@dataclass(frozen=True, slots=True)
class AnyOf:
    """A scalar of one of several shapes; reports the first one's errors."""

    shapes: tuple[Shape, ...]

    def check(self, value: Any, path: Path, errors: FormErrors) -> None:
        for shape in self.shapes:
            trial = FormErrors()
            shape.check(value, (), trial)
            if not trial.tree:
                return
        self.shapes[0].check(value, path, errors)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOf:
    item: Shape
    least: int = 0
    most: int = 100

    def check(self, value: Any, path: Path, errors: FormErrors) -> None:
        if not isinstance(value, list):
            errors.add(path, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
            return
        if not self.least <= len(value) <= self.most:
            bounds = f"between {self.least} and {self.most}" if self.least else f"{self.most} or fewer"
            errors.add(path, "BASE_TYPE_BAD_LENGTH", f"Must be {bounds} in length.")
        for n, each in enumerate(value[: self.most]):
            if each is None:
                errors.add((*path, n), "BASE_TYPE_REQUIRED", "This field is required")
            else:
                self.item.check(each, (*path, n), errors)


@dataclass(frozen=True, slots=True, kw_only=True)
class MapOf:
    """An object whose keys are all of one set, such as the localizations of a name."""

    keys: frozenset[str]
    item: Shape

    def check(self, value: Any, path: Path, errors: FormErrors) -> None:
        if not isinstance(value, dict):
            errors.add(path, "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
            return
        for key, each in value.items():
            if key not in self.keys:
                errors.add((*path, key), "BASE_TYPE_CHOICES", "Value must be one of the known locales.")
            elif each is not None:
                self.item.check(each, (*path, key), errors)


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """An object with named fields. Discord ignores fields that it does not know."""

    required: Mapping[str, Shape] = field(default_factory=dict)
    optional: Mapping[str, Shape] = field(default_factory=dict)

    def check(self, value: Any, path: Path, errors: FormErrors) -> None:
        if not isinstance(value, dict):
            errors.add(path, "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
            return
        for name, shape in (*self.required.items(), *self.optional.items()):
            if value.get(name) is not None:
                shape.check(value[name], (*path, name), errors)
            elif name in self.required:
                errors.add((*path, name), "BASE_TYPE_REQUIRED", "This field is required")


@dataclass(frozen=True, slots=True)
class ByType:
    """An object whose field `type` says which shape the whole has."""

    shapes: Callable[[], Mapping[int, Shape]]

    def check(self, value: Any, path: Path, errors: FormErrors) -> None:
        shapes = self.shapes()
        if not isinstance(value, dict):
            errors.add(path, "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
            return
        kind = value.get("type")
        if kind is None:
            errors.add((*path, "type"), "BASE_TYPE_REQUIRED", "This field is required")
        elif isinstance(kind, bool) or not isinstance(kind, int) or kind not in shapes:
            errors.add((*path, "type"), "UNION_TYPE_CHOICES", f'Value of field "type" must be one of {tuple(shapes)}.')
        else:
            shapes[kind].check(value, path, errors)


def errors_of(shape: Shape, value: Any, *, path: Path = ()) -> FormErrors:
    """Return the form of errors of a whole body; null is no body."""
    errors = FormErrors()
    if value is None:
        errors.add(path, "BASE_TYPE_REQUIRED", "This field is required")
    else:
        shape.check(value, path, errors)
    return errors


def snowflake(value: Any) -> int | None:
    """Return an id as a number, or None where it is none."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_SNOWFLAKE:
        return value
    return None


def _check_bounds(value: float, least: float, most: float, path: Path, errors: FormErrors, *, kind: str) -> None:
    if not value <= most:
        errors.add(path, "NUMBER_TYPE_MAX", f"{kind} value should be less than or equal to {most}.")
    elif not value >= least:
        errors.add(path, "NUMBER_TYPE_MIN", f"{kind} value should be greater than or equal to {least}.")


def _short(value: Any) -> str:
    return str(value)[:50]
