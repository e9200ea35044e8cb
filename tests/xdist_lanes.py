"""A run of the whole suite uses every core; what mostly waits runs beside the rest, on processes of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# Each lane is a process that runs its files one after the other. They wait for most of their time: for a time-out to
# pass, for a killed worker's lease, for AWS's emulator. Put in order by hand, so that the lanes take equally long.
LANES = (
    ("tests/terraform/test_apply.py",),
    ("tests/worker/test_faults.py", "tests/reliability/test_chaos.py", "tests/migrations/test_rollout.py"),
    (
        "tests/dev/test_demo.py",
        "tests/worker/test_watchdog.py",
        "tests/worker/test_sqs_consumer.py",
        "tests/dev/test_dev.py",
    ),
)
# These take longest of the rest: begun last, one of them would end alone.
FIRST = (
    "tests/demo_model/test_pipeline.py",
    "tests/acceptance/test_simulator_page.py",
    "tests/worker/test_compilation.py",
    "tests/worker/test_job_runner.py",
)
PARALLEL = pytest.StashKey[bool]()


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
        lanes = 0 if option.quick else len(LANES)
        option.numprocesses = cores() + lanes


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LaneScheduling | None:
    return LaneScheduling(config, log) if config.stash.get(PARALLEL, False) else None


class LaneScheduling(LoadScopeScheduling):
    """Gives each lane to a process, and the other files one by one to whichever process is free."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        self._lanes: dict[Any, tuple[str, ...]] = {}

    def schedule(self) -> None:
        if self.collection is None:
            if not self._check_nodes_have_same_collection():
                return
            self.collection = list(next(iter(self.registered_collections.values())))
            files = list(dict.fromkeys(map(self._split_scope, self.collection)))
            for file in sorted(files, key=lambda file: FIRST.index(file) if file in FIRST else len(FIRST)):
                self.workqueue[file] = {
                    nodeid: False for nodeid in self.collection if self._split_scope(nodeid) == file
                }
            # Without the tests that wait, there are no processes for them.
            wanted = () if self.config.option.quick else LANES
            lanes = [lane for lane in wanted if any(file in self.workqueue for file in lane)]
            self._lanes = dict(zip(reversed(self.nodes), lanes, strict=False))
        for node in self.nodes:
            self._reschedule(node)

    def _split_scope(self, nodeid: str) -> str:
        return nodeid.split("::", 1)[0]

    def remove_node(self, node: Any) -> str | None:
        self._lanes.pop(node, None)
        return super().remove_node(node)

    def _reschedule(self, node: Any) -> None:
        # A process begins its last test when it is told that none will follow: what waits is not held up by what is
        # behind it.
        while not node.shutting_down:
            if not any(self._open_to(node)):
                node.shutdown()
            elif node not in self._lanes and self._pending_of(self.assigned_work[node]) > 2:
                return
            else:
                self._assign_work_unit(node)

    def _assign_work_unit(self, node: Any) -> None:
        self.workqueue.move_to_end(next(self._open_to(node)), last=False)
        super()._assign_work_unit(node)

    def _open_to(self, node: Any) -> Iterator[str]:
        """The files that this process may take now, in order."""
        if node in self._lanes:
            return (file for file in self._lanes[node] if file in self.workqueue)
        kept = {file for lane in self._lanes.values() for file in lane}
        return (file for file in self.workqueue if file not in kept)
