"""What SnapStart's snapshot contains: everything that the first request would otherwise load.

Lambda takes the snapshot once, when a version is published, and starts every environment from it. Loading code here
therefore costs no member any time. Connections, which would be dead, and random state, which must differ between
environments, stay out. https://docs.aws.amazon.com/lambda/latest/dg/snapstart-best-practices.html
"""

from __future__ import annotations

import os
from collections.abc import Mapping


def is_snapshot_start(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether Lambda takes a snapshot of this start. Otherwise modules are imported on first use."""
    return environment.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start"


def prepare() -> None:
    """Set up Django and import every module. An error stops Lambda from publishing the version."""
    from . import router

    router.setup_django()

    from django.conf import settings
    from django.core.files.storage import storages
    from django.db import connection, connections

    from guilds import command_ids  # noqa: F401
    from jobs.dispatch import sqs

    from . import autocomplete, commands, components, deadline, error_response, modals, webhook_events  # noqa: F401

    # Creating a client reads its service description, about 0.1 s each. It connects on first use and refreshes
    # credentials that expired since the snapshot.
    if settings.JOB_DISPATCHER.endswith(".SqsDispatcher"):
        sqs.client()
    if prepare_login := getattr(connection, "prepare_login", None):  # sparkle_site.rds
        prepare_login()
    _ = storages["default"]
    # A socket in the snapshot would be dead when it is restored.
    connections.close_all()
