"""Liveness and readiness checks."""

from __future__ import annotations

import logging

from django.db import Error, connection
from django.http import HttpRequest, JsonResponse

from jobs import migration_check

logger = logging.getLogger(__name__)


def alive(request: HttpRequest) -> JsonResponse:
    """Return 200. Does not use the database, because restarting the process would not bring it back."""
    return JsonResponse({"status": "alive"})


def ready(request: HttpRequest) -> JsonResponse:
    """Return 200 if the database answers and has all migrations that this code needs, else 503 with the reason."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM guilds_platform")
        missing = migration_check.missing_migrations()
    except Error as error:
        logger.warning("not_ready", extra={"error": type(error).__name__})
        return JsonResponse({"status": "not ready", "database": type(error).__name__}, status=503)
    if missing:
        logger.warning("not_ready", extra={"missing_migrations": ", ".join(missing)})
        return JsonResponse({"status": "not ready", "database": "older than this code: migrate it"}, status=503)
    return JsonResponse({"status": "ready"})
