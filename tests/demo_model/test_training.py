"""Training depends on its seed only, with or without a restart."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from demo_model import train_decoder, train_unet


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Restore the threads and signal handlers that training sets for the process."""
    threads, held = torch.get_num_threads(), {kind: signal.getsignal(kind) for kind in (signal.SIGTERM, signal.SIGINT)}
    yield
    torch.set_num_threads(threads)
    for kind, handler in held.items():
        signal.signal(kind, handler)


def trained(work: Path, steps: int, seed: int = 0) -> dict[str, Any]:
    train_unet.main(["--work", str(work), "--steps", str(steps), "--batch", "2", "--seed", str(seed)])
    state: dict[str, Any] = torch.load(work / "train.pt", weights_only=True)
    return state


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_the_seed_decides_and_a_restart_changes_nothing(tmp_path: Path) -> None:
    straight = trained(tmp_path / "straight", 3)
    trained(tmp_path / "stopped", 2)
    resumed = trained(tmp_path / "stopped", 3)
    other = trained(tmp_path / "other", 3, seed=1)
    assert resumed["step"] == straight["step"] == 3
    for kind in ("raw", "averaged"):
        assert same(resumed[kind]["unet"], straight[kind]["unet"])
        assert same(resumed[kind]["text_encoder"], straight[kind]["text_encoder"])
    assert not same(other["raw"]["unet"], straight["raw"]["unet"])
    assert (tmp_path / "straight" / "sheet-000003.png").exists()


def test_the_decoder_resumes_where_it_stopped(tmp_path: Path) -> None:
    for work, steps in (("straight", 2), ("stopped", 1), ("stopped", 2)):
        # The learning rate depends on the number of steps, so only the first step is the same for one and for two.
        train_decoder.main(["--work", str(tmp_path / work), "--steps", str(steps), "--batch", "1"])
    straight, resumed = (
        torch.load(tmp_path / work / "decoder.pt", weights_only=True) for work in ("straight", "stopped")
    )
    assert resumed["step"] == straight["step"] == 2
    assert same(resumed["vae"], straight["vae"])


def test_pixels_at_edges_count_more_and_the_mean_is_one() -> None:
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[:, :, 16:] = 255
    weights = train_unet.pixel_weights(image)
    assert weights.mean().item() == pytest.approx(1)
    assert weights[0, :, 0, 8].mean() > weights[0, :, 0, 0].mean()
    flat = train_unet.pixel_weights(np.full((1, 32, 32, 3), 90, np.uint8))
    assert torch.equal(flat, torch.ones_like(flat))
