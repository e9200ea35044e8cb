"""Zoom out, pan and painted areas of a job, from its row to its images, with the demo's model."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gpu_worker import outpainting
from gpu_worker.active_job import Outcome
from guilds import masks
from guilds.models import Usage
from jobs import painted_areas, storage
from jobs.models import Job, JobImage

from .conftest import Place, running

pytest.importorskip("torch")
SIZE = 512


def _numbered() -> Image.Image:
    """Each pixel says where it is."""
    rows, columns = np.mgrid[0:64, 0:96]
    return Image.fromarray(np.stack([columns, rows, rows * 0], axis=-1).astype(np.uint8))


@pytest.mark.parametrize(
    ("view", "kept", "corner"),
    [
        ("pan_left", (48, 0, 96, 64), (0, 0)),
        ("pan_right", (0, 0, 48, 64), (48, 0)),
        ("pan_up", (0, 32, 96, 64), (0, 0)),
        ("pan_down", (0, 0, 96, 32), (0, 32)),
    ],
)
def test_panning_keeps_half_and_paints_the_rest(view: str, kept: tuple[int, ...], corner: tuple[int, int]) -> None:
    framed, mask = outpainting.extend(_numbered(), view)
    assert framed.size == mask.size == (96, 64)
    assert mask.getbbox() != (0, 0, 96, 64)
    assert np.asarray(mask.crop(kept)).max() == 0
    assert (np.asarray(mask) == 255).mean() == 0.5
    assert framed.crop(kept).getpixel((0, 0)) == (*corner, 0)


@pytest.mark.parametrize(("view", "part"), [("zoom_out", 1 / 1.5**2), ("zoom_out_far", 1 / 4)])
def test_zooming_out_keeps_the_picture_in_the_middle(view: str, part: float) -> None:
    framed, mask = outpainting.extend(_numbered(), view)
    assert framed.size == mask.size == (96, 64)
    kept = np.asarray(mask) == 0
    assert kept.mean() == pytest.approx(part, abs=0.02)
    rows, columns = np.nonzero(kept)
    assert abs(rows.min() - (63 - rows.max())) <= 1
    assert abs(columns.min() - (95 - columns.max())) <= 1
    middle = framed.getpixel((48, 32))
    assert isinstance(middle, tuple)
    assert middle[0] == pytest.approx(48, abs=2)


def test_every_view_that_members_can_choose_has_a_geometry() -> None:
    for view in painted_areas.VIEWS:
        outpainting.extend(_numbered(), view)


def _pixels(job: Job) -> Any:
    image = JobImage.objects.get(job=job)
    return np.asarray(Image.open(io.BytesIO(storage.fetch(image.key))).convert("RGB"), dtype=int)


@pytest.fixture
def pan(place: Place) -> Any:
    """Make an image, pan left from it, and return the pixels of both."""
    from gpu_worker import diffusers_engine

    def make() -> tuple[Any, Any]:
        first = place.ask(prompt="a red house on a green hill", count=1, steps=6, sampler="k_euler")
        with running(diffusers_engine.load) as runner:
            assert runner.run([first.pk]) == [Outcome.ENDED]
            panned = place.ask(
                prompt="a red house on a green hill",
                count=1,
                steps=6,
                sampler="k_euler",
                kind=Job.Kind.VARIATION,
                source_job_id=first.pk,
                source_index=0,
                painted_area="pan_left",
                strength=1.0,
            )
            assert runner.run([panned.pk]) == [Outcome.ENDED]
        panned.refresh_from_db()
        assert panned.status == "completed", panned.reason
        assert "Pan left" in str(place.original(panned).embeds)
        return _pixels(first), _pixels(panned)

    return make


def test_a_panned_image_continues_the_source(pan: Any) -> None:
    from gpu_worker.inpainting import EDGE_PX

    source, panned = pan()
    half = SIZE // 2
    assert (panned[:, half + EDGE_PX :] == source[:, EDGE_PX:half]).all(), "what was there stays to the last level"
    mirrored = source[:, :half][:, ::-1]
    assert np.abs(panned[:, : half - EDGE_PX] - mirrored[:, : half - EDGE_PX]).mean() > 8, "the rest is painted"


def test_a_painted_mask_changes_its_part_of_the_image(place: Place) -> None:
    from gpu_worker import diffusers_engine
    from gpu_worker.inpainting import EDGE_PX

    mask = Image.new("1", (SIZE, SIZE))
    mask.paste(1, (0, 0, 200, SIZE))
    content = io.BytesIO()
    mask.save(content, "PNG")
    key = masks.mask_key(place.guild.pk)
    storage.store(key, content.getvalue())
    shared: dict[str, Any] = {"count": 1, "steps": 6, "sampler": "k_euler"}
    with running(diffusers_engine.load) as runner:
        first = place.ask(prompt="a red house on a green hill", **shared)
        runner.run([first.pk])
        source = {"kind": Job.Kind.VARIATION, "source_job_id": first.pk, "source_index": 0, "strength": 1.0}
        edited = place.ask(prompt="a blue circle", painted_area=key, **source, **shared)
        gone = place.ask(prompt="a blue circle", painted_area=masks.mask_key(place.guild.pk), **source, **shared)
        runner.run([edited.pk, gone.pk])
    before, after = _pixels(first), _pixels(edited)
    assert (after[:, 200 + EDGE_PX :] == before[:, 200 + EDGE_PX :]).all()
    assert np.abs(after[:, :200] - before[:, :200]).mean() > 8
    gone.refresh_from_db()
    assert (gone.status, gone.reason) == ("failed", "source_unavailable")
    assert set(Usage.objects.filter(subject_id=0).values_list("images", flat=True)) == {2}


# Mean difference in levels of 255 between the source and what the model itself shows there, before its pixels are put
# back: what the autoencoder changes.
KEPT_LEVELS = 25


@pytest.mark.parametrize("blended", [True, False])
def test_the_model_sees_the_source_while_it_paints(pan: Any, blended: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpu_worker import continuous_batching

    monkeypatch.setattr(continuous_batching, "put_back_pixels", lambda image, **others: image)
    if not blended:
        monkeypatch.setattr(continuous_batching, "put_back_source", lambda run: None)
    source, panned = pan()
    half = SIZE // 2
    apart = float(np.abs(panned[:, half:] - source[:, :half]).mean())
    assert (apart <= KEPT_LEVELS) is blended
