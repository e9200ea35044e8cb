"""Each family makes the images of diffusers' own pipeline, also when four different requests share its calls.

The pipelines are diffusers' own with tiny random weights (benchmarks/tiny_families.py). Negative controls show that the
comparison notices a mistake.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from guilds.model_families import FAMILIES
from guilds.samplers import SAMPLERS

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
NAMES = (
    "sd3",
    "flux-dev",
    "flux-schnell",
    "flux2-klein",
    "z-image",
    "qwen-image",
    "sana",
    "pixart-sigma",
    "chroma",
    "lumina2",
)
MASKS = {
    "qwen-image": "encoder_hidden_states_mask",
    "sana": "encoder_attention_mask",
    "pixart-sigma": "encoder_attention_mask",
    "chroma": "attention_mask",
    "lumina2": "encoder_attention_mask",
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    # On a busy machine, threads that wait for each other are a hundred times slower.
    torch.set_num_threads(1)


@functools.cache
def _load(name: str) -> Any:
    from benchmarks import families

    return families.load(name)


def test_every_family_has_a_tiny_pipeline_and_a_profile() -> None:
    from benchmarks import tiny_families
    from gpu_worker.families.registry import FAMILY_CLASSES

    assert set(NAMES) == set(tiny_families.PIPELINES)
    tested = {type(_load(name)) for name in NAMES}
    assert tested | {FAMILY_CLASSES[0]} == set(FAMILY_CLASSES)  # Stable Diffusion has tests of its own
    assert all(FAMILIES[kind.info.slug] is kind.info for kind in FAMILY_CLASSES)


@pytest.mark.parametrize("name", NAMES)
def test_four_different_requests_share_calls_and_match_diffusers(name: str) -> None:
    from benchmarks import families

    found = families.compare(_load(name))
    assert found.levels <= families.LEVELS
    assert found.latents <= families.LATENTS
    assert found.calls < found.request_steps  # they did share


@pytest.mark.parametrize("name", NAMES)
def test_the_comparison_notices_one_shared_timestep(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import families

    family = _load(name)
    call = family.call

    def one_timestep(runs: Sequence[Any]) -> Any:
        made = call(runs)
        key = "timestep" if "timestep" in made.inputs else "t"
        times = made.inputs[key]
        return dataclasses.replace(made, inputs=made.inputs | {key: times[:1].expand_as(times)})

    monkeypatch.setattr(family, "call", one_timestep)
    found = families.compare(family)
    assert found.levels > families.LEVELS
    assert found.latents > 10 * families.LATENTS


@pytest.mark.parametrize(("name", "mask"), MASKS.items())
def test_the_comparison_notices_a_mask_left_out(name: str, mask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import families

    family = _load(name)
    call = family.call

    def unmasked(runs: Sequence[Any]) -> Any:
        made = call(runs)
        ones = {mask: torch.ones_like(made.inputs[mask])} if mask in made.inputs else {}
        return dataclasses.replace(made, inputs=made.inputs | ones)

    monkeypatch.setattr(family, "call", unmasked)
    assert families.compare(family).latents > families.LATENTS


def test_z_image_shares_a_call_between_sizes() -> None:
    from benchmarks import families

    family = _load("z-image")
    asked = [
        dataclasses.replace(request, width=width, steps=4, count=1)
        for request, width in zip(families.requests(family), (64, 96, 64, 128), strict=True)
    ]
    _, _, calls = families.together(family, asked, arrivals=[0, 0, 0, 0])
    assert calls == 4
    assert families.compare(family, asked).levels <= families.LEVELS


@pytest.mark.parametrize(
    ("name", "pipeline"),
    [
        ("sd3", "StableDiffusion3Img2ImgPipeline"),
        ("flux-dev", "FluxImg2ImgPipeline"),
        ("z-image", "ZImageImg2ImgPipeline"),
        ("qwen-image", "QwenImageImg2ImgPipeline"),
        ("chroma", "ChromaImg2ImgPipeline"),
    ],
)
def test_image_to_image_is_what_diffusers_makes(name: str, pipeline: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import diffusers
    from PIL import Image

    from benchmarks import families

    family = _load(name)
    first = families.requests(family)[0]
    rng = np.random.default_rng(1)
    source = Image.fromarray(rng.integers(0, 255, (first.height, first.width, 3), dtype=np.uint8))
    request = dataclasses.replace(first, source=source, strength=0.5, steps=6, count=1)
    made, _, _ = families.together(family, [request], arrivals=[0])
    parts = family.pipe.components
    theirs = getattr(diffusers, pipeline)(**parts)
    # Its encoder draws from the distribution; the worker takes the most probable latents.
    monkeypatch.setattr(theirs.vae, "encode", _most_probable(theirs.vae.encode))
    theirs.set_progress_bar_config(disable=True)
    more: dict[str, Any] = {families.GUIDANCE_ARGUMENT.get(family.info.slug, "guidance_scale"): request.guidance}
    if family.info.has_negative_prompt:
        more["negative_prompt"] = request.negative_prompt
    expected = theirs(
        request.prompt,
        image=source,
        strength=request.strength,
        num_inference_steps=request.steps,
        height=request.height,
        width=request.width,
        num_images_per_prompt=request.count,
        generator=[torch.Generator().manual_seed(seed) for seed in request.seeds],
        **more,
    ).images
    for ours, own in zip(made[request.id], expected, strict=True):
        assert np.abs(np.asarray(ours, dtype=int) - np.asarray(own, dtype=int)).max() <= families.LEVELS


def _most_probable(encode: Any) -> Any:
    def wrapped(pixels: Any, *args: Any, **kwargs: Any) -> Any:
        out = encode(pixels, *args, **kwargs)
        out.latent_dist.sample = lambda generator=None: out.latent_dist.mode()
        return out

    return wrapped


@pytest.mark.parametrize("sampler", ["flow_dpmpp_2m", "flow_unipc"])
def test_a_flow_model_takes_other_solvers_with_flow_sigmas(sampler: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks import families

    family = _load("sd3")
    request = dataclasses.replace(families.requests(family)[0], sampler=sampler)
    made, _, _ = families.together(family, [request], arrivals=[0])
    monkeypatch.setattr(family.pipe, "scheduler", family.schedulers.make(sampler))
    expected, _ = families.alone(family, request)
    assert np.abs(np.asarray(made[0][0], dtype=int) - np.asarray(expected[0], dtype=int)).max() <= families.LEVELS
    config = family.pipe.scheduler.config
    assert (config.prediction_type, config.use_flow_sigmas, config.flow_shift) == ("flow_prediction", True, 3.0)


@pytest.mark.parametrize("sampler", ["flow_dpmpp_2m", "flow_unipc", "flow_euler"])
def test_a_schedule_that_shifts_with_the_size_does_so_for_every_solver(sampler: str) -> None:
    from benchmarks import families

    family = _load("flux-dev")
    first = families.requests(family)[0]
    small, large = (
        family.begin(dataclasses.replace(first, sampler=sampler, width=side, height=side)).scheduler.sigmas
        for side in (64, 128)
    )
    assert small.shape == large.shape == (first.steps + 1,)
    assert bool((small[1:-1] < large[1:-1]).all())  # more tokens, more noise for longer


@pytest.mark.parametrize(("name", "sampler"), [("sd3", "k_euler"), ("flux-dev", "dpmpp_2m_karras")])
def test_a_sampler_for_noise_is_refused_by_a_flow_model(name: str, sampler: str) -> None:
    from benchmarks import families
    from gpu_worker.continuous_batching import ContinuousBatchEngine
    from gpu_worker.engine import Failed

    family = _load(name)
    engine = ContinuousBatchEngine(family, model="tiny", max_rows=8, capacity=9)
    engine.admit(dataclasses.replace(families.requests(family)[0], sampler=sampler))
    events: list[Any] = []
    engine.advance(events.append)
    assert events == [Failed(id=0, reason="sampler_unknown", detail=sampler)]
    with pytest.raises(KeyError):
        family.schedulers.make(sampler)


def test_a_sampler_for_flow_is_refused_by_stable_diffusion() -> None:
    assert {SAMPLERS[name].predicts for name in FAMILIES["stable-diffusion"].samplers} == {"epsilon"}
    assert set(FAMILIES["sd3"].samplers) == {"flow_euler", "flow_dpmpp_2m", "flow_unipc"}
    assert set(FAMILIES["pixart-sigma"].samplers) == set(FAMILIES["stable-diffusion"].samplers)


@pytest.mark.parametrize("name", NAMES)
def test_a_size_between_multiples_is_refused_and_never_rounded(name: str) -> None:
    from benchmarks import families
    from gpu_worker.continuous_batching import ContinuousBatchEngine
    from gpu_worker.engine import Failed

    family = _load(name)
    engine = ContinuousBatchEngine(family, model="tiny", max_rows=8, capacity=9)
    request = families.requests(family)[0]
    engine.admit(dataclasses.replace(request, width=request.width + 8))
    events: list[Any] = []
    engine.advance(events.append)
    assert family.size_multiple == family.info.size_multiple
    detail = f"{request.width + 8}x{request.height} is not a multiple of {family.size_multiple}"
    assert [(event.reason, event.detail) for event in events if isinstance(event, Failed)] == [
        ("size_not_possible", detail)
    ]


def test_the_tokens_that_no_encoder_reads_are_counted_and_never_printed(capfd: pytest.CaptureFixture[str]) -> None:
    for name, prompt, unread in (
        ("sd3", "cat " * 100, 0),  # CLIP truncates, T5 reads all
        ("sd3", "cat " * 300, 300 + 1 - 256),
        ("flux-dev", "cat " * 600, 600 + 1 - 512),
        ("flux-schnell", "cat " * 300, 300 + 1 - 256),
    ):
        assert _load(name).encode_prompt(prompt, is_negative=False).truncated_tokens == unread
    assert "cat" not in capfd.readouterr().err
