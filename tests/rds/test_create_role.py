"""The application's role is made on a PostgreSQL that has RDS's rule: members of `rds_iam` cannot use a password."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from devtools.embedded_postgres import ensure
from sparkle_site.rds import create_role

pytestmark = pytest.mark.processes

PASSWORD = "the master's password"
# As on RDS, where `reject` stands for "only with a token"; a token is a password that this server cannot check.
RULES = """
host    all  sparkle   127.0.0.1/32  trust
host    all  +rds_iam  127.0.0.1/32  reject
"""


@pytest.fixture(scope="module")
def server(make_folder: Any) -> Iterator[str]:
    """Return the address of a PostgreSQL with RDS's rule, and a master."""
    with ensure(make_folder("rds")) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE ROLE rds_iam")
            # RDS's master may grant rds_iam without being a member of it; here only a superuser may.
            connection.execute(sql.SQL("CREATE ROLE master LOGIN SUPERUSER PASSWORD {}").format(sql.Literal(PASSWORD)))
            rules = Path(connection.execute("SHOW hba_file").fetchone()[0])  # type: ignore[index]
            rules.write_text(RULES + rules.read_text())
            connection.execute("SELECT pg_reload_conf()")
        yield url


@pytest.fixture
def prepare(server: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the command as the prepare task runs it, with this password of the master's."""
    port = urlsplit(server).port
    for name, value in {
        "DATABASE_IAM_AUTH": "true",
        "DATABASE_URL": f"postgres://sparkle@127.0.0.1:{port}/app?sslmode=disable",
        "DATABASE_MASTER_USER": "master",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)

    def run(password: str = PASSWORD) -> int:
        monkeypatch.setenv("DATABASE_MASTER_PASSWORD", json.dumps({"username": "master", "password": password}))
        return create_role.main()

    return run


def _master_logs_in(server: str) -> bool:
    port = urlsplit(server).port
    try:
        psycopg.connect(host="127.0.0.1", port=port, user="master", password=PASSWORD, dbname="postgres").close()
    except psycopg.OperationalError as error:
        assert "pg_hba.conf rejects" in str(error)  # noqa: PT017
        return False
    return True


def test_it_is_made_once_and_found_ever_after_although_the_master_is_shut_out(
    server: str, prepare: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prepare("a wrong password") == 1
    told = capsys.readouterr().err
    assert "Nobody can log in. sparkle with an IAM token:" in told
    assert "password authentication failed" in told
    assert "a wrong password" not in told
    assert _master_logs_in(server)
    assert prepare() == 0
    assert "were made" in capsys.readouterr().out
    assert not _master_logs_in(server)
    for _ in range(2):
        assert prepare() == 0
        assert "are there" in capsys.readouterr().out
    # The role is the owner: it may migrate.
    with psycopg.connect(host="127.0.0.1", port=urlsplit(server).port, user="sparkle", dbname="app") as app:
        app.execute("CREATE TABLE a (id int)")


def test_no_option_of_a_membership_keeps_the_password(server: str) -> None:
    """So the master is locked out by the grant whatever its options are, and the application must log in first."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE careful LOGIN PASSWORD {}").format(sql.Literal(PASSWORD)))
        connection.execute("CREATE ROLE other")
        connection.execute("GRANT other TO careful WITH INHERIT FALSE, SET FALSE")
        careful = {"host": "127.0.0.1", "port": urlsplit(server).port, "user": "careful", "password": PASSWORD}
        psycopg.connect(**careful, dbname="postgres").close()  # type: ignore[arg-type]
        connection.execute("GRANT rds_iam TO other")
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects"):
        psycopg.connect(**careful, dbname="postgres")  # type: ignore[arg-type]
