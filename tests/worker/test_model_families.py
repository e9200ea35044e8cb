"""SDXL, Turbo and LCM make the images of diffusers' own pipelines. With tiny random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpu_worker.engine import Completed, GenerationRequest

from . import tiny_models

torch = pytest.importorskip("torch")


def _xl(folder: Path) -> Path:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    base = _base()
    torch.manual_seed(1)
    text = {
        "vocab_size": len(base.tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
    }
    StableDiffusionXLPipeline(
        vae=base.vae,
        text_encoder=CLIPTextModel(CLIPTextConfig(**text)),
        text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(**text, projection_dim=16)),
        tokenizer=base.tokenizer,
        tokenizer_2=base.tokenizer,
        unet=UNet2DConditionModel(
            sample_size=8,
            in_channels=12,
            out_channels=12,
            block_out_channels=(32, 64),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, 2),
            cross_attention_dim=64,
            attention_head_dim=8,
            norm_num_groups=8,
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=16 + 6 * 8,
        ),
        scheduler=EulerDiscreteScheduler.from_config(base.scheduler.config),
        add_watermarker=False,
    ).save_pretrained(folder)
    return folder


def _lcm(folder: Path) -> Path:
    from diffusers import LatentConsistencyModelPipeline, LCMScheduler, UNet2DConditionModel

    base = _base()
    torch.manual_seed(2)
    unet = UNet2DConditionModel.from_config(dict(base.unet.config) | {"time_cond_proj_dim": 32})
    LatentConsistencyModelPipeline(
        vae=base.vae,
        text_encoder=base.text_encoder,
        tokenizer=base.tokenizer,
        unet=unet,
        scheduler=LCMScheduler.from_config(base.scheduler.config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def _base() -> Any:
    from diffusers import StableDiffusionPipeline

    return StableDiffusionPipeline.from_pretrained(tiny_models.folder())


def _request(**fields: Any) -> GenerationRequest:
    defaults: dict[str, Any] = {
        "id": 1,
        "prompt": "a red cat",
        "seed": 3,
        "count": 2,
        "steps": 5,
        "sampler": "euler",
        "guidance": 6.0,
        "width": tiny_models.SIZE,
        "height": tiny_models.SIZE,
    }
    return GenerationRequest(**(defaults | fields))


def _ours(engine: Any, *requests: GenerationRequest) -> dict[int, Any]:
    for request in requests:
        engine.admit(request)
    made: dict[int, Any] = {}
    while engine.used_capacity:
        engine.advance(lambda event: made.update({event.id: event.images}) if isinstance(event, Completed) else None)
    return made


def _theirs(folder: Path, request: GenerationRequest) -> Any:
    from diffusers import DiffusionPipeline

    from gpu_worker.families.schedulers import SchedulerFactory

    pipe = DiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = SchedulerFactory(pipe.scheduler, predicts="epsilon").make(request.sampler)
    negative = {"negative_prompt": request.negative_prompt} if request.negative_prompt else {}
    return pipe(
        request.prompt,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance,
        width=request.width,
        height=request.height,
        num_images_per_prompt=request.count,
        generator=[torch.Generator().manual_seed(seed) for seed in request.seeds],
        **negative,
    ).images


def _apart(left: Any, right: Any) -> int:
    pairs = zip(left, right, strict=True)
    return max(int(np.abs(np.asarray(a, dtype=int) - np.asarray(b, dtype=int)).max()) for a, b in pairs)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"negative_prompt": "blurry", "sampler": "dpmpp_2m_karras"},
        {"guidance": 0.0, "steps": 1},  # as Turbo
        {"width": 2 * tiny_models.SIZE},
    ],
)
def test_sdxl_and_turbo_make_the_images_of_diffusers(tmp_path: Path, fields: dict[str, Any]) -> None:
    from gpu_worker import diffusers_engine
    from gpu_worker.continuous_batching import ContinuousBatchEngine

    folder = _xl(tmp_path / "xl")
    engine = diffusers_engine.load(str(folder))
    assert isinstance(engine, ContinuousBatchEngine)
    request = _request(**fields)
    assert _apart(_ours(engine, request)[1], _theirs(folder, request)) <= 1


def test_sdxl_makes_the_same_images_in_a_batch_and_alone(tmp_path: Path) -> None:
    from gpu_worker import diffusers_engine

    engine = diffusers_engine.load(str(_xl(tmp_path / "xl")))
    requests = [_request(), _request(id=2, prompt="a dog " * 30, steps=7, seed=50), _request(id=3, guidance=0.0)]
    alone = {request.id: _ours(engine, request)[request.id] for request in requests}
    together = _ours(engine, *requests)
    assert max(_apart(alone[number], together[number]) for number in alone) <= 1


def test_lcm_makes_the_images_of_diffusers_in_four_steps_also_in_a_batch(tmp_path: Path) -> None:
    from gpu_worker import diffusers_engine
    from gpu_worker.continuous_batching import ContinuousBatchEngine

    folder = _lcm(tmp_path / "lcm")
    engine = diffusers_engine.load(str(folder))
    assert isinstance(engine, ContinuousBatchEngine)
    request = _request(sampler="lcm", steps=4, guidance=8.5)
    alone = _ours(engine, request)[1]
    assert _apart(alone, _theirs(folder, request)) <= 1
    together = _ours(engine, request, _request(id=2, sampler="lcm", steps=6, guidance=2.0, seed=70))
    assert _apart(together[1], alone) <= 1


@pytest.mark.parametrize(("make", "fields"), [(_xl, {}), (_lcm, {"sampler": "lcm", "steps": 4, "guidance": 8.5})])
def test_the_compiled_shape_is_the_shape_of_requests(
    tmp_path: Path, make: Callable[[Path], Path], fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpu_worker import diffusers_engine

    engine: Any = diffusers_engine.load(str(make(tmp_path / "model")))
    shapes, call_of = set(), engine._call

    def noted(call: Any, mixes: Any) -> Any:
        sample = call.inputs["sample"]
        dtypes = tuple(call.inputs[name].dtype for name in ("sample", "timestep", "encoder_hidden_states"))
        shapes.add((call.shape, dtypes, sample.stride()[1:]))
        return call_of(call, mixes)

    monkeypatch.setattr(engine, "_call", noted)
    _ours(engine, _request(**fields))
    example = engine._family.example_call(2)
    assert example.run(engine._family.forward)[0].shape == example.inputs["sample"].shape
    engine._call(example, [()] * example.rows)
    assert len(shapes) == 1
