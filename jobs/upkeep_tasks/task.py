"""An upkeep task: its time budget, an error boundary for each row, and guilds in turns.

A row that fails is logged and skipped. Rows left when the budget is spent are for the next run.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.db.models import QuerySet
from django.db.models.expressions import Combinable

from discord_api.client import DiscordClient
from discord_api.errors import DiscordError
from guilds.discord_client import from_settings

logger = logging.getLogger(__name__)
T = TypeVar("T")

# Rows read in one run of a task. The bounds of guilds.models keep the due rows of one guild below this.
MOST_ROWS = 20_000
# Upkeep tries again in a minute; a longer wait would take the time of other rows.
DISCORD_TIMEOUT_S = 3.0


class Deadline:
    """A point on the monotonic clock."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock() + seconds

    @property
    def left_s(self) -> float:
        return max(0.0, self._at - self._clock())

    @property
    def passed(self) -> bool:
        return self._clock() >= self._at


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A job that is due, and its guild."""

    pk: int
    guild_id: int


@dataclass(slots=True, kw_only=True)
class TaskRun:
    """One run of one task."""

    name: str
    now: datetime
    deadline: Deadline
    given_client: DiscordClient | None = None
    failed: int = 0
    unfinished: bool = False
    discord_away: bool = False
    _made_client: DiscordClient | None = field(default=None, init=False)

    @property
    def client(self) -> DiscordClient:
        """The given client, or one with short time-outs, created on first use."""
        if self.given_client is None and self._made_client is None:
            self._made_client = from_settings(timeout_s=DISCORD_TIMEOUT_S, attempts=1, max_wait_s=1.0)
        client = self.given_client or self._made_client
        assert client is not None  # noqa: S101
        return client

    def close(self) -> None:
        if self._made_client is not None:
            self._made_client.close()

    def for_each(self, rows: Iterable[Row], do: Callable[[int], Any]) -> int:
        """Call `do` with each row's id until the deadline; return how many calls were true.

        A row that fails is logged and skipped. After a database time-out the guild's other rows are left for the next
        run. An outage of Discord ends the task.
        """
        done = 0
        slow: set[int] = set()
        for row in rows:
            if self.deadline.passed:
                self.unfinished = True
                break
            if row.guild_id in slow:
                continue
            try:
                done += bool(do(row.pk))
            except DiscordError as error:
                self._log(row, error)
                if error.outage:
                    self.discord_away = self.unfinished = True
                    break
            except OperationalError as error:
                self._failed(row, error)
                slow.add(row.guild_id)
            except Exception as error:
                self._failed(row, error)
        return done

    def for_each_batch(self, rows: Sequence[Row], size: int, do: Callable[[list[int]], int]) -> int:
        """Call `do` with the ids of `size` rows at a time. If a batch fails, call it with each row alone."""
        done = 0
        for start in range(0, len(rows), size):
            if self.deadline.passed:
                self.unfinished = True
                break
            batch = rows[start : start + size]
            try:
                done += do([row.pk for row in batch])
            except Exception as error:
                logger.warning("upkeep_batch_failed", extra={"task": self.name, "error": type(error).__name__})
                _raise_if_lost()
                done += self.for_each(batch, lambda pk: do([pk]))
        return done

    def _failed(self, row: Row, error: Exception) -> None:
        logger.exception("upkeep_row_failed", extra={"task": self.name, "job_id": row.pk, "guild_id": row.guild_id})
        self.failed += 1
        _raise_if_lost()

    def _log(self, row: Row, error: DiscordError) -> None:
        extra = {"task": self.name, "job_id": row.pk, "status": error.status, "code": error.code}
        logger.info("upkeep_discord_refused", extra=extra)


def _raise_if_lost() -> None:
    """Re-raise the current error if the connection is lost, since every other row would fail too."""
    if not connection.is_usable():
        raise  # noqa: PLE0704


def interleave_guilds(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the rows, which come oldest first, one of each guild in turn."""
    queues: dict[int, deque[Row]] = {}
    for row in rows:
        queues.setdefault(row.guild_id, deque()).append(row)
    waiting = deque(queues.values())
    while waiting:
        queue = waiting.popleft()
        yield queue.popleft()
        if queue:
            waiting.append(queue)


def due(jobs: QuerySet[Any], *, by: str | Combinable) -> list[Row]:
    """Return the due jobs, the oldest by `by` first, guilds in turns."""
    oldest = jobs.order_by(by, "pk").values_list("pk", "guild_id")[:MOST_ROWS]
    return list(interleave_guilds(Row(pk=pk, guild_id=guild_id) for pk, guild_id in oldest))


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepTask:
    """A named task of upkeep with its time budget."""

    name: str
    budget_s: float
    needs_discord: bool
    do: Callable[[TaskRun], int]

    def __call__(self, *, now: datetime, client: DiscordClient | None = None) -> int:
        """Run the task once; return how many rows it changed. Raises errors that concern no single row."""
        work = self.work(now=now, client=client, within_s=self.budget_s)
        return self.run(work)

    def work(self, *, now: datetime, client: DiscordClient | None, within_s: float) -> TaskRun:
        deadline = Deadline(min(within_s, self.budget_s))
        return TaskRun(name=self.name, now=now, deadline=deadline, given_client=client)

    def run(self, work: TaskRun) -> int:
        try:
            with _statements_end_with(work.deadline):
                return self.do(work)
        finally:
            work.close()


def upkeep_task(*, budget_s: float, needs_discord: bool = False) -> Callable[[Callable[[TaskRun], int]], UpkeepTask]:
    """Return a decorator that makes a function an UpkeepTask with a budget in seconds."""

    def make(do: Callable[[TaskRun], int]) -> UpkeepTask:
        return UpkeepTask(name=do.__name__, budget_s=budget_s, needs_discord=needs_discord, do=do)

    return make


@contextmanager
def _statements_end_with(deadline: Deadline) -> Iterator[None]:
    """Limit every statement of the task to its remaining budget."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('statement_timeout', %s, false)", [f"{max(1, round(1000 * deadline.left_s))}"]
        )
    try:
        yield
    finally:
        # Back to the connection's own limit. A lost connection has none.
        with suppress(DatabaseError, InterfaceError), connection.cursor() as cursor:
            cursor.execute("RESET statement_timeout")
