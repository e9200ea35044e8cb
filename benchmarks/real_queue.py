"""The simulation on the real queue: admission, claims and completion by jobs/ on PostgreSQL, with a simulated clock.

Each tick reads the demand as the scaling function does. So a promise comes from the times that production measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from guilds.generation_params import RequestedParams
from guilds.models import Guild
from jobs import fair_queue, scaling, submission, transitions
from jobs.dispatch.memory import MemoryDispatcher
from jobs.models import Job, Worker

from .arrival_traces import Trace
from .policies import Policy
from .simulated_worker import SimulatedWorker
from .simulation import Simulation

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
INTERACTIONS = 1_300_000_000_000_000_000
MEMBERS = 7


class RealQueue(Simulation):
    """Django must be set up, with MemoryDispatcher as its dispatcher. The `guilds` ask by turns."""

    def __init__(self, trace: Trace, policy: Policy, *, guilds: Sequence[Guild], seed: int = 7) -> None:
        super().__init__(trace, policy, seed=seed)
        self.guilds = guilds
        self.numbers: dict[int, int] = {}
        self.jobs: dict[int, int] = {}

    def _accept(self, number: int, now: float) -> None:
        Worker.objects.exclude(state=Worker.State.LEAVING).update(seen_at=_time(now))
        request = submission.JobRequest(
            interaction_id=INTERACTIONS + number,
            application_id=1,
            token="token",
            guild_id=self.guilds[number % len(self.guilds)].pk,
            channel_id=1,
            user_id=1 + number % MEMBERS,
            params=RequestedParams(prompt="a red circle"),
        )
        result = submission.submit(request, now=_time(now))
        assert isinstance(result, submission.Accepted), result
        self.jobs[number], self.numbers[result.job.pk] = result.job.pk, number
        if result.wait_s is not None:
            self.promised[number] = result.wait_s
        self._receive()

    def _receive(self) -> None:
        """Take the messages that were sent, as workers do."""
        self.queue.extend(self.numbers[message.job_id] for message in MemoryDispatcher.sent)
        MemoryDispatcher.clear()

    def _demand(self, now: float) -> scaling.Demand:
        return fair_queue.read_demand(now=_time(now))

    def _ready(self, now: float, worker: SimulatedWorker) -> None:
        at = _time(now)
        asked_s = fair_queue.oldest_queued_s(now=at)
        Worker.objects.create(
            id=_name(worker),
            state=Worker.State.READY,
            started_at=at,
            seen_at=at,
            startup={} if asked_s is None else {"asked": asked_s},
        )
        super()._ready(now, worker)

    def _join(self, worker: SimulatedWorker, number: int, model: int, now: float) -> None:
        job = transitions.claim(self.jobs[number], worker_id=_name(worker), now=_time(now))
        assert job is not None, "What a message names can be claimed."
        super()._join(worker, number, model, now)

    def _finish(self, number: int, now: float, worker: SimulatedWorker) -> None:
        job, name, at = self.jobs[number], _name(worker), _time(now)
        gpu_ms = round(1000 * self.ended[-1][1])
        assert transitions.record_images(job, worker_id=name, images=[], grid_key="", gpu_ms=gpu_ms, now=at)
        assert transitions.complete(job, worker_id=name, delivered_via=Job.Via.ORIGINAL, message_id=1, now=at)
        super()._finish(number, now, worker)
        self._receive()
        for other in self.fleet_now:
            if other is not worker and other.serves(now):
                self._begin(other, now)

    def _end(self, worker: SimulatedWorker, now: float) -> None:
        Worker.objects.filter(pk=_name(worker)).update(state=Worker.State.LEAVING)
        super()._end(worker, now)


def _time(now: float) -> datetime:
    return BEGIN + timedelta(seconds=now)


def _name(worker: SimulatedWorker) -> str:
    return f"worker-{worker.number}"
