"""`./dev bench`: run benchmarks, print their results, and write numbers and plots."""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devtools import run_directory
from devtools.benchmark_result import Result
from devtools.cli import arguments
from devtools.hardware import describe

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(__file__).parent / "results"
# Each is a module of this package with `run(*, full: bool) -> Outcome`.
NAMES = (
    "scaling",
    "promises",
    "admission",
    "ingress",
    "cold-start",
    "end-to-end",
    "worker",
    "families",
    "adapters",
    "admin",
    "upkeep",
    "demo-model",
)


def read_arguments(argv: list[str]) -> argparse.Namespace:
    parser = arguments.Parser(prog="./dev bench", description=__doc__ or "")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        type=arguments.one_of(NAMES),
        help=f"benchmarks to run, all by default: {', '.join(NAMES)}",
    )
    parser.add_argument("--full", action="store_true", help="run the long versions, which take minutes each")
    parser.add_argument("--json", type=arguments.file_to_write, metavar="FILE", help="write all measurements to FILE")
    parser.add_argument("--save", action="store_true", help="write numbers and plots to benchmarks/results")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Run the benchmarks named in `argv`, or all; return 1 where one broke or a goal was missed."""
    options = read_arguments(argv)
    # Stopped from outside, it still takes its servers along.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    chosen = options.names or [name for name in NAMES if _file(name).exists()]
    report: dict[str, Any] = {"machine": describe(), "at": f"{datetime.now(UTC):%Y-%m-%d}", "benchmarks": {}}
    broken = False
    for name in chosen:
        if len(chosen) == 1:
            report["benchmarks"][name] = _measure(name, full=options.full, save=options.save, at=report["at"])
        elif numbers := _alone(name, full=options.full, save=options.save):
            report["benchmarks"][name] = numbers
        else:
            # One that breaks must not take the others' numbers along.
            broken = True
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    missed = [
        f"{name}: {figure['name']}"
        for name, each in report["benchmarks"].items()
        for figure in each["figures"]
        if figure["met"] is False
    ]
    print("\nAll goals met." if not missed and not broken else "\nMissed: " + "; ".join(missed))
    return 1 if missed or broken else 0


def _measure(name: str, *, full: bool, save: bool, at: str) -> dict[str, Any]:
    """Run one benchmark here, print its table and return its numbers."""
    print(f"\n=== {name}", flush=True)
    machine, began = describe(), time.monotonic()
    outcome: Result = importlib.import_module(f"benchmarks.{_module(name)}").run(full=full)
    print(_table(outcome))
    numbers = outcome.as_json() | {"seconds": round(time.monotonic() - began, 1), "full": full}
    if save:
        RESULTS.mkdir(exist_ok=True)
        saved = {"machine": machine, "at": at, **numbers}
        device = f"-{outcome.on}" if outcome.on else ""
        (RESULTS / f"{name}{device}.json").write_text(json.dumps(saved, indent=1) + "\n")
        for plot, svg in outcome.plots.items():
            (RESULTS / f"{plot}{device}.svg").write_text(svg)
    return numbers


def _alone(name: str, *, full: bool, save: bool) -> dict[str, Any] | None:
    """Run a benchmark in a separate process, because Django is set up once per process; None if it failed."""
    with run_directory.run_folder("bench-report") as folder:
        file = folder / "numbers.json"
        flags = [flag for flag, wanted in (("--full", full), ("--save", save)) if wanted]
        with subprocess.Popen([sys.executable, "-m", "benchmarks", name, "--json", str(file), *flags]) as process:
            try:
                process.wait()
            finally:
                process.terminate()
        if not file.exists():
            return None
        found: dict[str, Any] = json.loads(file.read_text())["benchmarks"][name]
        return found


def _module(name: str) -> str:
    return name.replace("-", "_")


def _file(name: str) -> Path:
    return Path(__file__).parent / f"{_module(name)}.py"


def _table(outcome: Result) -> str:
    rows = []
    for figure in outcome.figures:
        goal = "" if figure.goal is None else f"{'>=' if figure.at_least else '<='} {figure.goal:.3g}"
        verdict = {True: "met", False: "MISSED", None: ""}[figure.met]
        rows.append(f"  {figure.name:<58} {figure.value:>10,g} {figure.unit:<6} {goal:<9} {verdict}")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
