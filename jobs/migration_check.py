"""Whether the database has all migrations of this code."""

from __future__ import annotations

from django.db import connection
from django.db.migrations.executor import MigrationExecutor


def missing_migrations() -> list[str]:
    """Return this code's migrations that are not applied, in order. A newer database lacks none.

    Raises django.db.Error if the database is unavailable.
    """
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]
