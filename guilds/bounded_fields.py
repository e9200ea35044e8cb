"""Model fields with bounds: one declaration gives the validator, the form's limits and, by `@bounded`, the CHECK.

A bound in a form only is not enough: one bad value in the database would break loops over all guilds.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.db import models
from django.utils.deconstruct import deconstructible

from discord_api.snowflakes import MAX_SNOWFLAKE

# The column's placeholder in a condition, as in templates of Django's Func.
COLUMN = "%(expressions)s"

if TYPE_CHECKING:
    _Field = models.Field[Any, Any]
else:
    _Field = object


@deconstructible
class Between:
    """Validates that a value is within the bounds; refuses NaN."""

    def __init__(self, low: Any, high: Any) -> None:
        self.low, self.high = low, high

    def __call__(self, value: Any) -> None:
        """Raise ValidationError unless `low` <= value <= `high`."""
        # Written so that NaN, which compares as false, fails.
        if not self.low <= value <= self.high:
            raise ValidationError(
                "Enter a value from %(low)s to %(high)s.",
                code="out_of_range",
                params={"low": self.low, "high": self.high, "value": value},
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Between) and (self.low, self.high) == (other.low, other.high)

    def __hash__(self) -> int:
        return hash((self.low, self.high))


class Bounded(_Field):
    """Mixin of fields with values from `low` to `high`, both included."""

    low: Any
    high: Any

    def __init__(self, *args: Any, low: Any, high: Any, **kwargs: Any) -> None:
        self.low, self.high = low, high
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "low": self.low, "high": self.high}

    @cached_property
    def validators(self) -> list[Any]:  # type: ignore[override]
        return [*super().validators, Between(self.low, self.high)]

    def check_sql(self) -> str:
        """Return the CHECK's condition on COLUMN."""
        return f"{COLUMN} BETWEEN {self.low} AND {self.high}"

    def element_check_sql(self) -> str:
        """Return the CHECK's condition on every element of the array COLUMN."""
        return f"{self.low} <= ALL({COLUMN}) AND {self.high} >= ALL({COLUMN})"

    def formfield(self, **kwargs: Any) -> Any:  # type: ignore[override]
        return super().formfield(**{"min_value": self.low, "max_value": self.high, **kwargs})


class BoundedSmallIntegerField(Bounded, models.PositiveSmallIntegerField):  # type: ignore[type-arg, misc]
    pass


class BoundedIntegerField(Bounded, models.PositiveIntegerField):  # type: ignore[type-arg, misc]
    pass


class BoundedBigIntegerField(Bounded, models.BigIntegerField):  # type: ignore[type-arg, misc]
    pass


class BoundedFloatField(Bounded, models.FloatField):  # type: ignore[type-arg, misc]
    pass


class BoundedDecimalField(Bounded, models.DecimalField):  # type: ignore[type-arg, misc]
    pass


class BoundedDateTimeField(Bounded, models.DateTimeField):  # type: ignore[type-arg, misc]
    """`low` and `high` are aware datetimes."""

    low: datetime
    high: datetime

    def check_sql(self) -> str:
        return f"{COLUMN} BETWEEN '{self.low.isoformat()}' AND '{self.high.isoformat()}'"

    def formfield(self, **kwargs: Any) -> Any:
        # DateTimeField's form field takes no limits; the validator checks them.
        return models.DateTimeField.formfield(self, **kwargs)


class SnowflakeField(BoundedBigIntegerField):
    """One of Discord's ids: positive, 63 bits."""

    def __init__(self, *args: Any, low: int = 1, high: int = MAX_SNOWFLAKE, **kwargs: Any) -> None:
        super().__init__(*args, low=low, high=high, **kwargs)


class BoundedTextField(models.TextField):  # type: ignore[type-arg]
    """A text of at most `max_length` characters, checked by the database too."""

    @cached_property
    def validators(self) -> list[Any]:  # type: ignore[override]
        return [*super().validators, MaxLengthValidator(self.max_length)]

    def check_sql(self) -> str:
        return f"char_length({COLUMN}) <= {self.max_length}"


class ChoiceField(models.CharField):  # type: ignore[type-arg]
    """One of the choices, checked by the database too."""

    def check_sql(self) -> str:
        values = ", ".join(f"'{value}'" for value in sorted({str(value) for value, _ in self.flatchoices} | {""}))
        return f"{COLUMN} IN ({values})"


class PatternField(models.CharField):  # type: ignore[type-arg]
    """A text that fully matches `pattern`, checked by the database too. The pattern contains no quotes."""

    def __init__(self, *args: Any, pattern: str, **kwargs: Any) -> None:
        self.pattern = pattern
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "pattern": self.pattern}

    def check_sql(self) -> str:
        return f"{COLUMN} ~ '^({self.pattern})$'"

    def element_check_sql(self) -> str:
        """Return the CHECK's condition on every element of the array COLUMN."""
        # The pattern matches no space, and an element with a space must not pass as two.
        return (
            f"array_to_string({COLUMN}, ' ') ~ '^(({self.pattern})( ({self.pattern}))*)?$'"
            f" AND array_position({COLUMN}, '') IS NULL"
            f" AND cardinality(string_to_array(array_to_string({COLUMN}, ' '), ' ')) = cardinality({COLUMN})"
        )


class BoundedArrayField(ArrayField):  # type: ignore[type-arg]
    """A list of at most `max_items` values, each within the bounds of `base_field` and none of them NULL."""

    def __init__(self, base_field: Any, *, max_items: int, **kwargs: Any) -> None:
        self.max_items = max_items
        super().__init__(base_field, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "max_items": self.max_items}

    def validate(self, value: Sequence[Any], model_instance: models.Model | None) -> None:
        super().validate(value, model_instance)
        if len(value) > self.max_items:
            raise ValidationError(
                "Enter at most %(max)s values.", code="too_many", params={"max": self.max_items, "value": value}
            )

    def check_sql(self) -> str:
        return (
            f"cardinality({COLUMN}) <= {self.max_items} AND array_position({COLUMN}, NULL) IS NULL"
            f" AND {self.base_field.element_check_sql()}"  # type: ignore[attr-defined]
        )


class BoundsConstraint(models.CheckConstraint):
    """A CHECK that forms do not validate with a query, since the field's validators check the same."""

    def validate(self, *args: Any, **kwargs: Any) -> None:
        pass


_Model = TypeVar("_Model", bound=type[models.Model])


def bounded(model: _Model) -> _Model:
    """Class decorator: give the model a CHECK constraint for each of its fields that has bounds."""
    options = model._meta
    for field in options.local_concrete_fields:
        if not hasattr(field, "check_sql"):
            continue
        condition = models.Func(models.F(field.name), template=field.check_sql(), output_field=models.BooleanField())
        name = f"{options.model_name}_{field.column}_bounds"
        options.constraints = [*options.constraints, BoundsConstraint(condition=condition, name=name)]
    # Django's migrations read the constraints from here.
    options.original_attrs["constraints"] = options.constraints
    return model
