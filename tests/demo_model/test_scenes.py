"""Scenes and captions depend on the random seed only, and held-out combinations are never trained."""

import random

import numpy as np

from demo_model import scenes, train_unet
from demo_model.captions import write_caption
from demo_model.drawing import draw_scene


def test_the_same_seed_gives_the_same_scene_image_and_caption() -> None:
    def make(seed: int) -> tuple[str, bytes]:
        rng = random.Random(seed)
        scene = scenes.random_scene(rng)
        return write_caption(scene, rng), draw_scene(scene, 32).tobytes()

    assert make(3) == make(3)
    assert len({make(seed) for seed in range(20)}) == 20


def test_a_caption_names_each_object_and_the_background() -> None:
    rng = random.Random(0)
    for _ in range(50):
        scene = scenes.object_pair_scene(rng)
        caption = write_caption(scene, rng, plain=True)
        for thing in scene.objects:
            assert f"{thing.color} {thing.shape}" in caption
        assert not scene.names_background or caption.endswith(f"{scene.background} background")


def test_held_out_scenes_are_not_trained() -> None:
    images, captions = train_unet.make_batch(0, size=200, seed=0)
    rng = random.Random(1)
    held_out = [
        scene
        for scene in (scenes.object_scene(rng) for _ in range(600))
        if scenes.is_held_out(scene) and scene.names_background
    ]
    assert len(held_out) > 20
    plain_captions = {write_caption(scene, random.Random(0), plain=True) for scene in held_out if not scene.place}
    assert not plain_captions & set(captions)
    assert images.shape == (200, 32, 32, 3)


def test_latents_hold_the_image_exactly() -> None:
    images, _ = train_unet.make_batch(5, size=4, seed=0)
    assert np.array_equal(train_unet.images_of_latents(train_unet.latents_of_images(images)), images)


def test_two_sizes_show_the_same_scene() -> None:
    rng = random.Random(4)
    for _ in range(20):
        scene = scenes.random_scene(rng)
        small = np.asarray(draw_scene(scene, 32), dtype=float)
        large = np.asarray(draw_scene(scene, 256).reduce(8), dtype=float)
        assert np.abs(small - large).mean() < 4
