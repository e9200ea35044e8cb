"""Every value that a row can hold has bounds, in what a form checks and in what the database checks.

The tests walk all fields of all models: a new field without bounds fails here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, models, transaction

from guilds import models as guild_models
from guilds.models import Ban, Guild, ModelProfile, QuotaRule
from jobs import submission
from jobs.models import Job

pytestmark = pytest.mark.django_db

NUMBERS = (models.IntegerField, models.FloatField, models.DecimalField)
EXTREMES: list[Any] = [
    -1,
    -(2**63),
    2**63,
    2**64,
    10**30,
    -(10**30),
    float("nan"),
    float("inf"),
    float("-inf"),
    1e300,
    -1e300,
]


# A value of a list that fits, and those that do not, by the pattern of a text.
VALUES_OF_LISTS: dict[str | None, tuple[Any, list[Any]]] = {
    None: (77, [0, -1, 2**63]),
    guild_models.SIZE_PATTERN: ("512x512", ["", "0x0", "512x512 ", "1e9x1", "x"]),
    "[a-z]{1,16}": ("vary", ["", "Vary", "vary ", "a b", "x1"]),
}


def own_fields(*kinds: type[models.Field]) -> Iterator[models.Field[Any, Any]]:
    for label in ("guilds", "jobs"):
        for model in apps.get_app_config(label).get_models():
            for field in model._meta.concrete_fields:
                if isinstance(field, kinds) and not field.is_relation and not isinstance(field, models.AutoField):
                    yield field


def name(field: models.Field[Any, Any]) -> str:
    return f"{field.model.__name__}.{field.name}"


def fields(*kinds: type[models.Field]) -> Any:
    return pytest.mark.parametrize("field", [pytest.param(field, id=name(field)) for field in own_fields(*kinds)])


def checks(field: models.Field[Any, Any]) -> list[str]:
    """The conditions that the database holds this column's values to."""
    with connection.cursor() as cursor:
        cursor.execute(
            """SELECT pg_get_expr(c.conbin, c.conrelid) FROM pg_constraint c
               JOIN pg_attribute a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum]
               WHERE c.contype = 'c' AND c.conrelid = %s::regclass AND a.attname = %s""",
            [field.model._meta.db_table, field.column],
        )
        return [condition for (condition,) in cursor.fetchall()]


def database_takes(field: models.Field[Any, Any], value: Any) -> bool:
    """Whether the column's type and its conditions admit the value."""
    sql = " AND ".join(f"({condition})" for condition in checks(field)).replace("%", "%%") or "true"
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            quoted = connection.ops.quote_name(field.column)
            cursor.execute(f"SELECT {sql} FROM (SELECT %s::{field.db_type(connection)} AS {quoted}) row", [value])
            return cursor.fetchone()[0] is not False
    except DatabaseError:
        return False


def form_takes(field: models.Field[Any, Any], value: Any) -> bool:
    try:
        field.clean(value, None)
    except (ValidationError, OverflowError):
        return False
    return True


@fields(*NUMBERS)
def test_a_number_has_the_same_bounds_in_form_and_database(field: Any) -> None:
    assert hasattr(field, "low"), f"{name(field)}: use a field of guilds.bounded_fields, which has bounds"
    inside = [field.low, field.high]
    outside = [value for value in EXTREMES if not field.low <= value <= field.high]
    step = 1 if not isinstance(field, models.FloatField) else abs(field.high) * 1e-9
    outside += [field.low - step, field.high + step]
    for value in inside:
        assert form_takes(field, value), value
        assert database_takes(field, value), value
    for value in outside:
        assert not form_takes(field, value), value
        assert not database_takes(field, str(value)), value


@fields(ArrayField)
def test_a_list_has_a_length_and_bounds_for_each_of_its_values(field: Any) -> None:
    assert hasattr(field, "max_items"), f"{name(field)}: use BoundedArrayField"
    good, bad = VALUES_OF_LISTS[getattr(field.base_field, "pattern", None)]
    for values in ([good], [good] * field.max_items):
        assert form_takes(field, values)
        assert database_takes(field, values)
    for values in ([good] * (field.max_items + 1), *([good, value] for value in bad)):
        assert not form_takes(field, values), values
        assert not database_takes(field, [str(value) for value in values]), values
    assert not database_takes(field, [good, None])


@fields(models.CharField, models.TextField)
def test_a_text_has_a_length_and_a_choice_its_values(field: Any) -> None:
    assert field.max_length, f"{name(field)}: use BoundedTextField"
    assert not form_takes(field, "x" * (field.max_length + 1))
    stored = database_takes(field, "x" * (field.max_length + 1))
    # A cast cuts a varchar; what a column is given must fit.
    assert not stored or field.db_type(connection) == f"varchar({field.max_length})"
    if field.choices:
        assert not database_takes(field, "no")
        assert all(database_takes(field, value) for value, _ in field.flatchoices)


def test_a_time_zone_and_a_bans_end_are_held_to_their_form() -> None:
    zone, until = Guild._meta.get_field("time_zone"), Ban._meta.get_field("until")
    for bad in ("europe berlin", "../etc/passwd", "", "UTC\n", "'"):
        assert not form_takes(zone, bad), bad
        assert not database_takes(zone, bad), bad
    for when in (datetime(9999, 12, 31, 23, 59, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)):
        assert not form_takes(until, when)
        assert not database_takes(until, when)


@pytest.mark.parametrize("size", ["500x500", "512x4104", "9999x9999", "8x8x8", "512X512", "٥١٢x٥١٢"])
def test_a_size_that_no_model_takes_is_refused(size: str) -> None:
    with pytest.raises(ValidationError):
        guild_models.validate_size(size)


def test_the_largest_and_smallest_settings_are_no_trouble_to_admission(make_guild, make_ask, now) -> None:
    for which in ("low", "high"):
        profile = {f.name: getattr(f, which) for f in ModelProfile._meta.concrete_fields if hasattr(f, "low")}
        ModelProfile.objects.update(**profile)
        settings = {
            f.name: getattr(f, which) for f in Guild._meta.concrete_fields if hasattr(f, "low") and not f.primary_key
        }
        guild = make_guild(**settings)
        QuotaRule.objects.create(guild=guild, subject="member", limit=QuotaRule._meta.get_field("limit").high)
        accepted = submission.submit(make_ask(guild), now=now)
        assert getattr(accepted, "code", "") in {"", "budget_spent"}, accepted
        Job.objects.update(status="completed")


def test_what_stands_in_a_message_of_the_bounds_is_readable() -> None:
    field = Guild._meta.get_field("retention_days")
    with pytest.raises(ValidationError) as caught:
        field.clean(1_000_000, None)
    assert re.search(r"from 1 to 3650", str(caught.value))
    assert Decimal(field.high) == 3650
