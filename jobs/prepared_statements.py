"""Prepared statements for the hot path: PostgreSQL parses and plans them once per connection.

Django binds parameters on the client, so the server plans each of its statements again. Planning the query of
admission's facts took four times as long as running it (docs/explanation/performance.md). Here the server binds the
parameters, so a statement casts those whose type is ambiguous.
"""

from __future__ import annotations

from typing import Any

import psycopg
from django.db import connection
from django.db.backends.utils import CursorWrapper


class _Prepared(psycopg.Cursor[Any]):
    def execute(self, query: Any, params: Any = None, **options: Any) -> _Prepared:  # type: ignore[override]
        return super().execute(query, params, **{"prepare": True, **options})


def cursor() -> CursorWrapper:
    """Return a cursor of Django's connection whose statements stay prepared, with Django's wrappers and errors.

    It is a context manager, as Django's own cursor is.
    """
    connection.ensure_connection()
    raw = connection.connection
    # Django's default, None, disables prepared statements.
    raw.prepare_threshold = raw.prepare_threshold or 100
    wrapper: CursorWrapper = connection._prepare_cursor(_Prepared(raw))  # type: ignore[attr-defined]  # stubs lack it
    return wrapper
