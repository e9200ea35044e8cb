"""Does the demo's model draw its prompt? 200 captions outside its training set, classified by pixels."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from demo_model import architecture, scene_classifier, scenes
from demo_model.captions import write_caption
from demo_model.drawing import draw_scene
from devtools.benchmark_result import Figure, Result

SHEET = Path(__file__).resolve().parents[1] / "docs" / "images" / "demo-model.png"
CAPTIONS = 200
STEPS = 16
GUIDANCE = 2.0
LARGEST = 15_000_000  # bytes of weights
SAMPLERS = {
    "k_lms": ("LMSDiscreteScheduler", {}),
    "k_euler": ("EulerDiscreteScheduler", {}),
    "k_euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "k_heun": ("HeunDiscreteScheduler", {}),
    "k_dpm_2": ("KDPM2DiscreteScheduler", {}),
    "k_dpm_2_a": ("KDPM2AncestralDiscreteScheduler", {}),
    "PLMS": ("PNDMScheduler", {"skip_prk_steps": True}),
    "DDIM": ("DDIMScheduler", {"set_alpha_to_one": False, "clip_sample": False}),
}
SHOWN = (
    "a red circle on a yellow background",
    "a green star on a black background",
    "a pink heart on a white background",
    "an orange diamond on a purple background",
    "a white cross on a red background",
    "a blue ring on an orange background",
    "a yellow star left of a red heart on a blue background",
    "a purple square above a green circle on a white background",
    "a sunset",
    "snowy mountains",
    "a starry night",
    "a house on a meadow",
    "a tree on a hill",
    "a sailing boat",
    "a smiling face",
    "a cute cat",
    "a fish under water",
    "a rainbow in the sky",
    "a snowman in winter",
    "a red and white checkerboard",
)


def asked(count: int, seed: int = 7) -> list[scenes.Scene]:
    """Scenes held out from training, half with one thing and half with two, their background named."""
    rng = random.Random(seed)
    chosen: list[scenes.Scene] = []
    while len(chosen) < count:
        scene = scenes.object_scene(rng) if len(chosen) % 2 == 0 else scenes.object_pair_scene(rng)
        if scenes.is_held_out(scene) and scene.names_background and (scene.relation or scene.kind == "one"):
            chosen.append(scene)
    return chosen


def draw(
    pipe: StableDiffusionPipeline, captions: list[str], *, first_seed: int = 0, **options: Any
) -> Iterator[Image.Image]:
    """One image for each caption, in batches of ten."""
    for start in range(0, len(captions), 10):
        some = captions[start : start + 10]
        seeds = [torch.Generator().manual_seed(first_seed + start + number) for number in range(len(some))]
        yield from pipe(
            some, generator=seeds, **{"num_inference_steps": STEPS, "guidance_scale": GUIDANCE} | options
        ).images


def tally(chosen: list[scenes.Scene], images: list[Image.Image]) -> dict[str, float]:
    """Percentages of what is right; shapes and colours of each thing that was asked, places of each relation."""
    verdicts = [scene_classifier.compare(image, scene) for scene, image in zip(chosen, images, strict=True)]
    objects = sum(verdict.objects for verdict in verdicts)
    placed = [verdict.is_placed for verdict in verdicts if verdict.is_placed is not None]
    return {
        "background": 100 * sum(verdict.background for verdict in verdicts) / len(verdicts),
        "color": 100 * sum(verdict.colors for verdict in verdicts) / objects,
        "shape": 100 * sum(verdict.shapes for verdict in verdicts) / objects,
        "position": 100 * sum(placed) / max(1, len(placed)),
    }


def sheet(pipe: StableDiffusionPipeline) -> Image.Image:
    """Five images a row, 160 pixels each."""
    side, gap, across = 160, 6, 5
    down = -(-len(SHOWN) // across)
    page = Image.new("RGB", (across * (side + gap) - gap, down * (side + gap) - gap), "white")
    for number, image in enumerate(draw(pipe, list(SHOWN), first_seed=1)):
        at = (number % across * (side + gap), number // across * (side + gap))
        page.paste(image.resize((side, side), Image.Resampling.LANCZOS), at)
    return page


def run(*, full: bool) -> Result:
    """Measure the pipeline that ships; `full` measures each of the eight samplers on 100 captions instead of 10."""
    pipe = StableDiffusionPipeline.from_pretrained(architecture.PIPELINE)
    pipe.set_progress_bar_config(disable=True)
    # Two threads on a machine that others use wait for each other, three times as long as one alone.
    torch.set_num_threads(1)
    chosen = asked(CAPTIONS)
    rng = random.Random(0)
    captions = [write_caption(scene, rng, plain=True) for scene in chosen]
    truth = tally(chosen, [draw_scene(scene, 512, oversample=2) for scene in chosen])
    rights = tally(chosen, list(draw(pipe, captions)))

    began = time.perf_counter()
    pipe([captions[0]] * 4, num_inference_steps=STEPS, guidance_scale=GUIDANCE)
    seconds = time.perf_counter() - began

    own, few = pipe.scheduler, 100 if full else 10
    samplers = {}
    for name, (kind, options) in SAMPLERS.items():
        pipe.scheduler = getattr(__import__("diffusers"), kind).from_config(own.config, **options)
        samplers[name] = tally(chosen[:few], list(draw(pipe, captions[:few])))
    pipe.scheduler = own
    fewer = {
        str(count): tally(chosen[:few], list(draw(pipe, captions[:few], num_inference_steps=count))) for count in (8,)
    }
    SHEET.parent.mkdir(parents=True, exist_ok=True)
    sheet(pipe).save(SHEET, optimize=True)
    weights = sum(path.stat().st_size for path in architecture.PIPELINE.rglob("*.safetensors"))
    return Result(
        figures=(
            Figure(name="background right", value=round(rights["background"], 1), unit="%", goal=97, at_least=True),
            Figure(name="object's colour right", value=round(rights["color"], 1), unit="%", goal=95, at_least=True),
            Figure(name="shape right", value=round(rights["shape"], 1), unit="%", goal=85, at_least=True),
            Figure(
                name="left of, right of, above, below right",
                value=round(rights["position"], 1),
                unit="%",
                goal=75,
                at_least=True,
            ),
            Figure(name="the same by chance: shape", value=round(100 / len(scenes.SHAPES), 1), unit="%"),
            Figure(
                name="worst sampler: object's colour right",
                value=round(min(each["color"] for each in samplers.values()), 1),
                unit="%",
            ),
            Figure(name="four images of 512x512, 16 steps", value=round(seconds, 2), unit="s", goal=10),
            Figure(name="weights", value=weights / 1e6, unit="MB", goal=LARGEST / 1e6),
        ),
        detail={
            "captions": CAPTIONS,
            "steps": STEPS,
            "guidance": GUIDANCE,
            "rights": rights,
            "classifier on the true scenes": truth,
            "samplers": samplers,
            "by steps": fewer,
        },
    )
