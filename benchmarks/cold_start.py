"""From the start of a process to its first answer, on one core, from the package as it is deployed.

A run is a new Python process that imports the handler and answers one request: PING, a forged one, or `/sparkle`.
`-X importtime` shows which modules cost most. The list of loaded modules shows which were imported and never used.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from devtools import run_directory
from devtools.benchmark_result import Figure, Result, percentile

from . import services, signed_interactions
from .svg_plots import bars

PACKAGES = ("discord_api", "telemetry", "guilds", "jobs", "interactions_lambda", "sparkle_site/settings")
# A first answer from these would mean that something is loaded which a PING does not need.
NOT_FOR_PING = ("django", "psycopg", "boto3", "botocore", "httpx", "PIL", "asyncio")
NOT_FOR_SPARKLE = ("httpx", "PIL", "celery", "unfold", "allauth", "gunicorn", "torch", "django.contrib.admin")
_PROBE = """
import sys, time, json
began = time.time()
event = json.load(sys.stdin)
from interactions_lambda.handler import handler
answer = handler(event, None)
print(json.dumps({"status": answer["statusCode"], "body": answer["body"][:60], "inside_s": time.time() - began,
                  "ended": time.time(), "modules": sorted(sys.modules)}))
"""


def run(*, full: bool = False) -> Result:
    """Start each way 5 times, or 25 times."""
    times = 25 if full else 5
    with services.database() as database, services.queue() as queue, _package() as (folder, source):
        services.django_here(database.url, **queue)
        services.make_guilds(50)
        environment = {
            **{key: value for key, value in os.environ.items() if key in {"PATH", "HOME", "LANG"}},
            **services.KEY_SETTINGS, **queue, "DATABASE_URL": database.url,
            "DJANGO_SETTINGS_MODULE": services.SETTINGS, "DISCORD_PUBLIC_KEY": signed_interactions.PUBLIC_KEY,
            "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        found = {name: _starts(name, times, environment, folder) for name in ("ping", "forged", "sparkle")}
        costly = _costly(environment, folder)
    unused = [name for name in NOT_FOR_PING if name in found["ping"]["modules"]]
    unused += [name for name in NOT_FOR_SPARKLE if name in found["sparkle"]["modules"]]
    for each in found.values():
        each["modules"] = len(each["modules"])
    return Result(
        figures=(
            Figure(name="PING, from the process's start", value=found["ping"]["p50_ms"], unit="ms", goal=150),
            Figure(name="a bad signature", value=found["forged"]["p50_ms"], unit="ms"),
            Figure(name="/sparkle", value=found["sparkle"]["p50_ms"], unit="ms", goal=700),
            Figure(name="PING, CPU", value=found["ping"]["cpu_ms"], unit="ms", goal=150),
            Figure(name="/sparkle, CPU", value=found["sparkle"]["cpu_ms"], unit="ms", goal=700),
            Figure(name="packages loaded and not needed", value=len(unused), unit="", goal=0),
        ),
        detail={"from": source, "starts": found, "not_needed": unused, "costliest_imports_ms": costly},
        plots={
            "cold-start": bars(
                "From the process's start to its first answer, ms",
                list(found),
                {
                    "median": [each["p50_ms"] for each in found.values()],
                    "CPU": [each["cpu_ms"] for each in found.values()],
                },
            )
        },
    )


@contextmanager
def _package() -> Iterator[tuple[Path, str]]:
    """A folder as the Lambda has it: the zip built for this machine, unpacked, else the same files."""
    with run_directory.run_folder("cold-start") as home:
        folder, built = home / "unpacked", home / "lambda.zip"
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        # Built for this machine and this Python, by what builds the deployed one.
        done = subprocess.run(
            [
                *(sys.executable, "-m", "devtools.cli.package", "--out", str(built), "--python", python),
                *("--architecture", "arm64" if platform.machine() == "aarch64" else "x86_64"),
            ],
            cwd=services.ROOT, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        if built.exists():
            zipfile.ZipFile(built).extractall(folder)
            yield folder, "zip"
            return
        print(f"  not from the zip: {done.stderr.strip().splitlines()[-1:]}", flush=True)
        for package in PACKAGES:
            _copy(services.ROOT / package, folder / package)
        (folder / "sparkle_site" / "__init__.py").touch()
        subprocess.run(
            [sys.executable, "-m", "compileall", "-q", "-j1", "--invalidation-mode=unchecked-hash", str(folder)],
            check=True,
        )
        # Third-party packages are read where they are installed, with bytecode as the zip has it.
        yield folder, "the same files, unpacked"


def _copy(source: Path, target: Path) -> None:
    for file in source.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            place = target / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(file.read_bytes())


def _one_core(*command: str) -> list[str]:
    return ["taskset", "-c", str(min(os.sched_getaffinity(0))), *command] if _has_taskset() else list(command)


def _has_taskset() -> bool:
    return any((Path(folder) / "taskset").exists() for folder in os.environ.get("PATH", "").split(os.pathsep))


def _event(name: str, number: int) -> dict[str, Any]:
    body = signed_interactions.sparkle(number, guilds=50) if name == "sparkle" else signed_interactions.PING
    return signed_interactions.event(body, forged=name == "forged")


def _starts(name: str, times: int, environment: dict[str, str], folder: Path) -> dict[str, Any]:
    import resource
    import time

    wall, cpu, inside, answer = [], [], [], {}
    for number in range(times + 1):
        event = json.dumps(_event(name, number))
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.time()
        done = subprocess.run(
            _one_core(sys.executable, "-c", _PROBE), input=event, env=environment, cwd=folder, capture_output=True,
            text=True, timeout=120, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        answer = json.loads(done.stdout.splitlines()[-1])
        assert answer["status"] == (401 if name == "forged" else 200), answer
        assert name != "sparkle" or '"type":4' in answer["body"], answer["body"]
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if number:  # The first fills the page cache.
            wall.append(1000 * (answer["ended"] - began))
            inside.append(1000 * answer["inside_s"])
            cpu.append(1000 * (after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime))
    return {
        "p50_ms": round(percentile(wall, 0.5)),
        "worst_ms": round(max(wall)),
        "without_python_ms": round(percentile(inside, 0.5)),
        "cpu_ms": round(percentile(cpu, 0.5)),
        "modules": answer["modules"],
    }


def _costly(environment: dict[str, str], folder: Path) -> dict[str, float]:
    """The dozen modules whose own code takes longest to import for a `/sparkle`, in ms."""
    done = subprocess.run(
        _one_core(sys.executable, "-X", "importtime", "-c", _PROBE),
        input=json.dumps(_event("sparkle", 1)), env=environment, cwd=folder, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    rows = re.findall(r"import time:\s+(\d+) \|\s+(\d+) \|(\s*)(\S+)", done.stderr)
    packages: dict[str, float] = {}
    for own, _, _, name in rows:
        package = ".".join(name.split(".")[:2]) if name.startswith("django.") else name.split(".")[0]
        packages[package] = packages.get(package, 0.0) + int(own) / 1000
    largest = sorted(packages.items(), key=lambda each: -each[1])[:12]
    return {name: round(took, 1) for name, took in largest}


if find_spec("interactions_lambda") is None:  # pragma: no cover
    raise ImportError("run from the repository's root: python -m benchmarks cold-start")
