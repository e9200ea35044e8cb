"""Admit requests on both sides of a month's boundary: `python -m devtools.chaos.concurrent_admission REQUESTS`.

Two threads with a connection each admit requests of one server, whose concurrency is 1. One clock is just before the
month's start, the other just after it. Prints JSON: the accepted interactions, and how many requests were
seen active at once at most.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

from .example_guilds import SINGLE, ask

WATCH_S = 20.0


def main() -> None:
    import django

    django.setup()
    from django.db import connections

    from jobs.job_status import OPEN
    from jobs.models import Job
    from jobs.submission import Accepted, submit

    asks = int(sys.argv[1])
    # The last boundary, not the next one: reply deadlines must not lie in the future for a month.
    boundary = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    accepted: list[int] = []
    errors: list[str] = []
    start = threading.Barrier(2)

    def decide(now: datetime) -> None:
        start.wait()
        try:
            for number in range(asks):
                wanted = ask(SINGLE, number, count=4)
                if isinstance(submit(wanted, now=now), Accepted):
                    accepted.append(wanted.interaction_id)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}"[:200])
        finally:
            connections.close_all()

    sides = (boundary - timedelta(milliseconds=1), boundary + timedelta(milliseconds=1))
    threads = [threading.Thread(target=decide, args=(now,)) for now in sides]
    for thread in threads:
        thread.start()
    most_active, until = 0, time.monotonic() + WATCH_S
    while time.monotonic() < until:
        deciding = any(thread.is_alive() for thread in threads)
        of_server = Job.objects.filter(guild_id=SINGLE.id)
        most_active = max(most_active, of_server.filter(status__in=("queued", "running")).count())
        if not deciding and not of_server.filter(status__in=OPEN).exists():
            break
        time.sleep(0.002)
    for thread in threads:
        thread.join()
    json.dump({"accepted": accepted, "most_active": most_active, "errors": errors}, sys.stdout)


if __name__ == "__main__":
    main()
