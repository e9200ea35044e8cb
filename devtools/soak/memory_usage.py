"""How much memory each process holds by itself, over time, and whether that is flat."""

from __future__ import annotations

import os
import statistics
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# A process that grows by this much is restarted by a deployment long before it matters.
FLAT_MIB_PER_H = 5.0
# Caches fill and pools grow to their size at the beginning: that is not a leak.
WARM_UP = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`own_mib`: memory that is no file's (anonymous, shared fairly between parent and child); `pss_mib`: all of it."""

    at_s: float
    own_mib: float
    pss_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """`slope` in MiB an hour after the warm-up; `first`, `last`: medians of the ends of that time, in MiB."""

    samples: int
    first: float
    last: float
    most: float
    pss_last: float
    slope: float

    @property
    def flat(self) -> bool:
        return self.slope <= FLAT_MIB_PER_H


def read(pid: int, *, children: bool = True, proc: Path = Path("/proc")) -> tuple[float, float] | None:
    """Return (own, PSS) of a process (and all its children) in MiB, or None when it has ended."""
    found = _of_one(proc / str(pid))
    if found is None:
        return None
    own, pss = found
    for child in _children(proc / str(pid)) if children else ():
        inside = read(child, proc=proc)
        if inside is not None:
            own, pss = own + inside[0], pss + inside[1]
    return own, pss


def _of_one(process: Path) -> tuple[float, float] | None:
    try:
        lines = (process / "smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return None
    kib = {name: float(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    swap = kib.get("SwapPss", 0.0)
    # File pages are shared with other processes that read the same files, so their share changes with those processes.
    return (kib["Pss_Anon"] + swap) / 1024, (kib["Pss"] + swap) / 1024


def _children(process: Path) -> list[int]:
    try:
        return [int(pid) for task in (process / "task").iterdir() for pid in (task / "children").read_text().split()]
    except OSError:
        return []


def judge(samples: Sequence[Sample], *, of_s: float) -> Verdict:
    """Judge what was sampled in a run of `of_s` seconds. The slope is Theil and Sen's: the median of all pairs'."""
    settled = [each for each in samples if each.at_s >= WARM_UP * of_s]
    if len(settled) < 4:
        raise ValueError("too few samples to say anything")
    slopes = [
        (later.own_mib - earlier.own_mib) / (later.at_s - earlier.at_s)
        for place, earlier in enumerate(settled)
        for later in settled[place + 1 :]
    ]
    end = max(1, len(settled) // 10)
    return Verdict(
        samples=len(settled),
        first=round(statistics.median(each.own_mib for each in settled[:end]), 1),
        last=round(statistics.median(each.own_mib for each in settled[-end:]), 1),
        most=round(max(each.own_mib for each in samples), 1),
        pss_last=round(settled[-1].pss_mib, 1),
        slope=round(3600 * statistics.median(slopes), 2),
    )


class Watch:
    """Samples processes in a thread, every `every_s` seconds between `start` and `stop`.

    With each process its children are counted, but not with this one: those are what is watched.
    """

    def __init__(self, pids: Mapping[str, int], *, every_s: float, clock: Any) -> None:
        self.samples: dict[str, list[Sample]] = {name: [] for name in pids}
        self._pids = dict(pids)
        self._every_s = every_s
        self._clock = clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        began = self._clock()
        while not self._stopping.wait(self._every_s):
            for name, pid in self._pids.items():
                found = read(pid, children=pid != os.getpid())
                if found is not None:
                    at_s = self._clock() - began
                    self.samples[name].append(Sample(at_s=at_s, own_mib=found[0], pss_mib=found[1]))
