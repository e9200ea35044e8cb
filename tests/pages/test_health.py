"""The liveness and readiness checks."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection
from django.test import Client

pytestmark = pytest.mark.django_db


def test_a_site_with_its_database_is_alive_and_ready(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_without_its_database_it_is_alive_but_not_ready_and_says_why(client: Client) -> None:
    def away(*args: object) -> object:
        raise OperationalError("planted: password=secret")

    with connection.execute_wrapper(away):
        alive, ready = client.get("/healthz"), client.get("/readyz")
    assert alive.status_code == 200
    assert ready.status_code == 503
    assert ready.json() == {"status": "not ready", "database": "OperationalError"}


def test_on_an_older_schema_it_is_not_ready(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'jobs'")
        deleted = cursor.rowcount
    assert deleted > 0
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert "migrate it" in ready.json()["database"]
