"""`./dev soak`: run a steady mixed load for an hour, then check that memory stayed flat and nothing was lost."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from devtools import run_directory
from devtools.benchmark_result import Figure, percentile
from devtools.chaos.environment import ChaosEnvironment, StartFailed, say
from devtools.chaos.invariants import Observed, check_environment, platform_rows
from devtools.cli import arguments
from devtools.embedded_postgres import DatabaseUnavailable
from devtools.hardware import describe
from devtools.processes import ChildFailed, interrupt_on_termination

from . import memory_usage
from .load_generator import MIX, SENDERS, Load

LATE_S = 3.0
# What stands in for others' machines: PostgreSQL, SQS, Discord, and the members.
NOT_OURS = frozenset({"database", "queue", "discord", "members"})
KEPT_POINTS = 60
MOST_WORKERS = 64  # Each is a separate process.


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = arguments.Parser(prog="./dev soak", description=(__doc__ or "").split(": ", 1)[1])
    parser.add_argument(
        "--minutes", type=arguments.number(0, above=True), default=60.0, help="duration in minutes (default: 60)"
    )
    parser.add_argument(
        "--rate", type=arguments.number(0, 10_000, above=True), default=20.0, help="requests per second (default: 20)"
    )
    parser.add_argument(
        "--workers",
        type=arguments.whole(1, MOST_WORKERS),
        default=2,
        help="number of workers, with the noise engine (default: 2)",
    )
    parser.add_argument(
        "--seed", type=arguments.whole(0), default=1, help="the same seed sends the same requests (default: 1)"
    )
    parser.add_argument("--json", type=arguments.file_to_write, help="file for the result")
    parser.add_argument("--logs", type=arguments.folder_to_write, help="folder to keep the logs of all processes in")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    options = read_arguments(argv)
    interrupt_on_termination()
    with run_directory.run_folder("soak") as folder:
        environment: ChaosEnvironment | None = None
        try:
            environment = ChaosEnvironment(folder, workers=options.workers, ingresses=2)
            result = _run(environment, options)
        except (StartFailed, ChildFailed, DatabaseUnavailable) as error:
            say(f"soak: {error}")
            return 2
        except KeyboardInterrupt:
            say("soak: stopped")
            return 130
        finally:
            if environment is not None:
                environment.stop()
                if options.logs:
                    shutil.copytree(environment.logs, options.logs, dirs_exist_ok=True)
    if options.json:
        # A point of a curve on one line.
        text = re.sub(r"\[\s+([\d.]+),\s+([\d.]+)\s+\]", r"[\1, \2]", json.dumps(result, indent=1))
        options.json.write_text(text + "\n")
    return 0 if all(figure["met"] is not False for figure in result["figures"]) else 1


def _run(environment: ChaosEnvironment, options: argparse.Namespace) -> dict[str, Any]:
    seconds = options.minutes * 60
    say(f"{options.rate:g} requests per second for {options.minutes:g} minutes: starting all processes")
    machine = describe()
    _start(environment)
    load = Load(environment.ingress_ports, rate=options.rate, seconds=seconds, seed=options.seed)
    watch = memory_usage.Watch(_pids(environment), every_s=min(5.0, seconds / 40), clock=time.monotonic)
    began = time.monotonic()
    watch.start()
    load.run()
    sent_s = time.monotonic() - began
    watch.stop()
    ended = [part.name for part in environment.parts if not part.alive]
    drained_s = environment.drain()
    platform = platform_rows(environment.platform_db.direct)
    invariants = check_environment(environment, accepted=load.accepted, platform=platform, observed=Observed())
    verdicts = {name: memory_usage.judge(samples, of_s=seconds) for name, samples in watch.samples.items()}
    broken = sum(not each.holds for each in invariants) + len(ended)
    figures = _figures(load, verdicts, broken=broken, sent_s=sent_s)
    for figure in figures:
        verdict = {True: "met   ", False: "MISSED", None: "      "}[figure.met]
        say(f"{verdict}  {figure.name}: {figure.value} {figure.unit}")
    return {
        "machine": machine,
        "at": f"{datetime.now(UTC):%Y-%m-%d}",
        "figures": [asdict(each) | {"met": each.met} for each in figures],
        "detail": {
            **{name: getattr(options, name) for name in ("minutes", "rate", "seed", "workers")},
            "mix_percent": MIX,
            "sent": dict(load.sent),
            "wrong": dict(load.wrong),
            "refused": dict(load.refused),
            "accepted": len(load.accepted),
            "ended": dict(Counter(job["status"] for job in platform["jobs"])),
            "processes_that_ended": ended,
            "drained_in_s": round(drained_s, 1),
            "memory": {
                name: asdict(verdict) | {"ours": name not in NOT_OURS, "points": _points(watch.samples[name])}
                for name, verdict in verdicts.items()
            },
            "invariants": [asdict(each) | {"holds": each.holds} for each in invariants],
        },
    }


def _start(environment: ChaosEnvironment) -> None:
    """Start every process, with the simulator's servers on both sides."""
    os.environ.update(environment.discord.variables)
    environment.start()
    os.environ["DATABASE_POOL_SIZE"] = str(SENDERS + 1)
    import django

    django.setup()
    from devtools.simulator import seed_data
    from devtools.simulator.models import SimGuild

    seed_data.run()
    environment.install_guilds([(guild.pk, guild.name) for guild in SimGuild.objects.all()])


def _pids(environment: ChaosEnvironment) -> dict[str, int]:
    found = {part.name: part.process.pid for part in environment.parts if part.process is not None}
    postmaster = int((environment.platform_db.server.data / "postmaster.pid").read_text().splitlines()[0])
    return found | {"database": postmaster, "members": os.getpid()}


def _figures(load: Load, verdicts: dict[str, memory_usage.Verdict], *, broken: int, sent_s: float) -> list[Figure]:
    sent = load.sent.total()
    return [
        Figure(name="requests sent a second", value=round(sent / sent_s, 1), unit="1/s"),
        Figure(name="answer, p50", value=round(1000 * percentile(load.times_s, 0.5), 1), unit="ms"),
        Figure(name="answer, p99", value=round(1000 * percentile(load.times_s, 0.99), 1), unit="ms"),
        Figure(name="answer, slowest", value=round(1000 * max(load.times_s), 1), unit="ms"),
        Figure(name="answers over 3 s", value=sum(took > LATE_S for took in load.times_s), unit="", goal=0),
        Figure(name="wrong answers", value=load.wrong.total(), unit="", goal=0),
        Figure(name="sent after it was due, p99", value=round(1000 * percentile(load.late_s, 0.99), 1), unit="ms"),
        Figure(name="invariants broken", value=broken, unit="", goal=0),
        *(
            Figure(
                name=f"memory of {name} grows",
                value=verdict.slope,
                unit="MiB/h",
                goal=None if name in NOT_OURS else memory_usage.FLAT_MIB_PER_H,
            )
            for name, verdict in sorted(verdicts.items())
        ),
    ]


def _points(samples: list[memory_usage.Sample]) -> list[tuple[float, float]]:
    """A few of the samples, evenly spread: seconds and MiB."""
    every = max(1, len(samples) // KEPT_POINTS)
    return [(round(each.at_s), round(each.own_mib, 1)) for each in samples[::every]]


if __name__ == "__main__":
    sys.exit(main())
