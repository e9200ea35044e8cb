"""Messages kept in this process: for tests, and for trying things in a shell."""

from collections import deque
from collections.abc import Sequence

from .message import JobMessage


class MemoryDispatcher:
    """Like the FIFO queue: one queue, and a dedup_id is sent once. Every instance shares the process's queue."""

    sent: deque[JobMessage] = deque()
    seen: set[str] = set()

    def send(self, messages: Sequence[JobMessage]) -> None:
        for message in messages:
            if message.dedup_id not in self.seen:
                self.seen.add(message.dedup_id)
                self.sent.append(message)

    @classmethod
    def clear(cls) -> None:
        """Forget every message, those already answered too."""
        cls.sent.clear()
        cls.seen.clear()
