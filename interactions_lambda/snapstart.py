"""What SnapStart's snapshot holds: everything that the first request would otherwise have to load.

Lambda takes the snapshot once, when a version is published, and starts every environment from it. So what is loaded
here costs no member any time; what would be stale after it (connections) or must differ between environments (chance)
stays out. https://docs.aws.amazon.com/lambda/latest/dg/snapstart-best-practices.html
"""

from __future__ import annotations

import os
from collections.abc import Mapping


def wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Say whether this start is one of which a snapshot is taken. On demand the parts are loaded as they are needed."""
    return environment.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start"


def prepare() -> None:
    """Set Django up and import every part. Raises what they raise: a version that cannot start is not published."""
    from . import router

    router.setup_django()

    from django.conf import settings
    from django.core.files.storage import storages
    from django.db import connection, connections

    from guilds import command_ids  # noqa: F401
    from jobs.dispatch import sqs

    from . import autocomplete, commands, components, deadline, error_response, modals, webhook_events  # noqa: F401

    # Making a client reads its service's description, a tenth of a second each; it connects when it is first used,
    # and fetches credentials anew when those of the snapshot have run out.
    if settings.JOB_DISPATCHER.endswith(".SqsDispatcher"):
        sqs.client()
    if prepare_login := getattr(connection, "prepare_login", None):  # sparkle_site.rds
        prepare_login()
    _ = storages["default"]
    # Nothing above opens one; a socket in the snapshot would be dead when it is restored.
    connections.close_all()
