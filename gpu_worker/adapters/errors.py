"""Why an adapter cannot be fetched."""

from __future__ import annotations


class AdapterUnavailable(Exception):
    """An adapter cannot be fetched. `permanent`: trying again cannot help. `reason` is a stable code of a job."""

    def __init__(self, detail: str, *, permanent: bool, reason: str = "lora_unavailable") -> None:
        super().__init__(detail)
        self.permanent = permanent
        self.reason = reason
