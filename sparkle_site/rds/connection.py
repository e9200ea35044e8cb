"""A connection that logs in to RDS with a short-lived token instead of a password.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.html
"""

from __future__ import annotations

import functools
from typing import Any

import psycopg


@functools.cache
def rds() -> Any:
    import boto3

    # Tokens are signed locally, without a network call.
    return boto3.client("rds")


class IamConnection(psycopg.Connection[Any]):
    """A psycopg connection that signs its own token, because a token is valid for 15 minutes only."""

    @classmethod
    def connect(cls, conninfo: str = "", **kwargs: Any) -> IamConnection:  # type: ignore[override]
        host, port, user = kwargs.get("host"), kwargs.get("port") or 5432, kwargs.get("user")
        kwargs["password"] = rds().generate_db_auth_token(DBHostname=host, Port=int(port), DBUsername=user)
        return super().connect(conninfo, **kwargs)  # type: ignore[return-value]
