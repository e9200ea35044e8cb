"""The ids on buttons and modals. They carry the job, so that a button works after any restart and years later."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Once posted these live forever in Discord: never change an old form, add a new prefix.
_FORM = re.compile(r"s1:([a-z_]{1,20}):([0-9]{1,19})(?::([0-9]{1,4}))?", re.ASCII)
_MAX_ID = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """What was pressed, on which job, and on which of its pictures (from 0) or pages."""

    name: str
    job_id: int
    index: int | None = None


def pack(action: str, job_id: int, index: int | None = None) -> str:
    """Return the custom id, `s1:vary:42:0`."""
    return f"s1:{action}:{job_id:d}" if index is None else f"s1:{action}:{job_id:d}:{index:d}"


def parse(custom_id: object) -> Action | None:
    """Return what `pack` was given, or None for anything that is no id of ours."""
    match = _FORM.fullmatch(custom_id) if isinstance(custom_id, str) else None
    if match is None or int(match[2]) > _MAX_ID:
        return None
    return Action(name=match[1], job_id=int(match[2]), index=None if match[3] is None else int(match[3]))
