"""Captions of scenes: one of many equivalent ones, or the plain one that the benchmark uses."""

from __future__ import annotations

import random

from .scene_views import COLORED_VIEWS
from .scenes import SIZE_WORDS, SYNONYMS, Scene, SceneObject

PREFIXES = ("", "", "", "", "a picture of ", "a photo of ", "please draw ", "draw ", "an image of ", "a drawing of ",
           "paint ", "i want ", "show me ", "make ")  # fmt: skip
SUFFIXES = ("", "", "", "", "", ", digital art", ", high quality", ", simple", ", flat design", " please",
          ", style of monet", ", beautiful", ", masterpiece", ", 4k")  # fmt: skip
_NOISE = "abcdefghijklmnopqrstuvwxyz"


def _name_or_synonym(name: str, rng: random.Random, *, plain: bool) -> str:
    return name if plain or rng.random() < 0.7 else rng.choice(SYNONYMS.get(name, (name,)))


def _with_article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _describe_object(obj: SceneObject, rng: random.Random, *, plain: bool) -> str:
    size = "" if not obj.size else (obj.size if plain else rng.choice(SIZE_WORDS[obj.size]))
    words = [size, _name_or_synonym(obj.color, rng, plain=plain), _name_or_synonym(obj.shape, rng, plain=plain)]
    return _with_article(" ".join(word for word in words if word))


def write_caption(scene: Scene, rng: random.Random, *, plain: bool = False) -> str:
    """Return a caption of the scene. `plain`: the one that the benchmark uses."""
    if scene.kind == "view":
        text = _describe_view(scene, rng)
    elif scene.kind == "pattern":
        text = _describe_pattern(scene, rng)
    else:
        text = _describe_objects(scene, rng, plain=plain)
    if plain:
        return text
    text = rng.choice(PREFIXES) + text + rng.choice(SUFFIXES)
    if rng.random() < 0.12:
        # Unknown words should change nothing.
        unknown_word = "".join(rng.choice(_NOISE) for _ in range(rng.randrange(3, 9)))
        words = text.split()
        words.insert(rng.randrange(len(words) + 1), unknown_word)
        text = " ".join(words)
    return text


def _describe_objects(scene: Scene, rng: random.Random, *, plain: bool) -> str:
    background = _name_or_synonym(scene.background, rng, plain=plain)
    on = f" on {_with_article(background)} background"
    if not plain:
        on = rng.choice([on, on, f", {background} background", f" in front of {_with_article(background)} background",
                            f" on {background}", f" with {_with_article(background)} background"])  # fmt: skip
    descriptions = [_describe_object(obj, rng, plain=plain) for obj in scene.objects]
    if scene.kind == "one":
        text = descriptions[0]
        if scene.place:
            where = scene.place if plain or scene.place != "center" else rng.choice(["center", "middle"])
            text += rng.choice([f" in the {where}", f" at the {where}"])
            if not plain and " " in where and rng.random() < 0.3:
                text += " corner"
    elif scene.relation:
        forms = {
            "left of": ["left of", "to the left of"],
            "right of": ["right of", "to the right of"],
            "above": ["above", "over", "on top of"],
            "below": ["below", "under", "beneath"],
        }[scene.relation]
        text = f"{descriptions[0]} {forms[0] if plain else rng.choice(forms)} {descriptions[1]}"
    else:
        text = rng.choice(
            [
                f"{descriptions[0]} and {descriptions[1]}",
                f"{descriptions[0]} next to {descriptions[1]}",
                f"{descriptions[1]} and {descriptions[0]}",
            ]
        )
    return text + on if scene.names_background else text


def _describe_pattern(scene: Scene, rng: random.Random) -> str:
    first, second = scene.colors
    if scene.pattern == "checkerboard":
        return rng.choice([f"a {first} and {second} checkerboard", f"{first} and {second} chess board"])
    if scene.pattern == "dots":
        return f"{second} dots on {_with_article(first)} background"
    if scene.pattern == "stripes":
        return f"{scene.direction} {first} and {second} stripes"
    if scene.direction == "vertical":
        return rng.choice([f"a gradient from {first} to {second}", f"a vertical gradient from {first} to {second}"])
    return f"a {scene.direction} gradient from {first} to {second}"


VIEW_CAPTIONS = {
    "sunset": ("a sunset", "a sunset over the sea", "the sun going down", "a beautiful sunset"),
    "mountains": ("mountains", "snowy mountains", "a mountain landscape", "mountains under a blue sky"),
    "night": ("a night sky", "a starry night", "the moon and stars", "a night sky with a moon"),
    "house": ("a house", "a small house", "a house on a meadow", "a cottage"),
    "tree": ("a tree", "a tree on a hill", "a green tree", "a big tree"),
    "sea": ("the sea", "the ocean", "waves and a blue sky", "the sea under the sun"),
    "face": ("a smiling face", "a happy face", "a smiley", "a face"),
    "cat": ("a cat", "a cute cat", "the face of a cat", "a kitten"),
    "fish": ("a fish", "a fish in the sea", "a swimming fish", "a fish under water"),
    "rainbow": ("a rainbow", "a rainbow in the sky", "a colorful rainbow"),
    "flower": ("a flower", "a flower on a meadow", "a blooming flower"),
    "forest": ("a forest", "pine trees", "a forest of pine trees"),
    "desert": ("a desert", "a desert with a cactus", "a cactus in the desert"),
    "boat": ("a boat", "a sailing boat", "a boat on the sea", "a ship on the ocean"),
    "snowman": ("a snowman", "a snowman in the snow", "a snowman in winter"),
}


def _describe_view(scene: Scene, rng: random.Random) -> str:
    if scene.colors and scene.view in COLORED_VIEWS:
        return _with_article(f"{_name_or_synonym(scene.colors[0], rng, plain=False)} {COLORED_VIEWS[scene.view]}")
    return rng.choice(VIEW_CAPTIONS[scene.view])
