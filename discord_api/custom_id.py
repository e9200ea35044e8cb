"""Custom ids of buttons and modals. They contain the job's id, so buttons need no stored state."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Posted messages keep their custom ids forever: never change this format, add a new prefix.
_FORM = re.compile(r"s1:([a-z_]{1,20}):([0-9]{1,19})(?::([0-9]{1,4}))?", re.ASCII)
_MAX_ID = 2**63 - 1
# The settings panel (interactions_lambda.settings_panel): `g1:<action>`, without a job.
SETTINGS_PREFIX = "g1:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """A component's action, its job, and the index of an image or page (from 0)."""

    name: str
    job_id: int
    index: int | None = None


def pack(action: str, job_id: int, index: int | None = None) -> str:
    """Return the custom id, `s1:vary:42:0`."""
    return f"s1:{action}:{job_id:d}" if index is None else f"s1:{action}:{job_id:d}:{index:d}"


def parse(custom_id: object) -> Action | None:
    """Return the action of a custom id that `pack` made, else None."""
    match = _FORM.fullmatch(custom_id) if isinstance(custom_id, str) else None
    if match is None or int(match[2]) > _MAX_ID:
        return None
    return Action(name=match[1], job_id=int(match[2]), index=None if match[3] is None else int(match[3]))
