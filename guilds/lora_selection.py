"""LoRAs that a request names: in the option, in the prompt as `<lora:name:0.8>`, or in its style. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MAX_LORAS = 3
MAX_TEXT = 200
MAX_WEIGHT = 4.0
# Families of models that share LoRAs.
FAMILIES = {
    "sd1": "Stable Diffusion 1.x",
    "sd2": "Stable Diffusion 2.x",
    "sdxl": "SDXL",
    "sd3": "Stable Diffusion 3.x",
    "flux": "Flux",
    "z-image": "Z-Image",
    "qwen-image": "Qwen-Image",
    "demo": "The demo's model",
}
_TAG = re.compile(r"<lora:([^<>]*)>", re.IGNORECASE)
_CHOICE = re.compile(r"\s*([^:,<>]+?)\s*(?::\s*(-?[0-9]{0,2}(?:\.[0-9]{0,4})?)\s*)?", re.ASCII)
_SPACES = re.compile(r"[ \t]{2,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraChoice:
    """A LoRA by its name or slug, as typed. `weight` is None where none was typed."""

    name: str
    weight: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraOptions:
    """A LoRA that a guild may use. `is_offered`: whether its members may choose it."""

    slug: str
    name: str
    family: str
    default_weight: float
    max_weight: float
    trigger_words: str
    adult: bool
    is_offered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraUse:
    """A LoRA of a planned request, with its weight."""

    lora: LoraOptions
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraProblem:
    """Why a LoRA cannot be used: code and parameters of a guilds.policy.Refusal."""

    code: str
    params: Mapping[str, Any] = field(default_factory=dict)


def parse(text: str) -> tuple[LoraChoice, ...] | None:
    """Return the choices of a text such as "night:0.8, sketch", None if it is malformed."""
    choices = []
    for part in text.split(","):
        if not part.strip():
            continue
        match = _CHOICE.fullmatch(part)
        weight = match[2] if match else None
        if match is None or weight in ("", "-", ".", "-."):
            return None
        choices.append(LoraChoice(name=match[1], weight=None if weight is None else float(weight)))
    return tuple(choices)


def format_uses(uses: Iterable[LoraUse]) -> str:
    """Return the text that `parse` reads and that a job stores, such as "night:0.8,sketch:1"."""
    return ",".join(f"{use.lora.slug}:{round(use.weight, 4):g}" for use in uses)


def tags(stored: str) -> str:
    """Return a job's LoRAs as other tools write them in a prompt: "<lora:night:0.8> <lora:sketch:1>"."""
    return " ".join(f"<lora:{choice}>" for choice in stored.split(",") if choice)


def take_from_prompt(prompt: str) -> tuple[str, str]:
    """Return the prompt without its `<lora:...>` tags, and their content as a text for `parse`."""
    found = ",".join(_TAG.findall(prompt))
    if not found:
        return prompt, ""
    return _SPACES.sub(" ", _TAG.sub("", prompt)).strip(" \t,"), found


def choose(
    available: Sequence[LoraOptions], *, typed: str, in_prompt: str, in_style: str, family: str
) -> tuple[LoraUse, ...] | LoraProblem:
    """Return the LoRAs of a request with their weights, or why one cannot be used.

    A LoRA that is named twice counts once: the prompt's weight comes before the option's, and that before the style's.
    Those of the style need no offer of the server's, and do not count towards MAX_LORAS.
    """
    by_name = {name: lora for lora in available for name in (lora.name.casefold(), lora.slug.casefold())}
    uses: dict[str, LoraUse] = {}
    of_style: set[str] = set()
    for text, is_style in ((in_style, True), (typed, False), (in_prompt, False)):
        choices = parse(text)
        if choices is None:
            return LoraProblem(code="lora_malformed")
        for choice in choices:
            use = _use(choice, by_name, needs_offer=not is_style, styles=of_style, family=family)
            if isinstance(use, LoraProblem):
                return use
            if is_style:
                of_style.add(use.lora.slug)
            uses[use.lora.slug] = use
    if len(uses.keys() - of_style) > MAX_LORAS:
        return LoraProblem(code="too_many_loras", params={"limit": MAX_LORAS})
    return tuple(uses.values())


def _use(
    choice: LoraChoice, by_name: Mapping[str, LoraOptions], *, needs_offer: bool, styles: set[str], family: str
) -> LoraUse | LoraProblem:
    lora = by_name.get(choice.name.casefold())
    if lora is None or (needs_offer and not lora.is_offered and lora.slug not in styles):
        offered = sorted({lora.name for lora in by_name.values() if lora.is_offered})
        if not offered:
            return LoraProblem(code="lora_not_offered")
        return LoraProblem(code="lora_unknown", params={"name": choice.name[:80], "range": ", ".join(offered[:25])})
    if family and lora.family and family != lora.family:
        return LoraProblem(code="lora_other_family", params={"name": lora.name})
    weight = lora.default_weight if choice.weight is None else choice.weight
    if abs(weight) > lora.max_weight:
        return LoraProblem(code="lora_weight", params={"name": lora.name, "limit": f"{lora.max_weight:g}"})
    return LoraUse(lora=lora, weight=weight)


def keep_usable(stored: str, available: Sequence[LoraOptions], *, family: str) -> str:
    """Return those of a preset's LoRAs that are still offered and fit the model, as a text for `parse`."""
    offered = {lora.slug: lora for lora in available if lora.is_offered}
    kept = []
    for part in stored.split(","):
        lora = offered.get(part.partition(":")[0])
        if lora is not None and (not family or not lora.family or lora.family == family):
            kept.append(part)
    return ",".join(kept)


def add_trigger_words(prompt: str, uses: Iterable[LoraUse]) -> str:
    """Return the prompt with the trigger words of its LoRAs, where it lacks them."""
    lower = prompt.casefold()
    missing = [words for use in uses if (words := use.lora.trigger_words.strip()) and words.casefold() not in lower]
    return ", ".join([prompt, *missing])
