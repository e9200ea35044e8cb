"""Ids of the registered commands, for command mentions, which each reader sees in their own language."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction

from .models import RegisteredCommand

# Seconds. A command's id changes only when it is deleted and registered again.
KEPT_S = 600.0
_kept: tuple[float, dict[str, int]] | None = None


def current() -> Mapping[str, int]:
    """Return the ids of the global commands by name, cached for KEPT_S."""
    global _kept  # noqa: PLW0603
    now = time.monotonic()
    if _kept is None or now - _kept[0] > KEPT_S:
        _kept = (now, dict(RegisteredCommand.objects.values_list("name", "id")))
    return _kept[1]


def save(commands: Iterable[Mapping[str, Any]]) -> int:
    """Replace the stored ids by those of Discord's `commands`; return how many there are."""
    global _kept  # noqa: PLW0603
    ids = {str(command["name"]): int(command["id"]) for command in commands}
    if dict(RegisteredCommand.objects.values_list("name", "id")) != ids:
        with transaction.atomic():
            RegisteredCommand.objects.all().delete()
            RegisteredCommand.objects.bulk_create(RegisteredCommand(name=name, id=pk) for name, pk in ids.items())
    _kept = None
    return len(ids)
