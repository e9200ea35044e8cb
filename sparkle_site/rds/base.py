"""Django's PostgreSQL backend with RDS's IAM login: ENGINE "sparkle_site.rds"."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base as postgresql

from .connection import IamConnection, rds


class _Psycopg:
    """psycopg as Django's backend uses it, with IamConnection as the connection class."""

    def __getattr__(self, name: str) -> Any:
        return getattr(postgresql.Database, name)  # type: ignore[attr-defined]  # psycopg, under Django's name for it

    @staticmethod
    def connect(*args: Any, **kwargs: Any) -> IamConnection:
        return IamConnection.connect(*args, **kwargs)


class DatabaseWrapper(postgresql.DatabaseWrapper):
    Database = _Psycopg()  # type: ignore[assignment]

    def prepare_login(self) -> None:
        """Create the client that signs tokens before the first connection needs it. Connects to nothing."""
        rds()
