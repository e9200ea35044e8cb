"""Upkeep each second instead of each minute: `python -m devtools.chaos.upkeep_loop`."""

import contextlib
import time


def main() -> None:
    import django

    django.setup()
    from django.db import Error, close_old_connections
    from django.utils import timezone

    from jobs import upkeep

    while True:
        close_old_connections()
        # The database may be down; the next run of the Lambda would try again too.
        with contextlib.suppress(Error):
            upkeep.run(now=timezone.now())
        time.sleep(1)


if __name__ == "__main__":
    main()
