"""Functions on a schedule: scaling every ten seconds, upkeep every minute.

`python -m interactions_lambda.scheduled_functions upkeep --every 60` runs upkeep without Lambda.
"""

from __future__ import annotations

import argparse
import faulthandler
import functools
import logging
import os
import threading
import time
from datetime import UTC, datetime
from typing import Any

logger = logging.getLogger(__name__)
HUNG_AFTER_S = 300.0  # Upkeep takes seconds, or a minute if it purges thousands of requests.


@functools.cache
def _setup_django() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sparkle_site.settings.headless")
    import django

    django.setup()


def scaling(event: dict[str, Any], context: object = None) -> dict[str, Any]:
    """Return how many workers are missing, as data points for PutMetricData, and the number of instances.

    `event` holds ECS's counts `workers_wanted` and `workers_running`. The workflow publishes the data points, which
    have a resolution of one second, and sets the size of the Auto Scaling group to `instances`. This function therefore
    needs no access to CloudWatch or EC2.
    """
    _setup_django()
    from django.db import close_old_connections

    from jobs import fair_queue, scaling

    close_old_connections()
    demand = fair_queue.read_demand(now=datetime.now(UTC))
    limits = scaling.Limits(
        jobs_per_worker=int(os.environ.get("JOBS_PER_WORKER", scaling.Limits().jobs_per_worker)),
        max_workers=int(os.environ.get("WORKERS_MAX", scaling.Limits().max_workers)),
    )
    desired, running = int(event.get("workers_wanted") or 0), int(event.get("workers_running") or 0)
    missing = scaling.worker_deficit(demand, desired=desired, limits=limits)
    values = {
        "WorkersShort": missing,
        "RunnableJobs": demand.runnable,
        "WorkersRunning": running,
    }
    logger.info("scaling", extra={**values, "workers_wanted": desired})
    dimensions = [{"Name": "Deployment", "Value": os.environ.get("DEPLOYMENT", "sparkle")}]
    return {
        "metric_data": [
            {"MetricName": name, "Dimensions": dimensions, "Value": value, "Unit": "Count", "StorageResolution": 1}
            for name, value in values.items()
        ],
        "instances": instances(desired=desired, missing=missing, running=running),
    }


def instances(*, desired: int, missing: int, running: int) -> int:
    """Return how many instances are needed: for missing workers at once, and for each worker until it has stopped.

    A busy worker is protected, so ECS keeps it running after the desired count has dropped.
    """
    return max(desired + max(0, missing), running)


def upkeep(event: dict[str, Any] | None = None, context: object = None) -> dict[str, int]:
    """Run jobs.upkeep once and return its counts."""
    _setup_django()
    from dataclasses import asdict

    from django.db import close_old_connections

    from jobs import upkeep

    close_old_connections()
    return asdict(upkeep.run(now=datetime.now(UTC)))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m interactions_lambda.scheduled_functions", description=(__doc__ or "")[:70]
    )
    parser.add_argument("what", choices=["upkeep"])
    parser.add_argument("--every", type=float, metavar="SECONDS", help="repeat until SIGTERM")
    options = parser.parse_args()
    stopping = threading.Event()
    import signal

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stopping.set())
    while True:
        began = time.monotonic()
        if options.every:
            # A hung run would stop all maintenance: exit, so that the service manager starts it again.
            faulthandler.dump_traceback_later(max(HUNG_AFTER_S, options.every), exit=True)
        try:
            upkeep()
        except Exception:
            if not options.every:
                raise
            # The database may be unavailable. The next run tries again.
            logger.exception("upkeep_failed")
        finally:
            faulthandler.cancel_dump_traceback_later()
        if not options.every or stopping.wait(max(0.0, options.every - (time.monotonic() - began))):
            return


if __name__ == "__main__":
    main()
