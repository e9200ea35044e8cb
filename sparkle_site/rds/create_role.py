"""Make the application's role and database: `python -m sparkle_site.rds.create_role`, before the first migration.

Logs in as RDS's master (DATABASE_MASTER_PASSWORD) once; from then on the application logs in with IAM tokens. Doing it
again changes nothing.
"""

from __future__ import annotations

import json
import os
import sys
from urllib.parse import urlsplit

import psycopg
from psycopg import sql


def main() -> int:
    master = os.environ.get("DATABASE_MASTER_PASSWORD", "")
    if not master or os.environ.get("DATABASE_IAM_AUTH", "").lower() != "true":
        print("No master password or no IAM login: the role in DATABASE_URL is taken to be there.")
        return 0
    if master.startswith("{"):
        master = json.loads(master)["password"]
    url = urlsplit(os.environ["DATABASE_URL"])
    role, name = sql.Identifier(url.username or "sparkle"), url.path.lstrip("/")
    with psycopg.connect(
        host=url.hostname,
        port=url.port or 5432,
        user=os.environ.get("DATABASE_MASTER_USER", "postgres"),
        password=master,
        dbname="postgres",
        sslmode="require",
        connect_timeout=10,
        autocommit=True,
    ) as connection:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [url.username]).fetchone():
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(role))
        connection.execute(sql.SQL("GRANT rds_iam TO {}").format(role))
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), role))
        else:
            connection.execute(sql.SQL("ALTER DATABASE {} OWNER TO {}").format(sql.Identifier(name), role))
    print("The application's role and database are there.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
