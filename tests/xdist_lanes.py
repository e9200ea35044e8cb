"""A run of the whole suite uses every core; what mostly waits runs beside the rest, on processes of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Each lane is a process that runs its files one after the other. They wait for most of their time: for a time-out to
# pass, for a killed worker's lease, for AWS's emulator. Put in order by hand, so that the lanes take equally long.
LANES = (
    ("tests/terraform/test_apply.py",),
    ("tests/worker/test_faults.py", "tests/reliability/test_chaos.py"),
    (
        "tests/migrations/test_rollout.py",
        "tests/dev/test_demo.py",
        "tests/worker/test_watchdog.py",
        "tests/worker/test_sqs_consumer.py",
        "tests/dev/test_dev.py",
    ),
)
# These take longest of the rest: begun last, one of them would end alone.
FIRST = (
    "tests/worker/test_compilation.py",
    "tests/acceptance/test_accessibility.py",
    "tests/reliability/test_fuzz.py",
    "tests/admin/test_odd_requests.py",
    "tests/acceptance/test_simulator_page.py",
    "tests/worker/test_job_runner.py",
    "tests/demo_model/test_pipeline.py",
)
PARALLEL = pytest.StashKey[bool]()
# The number of a process's lane, told to it by the run; REST for a process that runs what is in no lane.
LANE, REST = "lane", -1


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Choose the number of processes, where the whole suite runs and the caller has chosen nothing."""
    option = config.option
    if hasattr(config, "workerinput"):
        return
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if whole and option.durations is None:
        option.durations = 10
    alone = option.tx or option.collectonly or option.usepdb or getattr(option, "lf", False)
    if whole and option.numprocesses is None and not alone:
        config.stash[PARALLEL] = True
        option.numprocesses = cores() + len(lanes(config))


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def lanes(config: pytest.Config) -> tuple[tuple[str, ...], ...]:
    """Return the files of each lane. Without the tests that wait, there are no lanes."""
    return () if config.option.quick else LANES


def tell_lane(node: Any) -> None:
    """Tell a new process what to collect. One that replaces a process that crashed collects every file."""
    number = int(node.gateway.id.removeprefix("gw"))
    if node.config.stash.get(PARALLEL, False) and number < node.config.option.numprocesses:
        node.workerinput[LANE] = max(REST, number - cores())


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files that this process will not run: importing all of them takes half a minute of CPU time."""
    lane = getattr(config, "workerinput", {}).get(LANE)
    if lane is None:
        return None
    path = collection_path.relative_to(config.rootpath)
    if lane == REST:
        wanted = path.as_posix() not in chain.from_iterable(lanes(config))
    else:
        wanted = any(Path(file).is_relative_to(path) for file in LANES[lane])
    return None if wanted else True


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LaneScheduling | None:
    return LaneScheduling(config, log) if config.stash.get(PARALLEL, False) else None


class LaneScheduling(LoadScopeScheduling):
    """Gives each lane to a process, and the other files one by one to whichever process is free.

    A process gets files that it has collected, and not all have collected the same.
    """

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        self._files: dict[Any, set[str]] = {}

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        self.registered_collections[node] = list(collection)
        self._files[node] = set(map(self._split_scope, collection))

    def schedule(self) -> None:
        if self.collection is None:
            self.collection = list(dict.fromkeys(chain.from_iterable(self.registered_collections.values())))
            # pytest's percentages are of the last process's tests otherwise.
            self.config.pluginmanager.get_plugin("dsession")._session.testscollected = len(self.collection)
            order = [*FIRST, *chain.from_iterable(LANES)]
            files = list(dict.fromkeys(map(self._split_scope, self.collection)))
            for file in sorted(files, key=lambda file: order.index(file) if file in order else len(order)):
                self.workqueue[file] = {}
            for nodeid in self.collection:
                self.workqueue[self._split_scope(nodeid)][nodeid] = False
        for node in self.nodes:
            self._reschedule(node)

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.split("::", 1)[0]

    def _reschedule(self, node: Any) -> None:
        # A process begins its last test when it is told that none will follow: what waits is not held up by what is
        # behind it.
        has_lane = node.workerinput.get(LANE, REST) != REST
        while not node.shutting_down and node in self.registered_collections:
            if self._next_file(node) is None:
                node.shutdown()
            elif not has_lane and self._pending_of(self.assigned_work[node]) > 2:
                return
            else:
                self._assign_work_unit(node)

    def _assign_work_unit(self, node: Any) -> None:
        file = self._next_file(node)
        assert file is not None
        self.workqueue.move_to_end(file, last=False)
        super()._assign_work_unit(node)

    def _next_file(self, node: Any) -> str | None:
        """Return the next file that this process may take, or None."""
        return next((file for file in self.workqueue if file in self._files[node]), None)
