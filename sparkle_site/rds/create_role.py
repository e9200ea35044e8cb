"""Create the application's role and database: `python -m sparkle_site.rds.create_role`, before the first migration.

Where the application can log in with an IAM token, there is nothing to do. Else RDS's master logs in once, with its
password (DATABASE_MASTER_PASSWORD).

The last statement grants `rds_iam`, and it shuts the master out: PostgreSQL 16 makes a role's creator a member of it,
and RDS refuses the password of everyone who is a member of `rds_iam`, also through another role and also WITH INHERIT
FALSE, SET FALSE. Whatever fails before leaves the master able to try again.
https://www.postgresql.org/docs/17/role-attributes.html
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
from psycopg import sql

from .connection import IamConnection


def main() -> int:
    """Create what is missing and return the exit status: 1 if neither the role nor the master can log in."""
    master = os.environ.get("DATABASE_MASTER_PASSWORD", "")
    if not master or os.environ.get("DATABASE_IAM_AUTH", "").lower() != "true":
        print("No master password or no IAM login: the role in DATABASE_URL is taken to be there.")
        return 0
    if master.startswith("{"):
        master = json.loads(master)["password"]
    url = urlsplit(os.environ["DATABASE_URL"])
    role, database = url.username or "sparkle", url.path.lstrip("/")
    # Over TLS, unless the address itself says otherwise: a token is a password.
    sslmode = parse_qs(url.query).get("sslmode", ["require"])[0]
    server: dict[str, Any] = {"host": url.hostname, "port": url.port or 5432, "sslmode": sslmode, "connect_timeout": 10}
    iam_error = _log_in(server, role, database)
    if not iam_error:
        print("The application's role and database are there.")
        return 0
    user = os.environ.get("DATABASE_MASTER_USER", "postgres")
    try:
        connection = psycopg.connect(**server, user=user, password=master, dbname="postgres", autocommit=True)
    except psycopg.OperationalError as error:
        sys.stderr.write(
            f"Nobody can log in. {role} with an IAM token: {iam_error} {user} with the password: {_line(error)}\n"
            "Check that the task reaches the database and that its role may rds-db:connect.\n"
        )
        return 1
    with connection:
        _create(connection, role, database)
    print("The application's role and database were made.")
    return 0


def _log_in(server: dict[str, Any], role: str, database: str) -> str:
    """Return why the application cannot log in, or nothing if it can."""
    try:
        IamConnection.connect(**server, user=role, dbname=database).close()
    except psycopg.OperationalError as error:
        return _line(error)
    return ""


def _line(error: psycopg.OperationalError) -> str:
    return f"{' '.join(str(error).split()).removesuffix('.')}."


def _create(connection: psycopg.Connection[Any], role: str, database: str) -> None:
    """Create the role and the database if they are missing, then allow the role to log in by IAM."""
    owner, name = sql.Identifier(role), sql.Identifier(database)
    if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(owner))
    # The owner of a database can only be set to a role that the current user is a member of.
    connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(owner))
    if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone():
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, owner))
    else:
        connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(name, owner))
    connection.execute(sql.SQL("GRANT rds_iam TO {}").format(owner))


if __name__ == "__main__":
    sys.exit(main())
