"""Statements of the hot path, which PostgreSQL parses and plans once a connection instead of once a request.

Django binds parameters on the client, so each of its statements is new to the server. Planning admission's facts took
four times as long as reading them (docs/explanation/performance.md). Here the server binds parameters: where their
type is not clear from the place they stand in, the statement casts them.
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
    """A cursor of Django's connection, with its wrappers and its errors, whose statements stay prepared.

    It is a context manager as Django's own is. Django would make one of its own first, and configure it.
    """
    connection.ensure_connection()
    raw = connection.connection
    # None, Django's default, would forbid what is asked for above.
    raw.prepare_threshold = raw.prepare_threshold or 100
    wrapper: CursorWrapper = connection._prepare_cursor(_Prepared(raw))  # type: ignore[attr-defined]  # stubs lack it
    return wrapper
