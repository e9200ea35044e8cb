"""No migration since the last release may break the code that still runs, or stop it from working for long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently
from django.db import models
from django.db.migrations import AddConstraint, AddField, AddIndex, AlterField, CreateModel, DeleteModel, RemoveField
from django.db.migrations import RenameField, RenameModel, RunPython, RunSQL
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.models.fields import NOT_PROVIDED

from .release import ROOT, take

OURS = ("guilds", "jobs", "sparkle_accounts", "sparkle_audit")
# Known, each with its reason.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("guilds", "0004_directory"): "bounds of a server's channels: a few thousand rows take milliseconds",
    ("guilds", "0005_moderation"): "bounds of a server's settings: reading a thousand rows takes milliseconds",
    ("guilds", "0011_features_and_channel_rules"): "settings and quota rules: a few thousand rows take milliseconds",
    ("guilds", "0006_relaxed_lane"): "bounds of a server's settings: reading a thousand rows takes milliseconds",
}


def dangers(operation: Operation, *, made_here: set[str]) -> str | None:
    """Why the code of the last release would not survive `operation`; None where it does. Pure."""
    if isinstance(operation, RemoveField | RenameField | DeleteModel | RenameModel):
        return "the old code still reads and writes it: take it away one release after the code let go of it"
    model = str(getattr(operation, "model_name", "")).lower()
    if model in made_here:
        return None
    if isinstance(operation, AddField) and not isinstance(operation.field, models.ManyToManyField):
        # Django drops the column's default again once the rows are filled: an old INSERT would then break.
        if not operation.field.null and operation.field.db_default is NOT_PROVIDED:
            return "an INSERT of the old code does not name it: let it be null, or give it a db_default"
    if isinstance(operation, AlterField):
        return "look at it by hand: a narrower type, NOT NULL or a new name in the database breaks the old code"
    if isinstance(operation, AddIndex) and not isinstance(operation, AddIndexConcurrently):
        return "it locks the table against writing while it builds: AddIndexConcurrently"
    if isinstance(operation, AddConstraint) and not isinstance(operation, AddConstraintNotValid):
        return "it locks the table while it looks through it: add it NOT VALID, then validate"
    if isinstance(operation, RunSQL | RunPython) and not operation.reversible:
        return "there is no way back"
    return None


@pytest.fixture(scope="module")
def released(make_folder: Callable[[str], Path]) -> set[tuple[str, str]]:
    """The migrations that the last release has."""
    code = take(make_folder("release"))
    return {
        (label, file.stem) for label in OURS for file in (code / folder_of(label) / "migrations").glob("0*.py")
    }


def folder_of(label: str) -> Path:
    return Path(apps.get_app_config(label).path).relative_to(ROOT)


@pytest.mark.processes
def test_every_migration_since_the_last_release_leaves_the_old_code_working(released: set[tuple[str, str]]) -> None:
    loader = MigrationLoader(None)
    new = {key: found for key, found in loader.disk_migrations.items() if key[0] in OURS and key not in released}
    assert released
    found = []
    for key, migration in new.items():
        made_here = {each.name.lower() for each in migration.operations if isinstance(each, CreateModel)}
        for operation in migration.operations:
            if (why := dangers(operation, made_here=made_here)) and key not in EXCEPTIONS:
                found.append(f"{'.'.join(key)}: {operation.describe()}: {why}")
    assert not found, "\n".join(found)
    assert set(EXCEPTIONS) <= set(new), "an exception that nothing needs any more"


def test_an_excepted_migration_is_excepted_for_its_locks_alone() -> None:
    loader = MigrationLoader(None)
    for key in EXCEPTIONS:
        migration = loader.disk_migrations[key]
        made_here = {each.name.lower() for each in migration.operations if isinstance(each, CreateModel)}
        reasons = {dangers(each, made_here=made_here) for each in migration.operations} - {None}
        assert all("locks the table" in str(reason) for reason in reasons)


@pytest.mark.parametrize(
    "operation",
    [
        RemoveField("job", "prompt"),
        RenameField("job", "prompt", "words"),
        DeleteModel("Turn"),
        RenameModel("Turn", "Move"),
        AddField("job", "mood", models.CharField(max_length=9, default="")),
        AlterField("job", "prompt", models.CharField(max_length=9)),
        AddIndex("job", models.Index(fields=["seed"], name="by_seed")),
        AddConstraint("job", models.UniqueConstraint(fields=["seed"], name="seed_once")),
        RunSQL("DELETE FROM jobs_job"),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_what_would_break_a_rollout_is_called_dangerous(operation: Operation) -> None:
    assert dangers(operation, made_here=set())


@pytest.mark.parametrize(
    "operation",
    [
        AddField("job", "mood", models.CharField(max_length=9, null=True)),
        AddField("job", "mood", models.CharField(max_length=9, db_default="")),
        AddIndexConcurrently("job", models.Index(fields=["seed"], name="by_seed")),
        CreateModel("Mood", [("id", models.BigAutoField(primary_key=True))]),
    ],
    ids=["nullable", "database default", "concurrent index", "new table"],
)
def test_what_only_adds_is_let_through(operation: Operation) -> None:
    assert dangers(operation, made_here=set()) is None


@pytest.mark.django_db
def test_the_models_need_no_further_migration() -> None:
    from django.core.management import call_command

    call_command("makemigrations", "--check", "--dry-run", *OURS, verbosity=0)
