"""Is the process alive, and can it serve?"""

from __future__ import annotations

import logging

from django.db import Error, connection
from django.http import HttpRequest, JsonResponse

from jobs import migration_check

logger = logging.getLogger(__name__)


def alive(request: HttpRequest) -> JsonResponse:
    """200 while the process answers. Touches nothing else: a database that is away is no reason to be restarted."""
    return JsonResponse({"status": "alive"})


def ready(request: HttpRequest) -> JsonResponse:
    """200 when the database answers and is migrated as far as this code needs, else 503 with what is not."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM guilds_platform")
        lacking = migration_check.missing_migrations()
    except Error as error:
        logger.warning("not_ready", extra={"error": type(error).__name__})
        return JsonResponse({"status": "not ready", "database": type(error).__name__}, status=503)
    if lacking:
        logger.warning("not_ready", extra={"database_lacks": ", ".join(lacking)})
        return JsonResponse({"status": "not ready", "database": "older than this code: migrate it"}, status=503)
    return JsonResponse({"status": "ready"})
