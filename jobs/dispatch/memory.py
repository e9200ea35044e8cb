"""A dispatcher that keeps messages in this process, for tests and the shell."""

from collections import deque
from collections.abc import Sequence

from .message import JobMessage


class MemoryDispatcher:
    """Like the FIFO queue: a dedup_id is sent once. All instances share one queue."""

    sent: deque[JobMessage] = deque()
    seen: set[str] = set()

    def send(self, messages: Sequence[JobMessage]) -> None:
        for message in messages:
            if message.dedup_id not in self.seen:
                self.seen.add(message.dedup_id)
                self.sent.append(message)

    @classmethod
    def clear(cls) -> None:
        """Forget every message and every dedup_id."""
        cls.sent.clear()
        cls.seen.clear()
