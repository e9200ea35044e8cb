"""Planned faults: how the simulator answers the application's next requests."""

from __future__ import annotations

from django.db import transaction

from .models import SimFault

Kind = SimFault.Kind


def plan(kind: str, *, method: str = "", path: str = "", times: int = 1, seconds: float = 0.2) -> SimFault:
    """Plan a fault for the next `times` requests whose path contains `path`; `seconds`: Retry-After or delay."""
    return SimFault.objects.create(kind=kind, method=method, path=path, remaining=times, seconds=seconds)


def clear() -> None:
    """Drop all planned faults."""
    SimFault.objects.all().delete()


def take(method: str, path: str) -> SimFault | None:
    """Use up one planned fault that this request matches, the oldest first."""
    with transaction.atomic():
        for fault in SimFault.objects.select_for_update().filter(remaining__gt=0):
            if fault.method in ("", method) and fault.path in path:
                fault.remaining -= 1
                fault.save(update_fields=["remaining"])
                return fault
    return None


def waiting() -> list[SimFault]:
    """Return what is planned and has not happened yet."""
    return list(SimFault.objects.filter(remaining__gt=0))
