"""The demo's LoRAs: they fit the demo model, and two servers' styles come from one batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from devtools.demo import example_loras
from gpu_worker.engine import AdapterUse, Completed, Event, GenerationRequest
from guilds.adapter_models import Adapter
from guilds.models import Guild, ModelProfile

pytestmark = pytest.mark.django_db


def test_each_server_offers_its_own(make_guild: Any) -> None:
    make_guild(name="Night Owls")
    make_guild(name="Pixel Garden")
    for _ in range(2):
        example_loras.offer()
    offered = {guild.name: list(guild.loras_offered.values_list("slug", flat=True)) for guild in Guild.objects.all()}
    assert offered == {"Night Owls": ["night"], "Pixel Garden": ["sketch"]}
    assert ModelProfile.objects.get(is_default=True).lora_family == "demo"
    assert {adapter.details["family"] for adapter in Adapter.objects.all()} == {"demo"}


def test_both_styles_come_from_one_batch() -> None:
    from demo_model.architecture import PIPELINE
    from gpu_worker import diffusers_engine

    engine = diffusers_engine.load(str(PIPELINE))
    styles: list[tuple[str, ...]] = [(), ("night",), ("sketch",)]
    for number, slugs in enumerate(styles):
        paths = [example_loras.FOLDER / f"{slug}.safetensors" for slug in slugs]
        engine.admit(
            GenerationRequest(
                id=number, prompt="a red circle on a white background", seed=1, count=1, steps=8, sampler="DDIM",
                guidance=2.0, width=512, height=512,
                adapters=tuple(AdapterUse(key=str(path), path=path, weight=1.0) for path in paths),
            )
        )  # fmt: skip
    events: list[Event] = []
    while engine.used_capacity:
        engine.advance(events.append)
    images = {event.id: np.asarray(event.images[0], float) for event in events if isinstance(event, Completed)}
    plain, night, sketch = (images[number] for number in range(3))
    corner = (slice(0, 64), slice(0, 64))
    # White paper becomes a dark blue sky; a red disc becomes an outline.
    assert plain[corner].mean() > 200
    assert night[corner].mean() < plain[corner].mean() - 30
    assert night[corner][..., 2].mean() > night[corner][..., 0].mean() + 15
    centre = (slice(236, 276), slice(236, 276))
    assert sketch[centre][..., 1].mean() > plain[centre][..., 1].mean() + 40
