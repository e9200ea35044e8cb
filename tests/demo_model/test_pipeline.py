"""The shipped folder is an ordinary pipeline: it loads, follows prompts, and takes any words and sizes."""

import json

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from PIL import Image

from benchmarks import prompt_adherence as bench
from demo_model import architecture, scene_classifier, scenes
from demo_model.captions import write_caption
from demo_model.drawing import draw_scene

pytestmark = pytest.mark.skipif(
    not (architecture.PIPELINE / "model_index.json").exists(), reason="the demo model is not built"
)


@pytest.fixture(scope="module")
def pipe() -> StableDiffusionPipeline:
    loaded = StableDiffusionPipeline.from_pretrained(architecture.PIPELINE)
    loaded.set_progress_bar_config(disable=True)
    return loaded


def draw(pipe: StableDiffusionPipeline, caption: str, *, seed: int = 0, steps: int = 16, **more: int) -> Image.Image:
    rng = torch.Generator().manual_seed(seed)
    return pipe(caption, num_inference_steps=steps, guidance_scale=bench.GUIDANCE, generator=rng, **more).images[0]


def test_is_small_and_512_pixels_wide(pipe: StableDiffusionPipeline) -> None:
    assert sum(path.stat().st_size for path in architecture.PIPELINE.rglob("*.safetensors")) <= bench.LARGEST
    assert pipe.unet.config.sample_size * pipe.vae_scale_factor == 512
    assert draw(pipe, "a house", steps=2).size == (512, 512)


def test_generates_the_colors_of_the_prompt(pipe: StableDiffusionPipeline) -> None:
    chosen = bench.asked(12)
    images = [
        draw(pipe, write_caption(scene, __import__("random").Random(0), plain=True), seed=seed)
        for seed, scene in enumerate(chosen)
    ]
    rights = bench.tally(chosen, images)
    assert rights["background"] >= 90
    assert rights["color"] >= 75


def test_the_same_seed_gives_the_same_image_and_another_seed_another(pipe: StableDiffusionPipeline) -> None:
    first, again, other = (np.asarray(draw(pipe, "a tree", seed=seed, steps=4)) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("caption", ["", "zxqw 日本 🎨 !?", "a red circle " * 40])
def test_generates_an_image_for_any_prompt(pipe: StableDiffusionPipeline, caption: str) -> None:
    assert np.asarray(draw(pipe, caption, steps=2)).std() > 1


@pytest.mark.parametrize(("width", "height"), [(256, 256), (768, 512), (384, 640)])
def test_generates_other_sizes(pipe: StableDiffusionPipeline, width: int, height: int) -> None:
    assert draw(pipe, "the sea", steps=2, width=width, height=height).size == (width, height)


def test_starts_from_a_source_image(pipe: StableDiffusionPipeline) -> None:
    scene = scenes.Scene(
        kind="one",
        background="white",
        objects=(scenes.SceneObject(shape="circle", color="red", at=(0.5, 0.5), radius=0.3),),
    )
    given = draw_scene(scene, 512)
    again = StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    again.set_progress_bar_config(disable=True)
    made = again(
        "a red circle on a white background", image=given, strength=0.4, num_inference_steps=16,
        generator=torch.Generator().manual_seed(0),
    ).images[0]  # fmt: skip
    background, found = scene_classifier.detect(made)
    assert background == "white"
    assert found
    assert found[0].color == "red"


def test_every_suggested_prompt_consists_of_known_words(pipe: StableDiffusionPipeline) -> None:
    prompts = json.loads((architecture.PIPELINE.parent / "prompts.json").read_text())
    assert len(prompts) >= 12
    for word in " ".join(prompts).split():
        assert len(pipe.tokenizer.tokenize(word)) == 1, word
