"""A job's statuses and the moves between them. Only `Job.objects.move` writes a status."""

from django.db.models import TextChoices


class Status(TextChoices):
    WAITING = "waiting", "Waiting"
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    COMPLETED = "completed", "Completed"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    EXPIRED = "expired", "Expired"
    REFUSED = "refused", "Refused"


MOVES: dict[Status, frozenset[Status]] = {
    Status.WAITING: frozenset({Status.QUEUED, Status.CANCELLED, Status.EXPIRED, Status.FAILED}),
    Status.QUEUED: frozenset({Status.RUNNING, Status.CANCELLED, Status.EXPIRED, Status.FAILED}),
    Status.RUNNING: frozenset({Status.QUEUED, Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.EXPIRED}),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.EXPIRED: frozenset(),
    Status.REFUSED: frozenset(),
}
ACTIVE = frozenset({Status.QUEUED, Status.RUNNING})
OPEN = ACTIVE | {Status.WAITING}
ENDED = frozenset(status for status, to in MOVES.items() if not to)


class IllegalMove(Exception):
    """The transition table has no such move: a bug in the program, never bad data."""


def check(old: Status, new: Status) -> None:
    """Raise IllegalMove unless a job may go from `old` to `new`."""
    if new not in MOVES[old]:
        raise IllegalMove(f"{old} -> {new}")
