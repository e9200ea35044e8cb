"""A worker whose clock is wrong: `python -m devtools.chaos.skewed_clock SECONDS`."""

import datetime as dt
import runpy
import sys

import time_machine


def main() -> None:
    seconds = float(sys.argv.pop())
    with time_machine.travel(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds), tick=True):
        runpy.run_module("gpu_worker", run_name="__main__")


if __name__ == "__main__":
    main()
