"""Django's PostgreSQL backend with RDS's IAM login: ENGINE "sparkle_site.rds"."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql import base as postgresql

from .connection import IamConnection, rds


class _Psycopg:
    """The driver as the backend sees it, with our connection in place of the plain one."""

    def __getattr__(self, name: str) -> Any:
        return getattr(postgresql.Database, name)  # type: ignore[attr-defined]  # psycopg, under Django's name for it

    @staticmethod
    def connect(*args: Any, **kwargs: Any) -> IamConnection:
        return IamConnection.connect(*args, **kwargs)


class DatabaseWrapper(postgresql.DatabaseWrapper):
    Database = _Psycopg()  # type: ignore[assignment]

    def prepare_login(self) -> None:
        """Make what signs the tokens, so that the first connection need not; nothing is connected."""
        rds()
