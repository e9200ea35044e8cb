"""Doorbells kept in this process: for tests, and for trying things in a shell."""

from collections import deque
from collections.abc import Sequence

from .doorbell import Doorbell


class MemoryDispatcher:
    """Like the FIFO queue: one line, and a dedup_id rings once. Every instance shares the process's line."""

    rung: deque[Doorbell] = deque()
    seen: set[str] = set()

    def ring(self, doorbells: Sequence[Doorbell]) -> None:
        for doorbell in doorbells:
            if doorbell.dedup_id not in self.seen:
                self.seen.add(doorbell.dedup_id)
                self.rung.append(doorbell)

    @classmethod
    def clear(cls) -> None:
        """Forget every doorbell, those already answered too."""
        cls.rung.clear()
        cls.seen.clear()
