"""`./dev mutate`: run mutation tests on the pure modules, with the tests that need no database.

docs/explanation/mutation-testing.md explains each surviving mutant.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path

from devtools.run_directory import run_folder

from . import arguments

ROOT = Path(__file__).resolve().parents[2]
LEAST_SHARE = 0.9
# What the tests and the packages under test import, and pytest's settings.
LINKED = (
    "discord_api", "telemetry", "guilds", "jobs", "gpu_worker", "sparkle_site", "interactions_lambda", "demo_model",
    "benchmarks", "devtools", "templates", "tests", "pyproject.toml",
)  # fmt: skip
MUTATED_PACKAGES = ("discord_api", "guilds", "jobs", "gpu_worker")
# The same examples in each run, so that a change is noticed always or never. Without the database's fixtures
# and the plugins that these tests do not use, pytest starts in a tenth of a second.
NO_PLUGINS = ("cacheprovider", "playwright", "base_url", "xdist", "httpserver")
PYTEST = ("--hypothesis-seed=0", "--noconftest", *(f"-pno:{plugin}" for plugin in NO_PLUGINS))
# Tests of speed do not depend on a change, and importing diffusers takes longer than all other tests.
LEFT_OUT = "not diffusers and not costs_little and not cost_a_request"
# `mutmut show` for several at once: it takes a second to start.
SHOW = """
import sys
from mutmut.mutation.diff_apply import get_diff_for_mutant
for mutant in sys.argv[1:]:
    print(f"# {mutant}\\n{get_diff_for_mutant(mutant)}")
"""
# A change is noticed when a test fails, and when the tests no longer end.
NOTICED = frozenset({"killed", "timeout", "segfault"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A pure module with its tests. `with_database` names its functions that read or write rows: they are left out."""

    tests: tuple[str, ...]
    with_database: frozenset[str] = frozenset()

    def includes(self, function: str) -> bool:
        return function not in self.with_database


MODULES = {
    "guilds.policy": Module(tests=("tests/guilds/test_policy.py",)),
    "guilds.quota": Module(
        tests=("tests/guilds/test_quota.py",), with_database=frozenset({"load_status", "forget_member", "load_clock"})
    ),
    "guilds.quota_clock": Module(tests=("tests/guilds/test_quota_clock.py", "tests/guilds/test_quota.py")),
    "guilds.gpu_time_estimates": Module(tests=("tests/guilds/test_gpu_time_estimates.py",)),
    "guilds.blocked_terms": Module(tests=("tests/guilds/test_blocked_terms.py",)),
    "discord_api.payloads": Module(tests=("tests/discord/test_payloads.py",)),
    "jobs.wait_estimate": Module(tests=("tests/jobs/test_queue_position.py",)),
    "jobs.scaling": Module(tests=("tests/jobs/test_scaling.py",)),
    "jobs.job_status": Module(tests=("tests/jobs/test_job_status.py",)),
    "jobs.dispatch.codec": Module(tests=("tests/dispatch/test_codec.py",)),
    "gpu_worker.batch_policy": Module(tests=("tests/worker/test_batch_policy.py",)),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the changes, print each module's share and the changes that no test noticed; 1 below LEAST_SHARE."""
    names = read_arguments(argv).modules or list(MODULES)
    with run_folder("mutate") as folder:
        _prepare(folder, names)
        done = _mutmut(folder, "run", "--max-children", str(len(os.sched_getaffinity(0))))
        if done.returncode:
            print(done.stdout[-4000:], file=sys.stderr)
            print("./dev mutate: mutmut failed. The end of its output is above.", file=sys.stderr)
            return 1
        results = read_results(_mutmut(folder, "results", "--all", "true").stdout)
        survivors = [mutant for mutant, status in results.items() if status not in NOTICED]
        print(_python(folder, "-c", SHOW, *survivors).stdout, end="")
    lines, share = summary(results, names)
    print("\n".join(lines))
    return 0 if share >= LEAST_SHARE else 1


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = arguments.Parser(prog="./dev mutate", description=__doc__ or "")
    parser.add_argument(
        "modules",
        nargs="*",
        metavar="MODULE",
        type=arguments.one_of(list(MODULES)),
        help=f"modules to test, all by default: {', '.join(MODULES)}",
    )
    return parser.parse_args(argv)


def read_results(printed: str) -> dict[str, str]:
    """Return each mutant's status by its name, from what `mutmut results` printed, without those left out."""
    found = {}
    for line in printed.splitlines():
        mutant, colon, status = line.strip().rpartition(": ")
        module, function = module_and_function(mutant)
        if colon and module in MODULES and MODULES[module].includes(function):
            found[mutant] = status
    return found


def module_and_function(mutant: str) -> tuple[str, str]:
    """Split a name like `guilds.quota.x_decide__mutmut_3` or `guilds.quota.xǁCounterǁ__add____mutmut_1`."""
    module, _, mangled = mutant.rpartition(".")
    function = mangled.rpartition("__mutmut_")[0]
    return module, function.rpartition("ǁ")[2] if "ǁ" in function else function.removeprefix("x_")


def summary(results: dict[str, str], names: Sequence[str]) -> tuple[list[str], float]:
    """Return a line for each module and one for all, and the share of all changes that were noticed."""
    made = Counter(module_and_function(mutant)[0] for mutant in results)
    noticed = Counter(module_and_function(mutant)[0] for mutant, status in results.items() if status in NOTICED)
    rows = [(name, noticed[name], made[name]) for name in names] + [("all", noticed.total(), made.total())]
    lines = [f"{name:<22} {of_these:>5} of {all_of_them:>5}  {of_these / max(all_of_them, 1):7.1%}"
             for name, of_these, all_of_them in rows]  # fmt: skip
    return lines, noticed.total() / max(made.total(), 1)


def _prepare(folder: Path, names: Sequence[str]) -> None:
    for name in LINKED:
        (folder / name).symlink_to(ROOT / name)
    tests = dict.fromkeys(file for name in names for file in MODULES[name].tests)
    settings = ConfigParser()
    settings["mutmut"] = {
        "source_paths": _several(MUTATED_PACKAGES),
        "only_mutate": _several(f"{name.replace('.', '/')}.py" for name in names),
        "also_copy": _several(name for name in LINKED if name not in MUTATED_PACKAGES),
        "pytest_add_cli_args_test_selection": _several(tests),
        "pytest_add_cli_args": _several((*PYTEST, "-k", LEFT_OUT)),
        "use_git_change_detection": "false",
        # Each change runs in a fresh process: a cache of an earlier one would hide it.
        "process_isolation": "forkserver",
    }
    with (folder / "setup.cfg").open("w") as file:
        settings.write(file)


def _several(values: Sequence[str] | object) -> str:
    return "\n" + "\n".join(values)  # type: ignore[arg-type]


def _mutmut(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return _python(folder, "-m", "mutmut", *words)


def _python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    # Without this checkout on the path: its modules would be imported instead of the changed ones.
    variables = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONSAFEPATH"}}
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main())
