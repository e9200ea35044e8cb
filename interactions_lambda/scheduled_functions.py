"""What the clock calls: scaling every ten seconds, upkeep every minute.

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
STUCK_S = 300.0  # upkeep takes seconds, and a minute when thousands of requests are to be purged


@functools.cache
def _set_up() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sparkle_site.settings.headless")
    import django

    django.setup()


def scaling(event: dict[str, Any], context: object = None) -> dict[str, Any]:
    """Decide how many workers are short; return data points of ten seconds' resolution for PutMetricData.

    `event` holds `workers_wanted` and `workers_running` as ECS has them. The workflow publishes the data points and
    sets the group to `instances`: this function needs no way to CloudWatch or EC2.
    """
    _set_up()
    from django.db import close_old_connections

    from jobs import fair_queue, scaling

    close_old_connections()
    demand = fair_queue.demand(now=datetime.now(UTC))
    limits = scaling.Limits(
        jobs_per_worker=int(os.environ.get("JOBS_PER_WORKER", scaling.Limits().jobs_per_worker)),
        max_workers=int(os.environ.get("WORKERS_MAX", scaling.Limits().max_workers)),
    )
    desired, running = int(event.get("workers_wanted") or 0), int(event.get("workers_running") or 0)
    short = scaling.worker_deficit(demand, desired=desired, limits=limits)
    values = {
        "WorkersShort": short,
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
        "instances": instances(desired=desired, short=short, running=running),
    }


def instances(*, desired: int, short: int, running: int) -> int:
    """Return how many machines the workers need: at once for those that are short, and for each until it has ended.

    A worker that works is protected: ECS lets it run on after fewer are desired.
    """
    return max(desired + max(0, short), running)


def upkeep(event: dict[str, Any] | None = None, context: object = None) -> dict[str, int]:
    """Keep house once (jobs.upkeep); return how many of each were mended."""
    _set_up()
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
    parser.add_argument("--every", type=float, metavar="SECONDS", help="again and again, until SIGTERM")
    options = parser.parse_args()
    leave = threading.Event()
    import signal

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: leave.set())
    while True:
        began = time.monotonic()
        if options.every:
            # A pass that never ends would leave the house unkept: whoever started this starts it again.
            faulthandler.dump_traceback_later(max(STUCK_S, options.every), exit=True)
        try:
            upkeep()
        except Exception:
            if not options.every:
                raise
            # The database is away, perhaps: the next minute tries again.
            logger.exception("upkeep_failed")
        finally:
            faulthandler.cancel_dump_traceback_later()
        if not options.every or leave.wait(max(0.0, options.every - (time.monotonic() - began))):
            return


if __name__ == "__main__":
    main()
