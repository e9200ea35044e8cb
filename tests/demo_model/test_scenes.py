"""Scenes are said and drawn from chance alone, and combinations kept for measuring are never trained on."""

import random

import numpy as np

from demo_model import scenes, train_unet


def test_the_same_chance_gives_the_same_scene_picture_and_caption() -> None:
    def told(seed: int) -> tuple[str, bytes]:
        chance = random.Random(seed)
        scene = scenes.invent(chance)
        return scenes.word(scene, chance), scenes.draw(scene, 32).tobytes()

    assert told(3) == told(3)
    assert len({told(seed) for seed in range(20)}) == 20


def test_a_caption_says_each_thing_and_the_background() -> None:
    chance = random.Random(0)
    for _ in range(50):
        scene = scenes.two(chance)
        caption = scenes.word(scene, chance, plain=True)
        for thing in scene.things:
            assert f"{thing.color} {thing.shape}" in caption
        assert not scene.named or caption.endswith(f"{scene.background} background")


def test_what_is_measured_is_not_trained() -> None:
    pictures, captions = train_unet.batch(0, size=200, seed=0)
    chance = random.Random(1)
    kept = [scene for scene in (scenes.one(chance) for _ in range(600)) if scenes.held_out(scene) and scene.named]
    assert len(kept) > 20
    said = {scenes.word(scene, random.Random(0), plain=True) for scene in kept if not scene.place}
    assert not said & set(captions)
    assert pictures.shape == (200, 32, 32, 3)


def test_latents_hold_the_picture_exactly() -> None:
    pictures, _ = train_unet.batch(5, size=4, seed=0)
    assert np.array_equal(train_unet.picture_of(train_unet.latents_of(pictures)), pictures)


def test_two_sizes_show_the_same_scene() -> None:
    chance = random.Random(4)
    for _ in range(20):
        scene = scenes.invent(chance)
        small = np.asarray(scenes.draw(scene, 32), dtype=float)
        large = np.asarray(scenes.draw(scene, 256).reduce(8), dtype=float)
        assert np.abs(small - large).mean() < 4
