"""The classifier itself: right about drawn scenes, and able to detect wrong ones."""

import random
from dataclasses import replace

import pytest
from PIL import Image, ImageFilter

from benchmarks import prompt_adherence as bench
from demo_model import scene_classifier, scenes
from demo_model.drawing import draw_scene


def test_detects_drawn_scenes_large_and_small() -> None:
    chosen = bench.asked(60)
    crisp = bench.tally(chosen, [draw_scene(scene, 512, oversample=2) for scene in chosen])
    assert all(share == 100 for share in crisp.values()), crisp
    # As far as that is possible for an enlarged 32x32 image.
    coarse = bench.tally(
        chosen, [draw_scene(scene, 32).resize((512, 512), Image.Resampling.BICUBIC) for scene in chosen]
    )
    assert coarse["background"] == 100
    assert coarse["color"] >= 95
    assert coarse["shape"] >= 90
    assert coarse["position"] >= 95


def test_detects_a_wrong_background_color_shape_and_place() -> None:
    rng = random.Random(2)
    scene = next(one for one in (scenes.object_pair_scene(rng) for _ in range(99)) if one.relation == "left of")
    first, second = scene.objects

    def judged(shown: scenes.Scene) -> scene_classifier.Comparison:
        return scene_classifier.compare(draw_scene(shown, 256), scene)

    right = judged(scene)
    assert (right.background, right.colors, right.shapes, right.is_placed) == (True, 2, 2, True)
    taken = {scene.background, first.color, second.color}
    other = next(name for name in ("white", "black", "green", "pink") if name not in taken)
    assert not judged(replace(scene, background=other)).background
    assert judged(replace(scene, objects=(replace(first, color=other), second))).colors == 1
    shape = next(name for name in ("heart", "cross", "ring") if name not in (first.shape, second.shape))
    assert judged(replace(scene, objects=(replace(first, shape=shape), second))).shapes == 1
    assert (
        judged(replace(scene, objects=(replace(first, at=second.at), replace(second, at=first.at)))).is_placed is False
    )


@pytest.mark.parametrize("color", ["white", "red"])
def test_an_empty_image_has_no_objects(color: str) -> None:
    background, found = scene_classifier.detect(Image.new("RGB", (512, 512), scenes.COLORS[color]))
    assert (background, found) == (color, [])


def test_soft_edges_are_no_objects() -> None:
    scene = scenes.Scene(
        kind="one",
        background="white",
        objects=(scenes.SceneObject(shape="circle", color="red", at=(0.5, 0.5), radius=0.3),),
    )
    _, found = scene_classifier.detect(draw_scene(scene, 512).filter(ImageFilter.GaussianBlur(4)))
    assert [(seen.color, seen.shape) for seen in found] == [("red", "circle")]
