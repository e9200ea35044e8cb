"""Scenes are said and drawn from chance alone, and combinations kept for measuring are never trained on."""

import random

import numpy as np

from demo_model import scenes, train_unet
from demo_model.captions import write_caption
from demo_model.drawing import draw_scene


def test_the_same_chance_gives_the_same_scene_picture_and_caption() -> None:
    def told(seed: int) -> tuple[str, bytes]:
        rng = random.Random(seed)
        scene = scenes.random_scene(rng)
        return write_caption(scene, rng), draw_scene(scene, 32).tobytes()

    assert told(3) == told(3)
    assert len({told(seed) for seed in range(20)}) == 20


def test_a_caption_says_each_thing_and_the_background() -> None:
    rng = random.Random(0)
    for _ in range(50):
        scene = scenes.object_pair_scene(rng)
        caption = write_caption(scene, rng, plain=True)
        for thing in scene.objects:
            assert f"{thing.color} {thing.shape}" in caption
        assert not scene.named or caption.endswith(f"{scene.background} background")


def test_what_is_measured_is_not_trained() -> None:
    pictures, captions = train_unet.make_batch(0, size=200, seed=0)
    rng = random.Random(1)
    kept = [
        scene for scene in (scenes.object_scene(rng) for _ in range(600)) if scenes.is_held_out(scene) and scene.named
    ]
    assert len(kept) > 20
    said = {write_caption(scene, random.Random(0), plain=True) for scene in kept if not scene.place}
    assert not said & set(captions)
    assert pictures.shape == (200, 32, 32, 3)


def test_latents_hold_the_picture_exactly() -> None:
    pictures, _ = train_unet.make_batch(5, size=4, seed=0)
    assert np.array_equal(train_unet.images_of_latents(train_unet.latents_of_images(pictures)), pictures)


def test_two_sizes_show_the_same_scene() -> None:
    rng = random.Random(4)
    for _ in range(20):
        scene = scenes.random_scene(rng)
        small = np.asarray(draw_scene(scene, 32), dtype=float)
        large = np.asarray(draw_scene(scene, 256).reduce(8), dtype=float)
        assert np.abs(small - large).mean() < 4
