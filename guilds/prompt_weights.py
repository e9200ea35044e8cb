"""Weights in prompts: `(words:1.3)`, `(more)` and `[less]`, as other Stable Diffusion tools write them. Pure.

A backslash makes a bracket plain: `\\(`. A bracket without its partner is plain too. Linear in the prompt's length.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MORE, LESS = 1.1, 1 / 1.1
LEAST, MOST = 0.0, 2.0
_OVERFLOW = 1e6
_TOKEN = re.compile(
    r"\\[\\()\[\]]"
    r"|:[ ]{0,4}(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:e[0-9]{1,3})?[ ]{0,4}\)"
    r"|[()\[\]]|[^\\()\[\]:]+|.",
    re.DOTALL | re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedText:
    """A part of a prompt. `weight` is LEAST to MOST; 1 changes nothing."""

    text: str
    weight: float


def parse(prompt: str) -> list[WeightedText]:
    """Return the parts of the prompt in order, without the signs of weights. Neighbours have different weights."""
    tokens = _TOKEN.findall(prompt)
    openers, closers = _match_brackets(tokens)
    parts: list[WeightedText] = []
    texts: list[str] = []
    weights = [1.0]

    def end_part() -> None:
        text = "".join(texts)
        texts.clear()
        weight = min(max(weights[-1], LEAST), MOST)
        if text and parts and parts[-1].weight == weight:
            text = parts.pop().text + text
        if text:
            parts.append(WeightedText(text=text, weight=weight))

    for index, token in enumerate(tokens):
        if index in openers:
            end_part()
            weights.append(min(weights[-1] * openers[index], _OVERFLOW))
        elif index in closers:
            end_part()
            weights.pop()
        else:
            texts.append(token[1] if len(token) == 2 and token[0] == "\\" else token)
    end_part()
    return parts


def plain(prompt: str) -> str:
    """Return the text without signs of weights: what language-model encoders read, and blocked terms are sought in."""
    return "".join(part.text for part in parse(prompt))


def _match_brackets(tokens: Sequence[str]) -> tuple[dict[int, float], set[int]]:
    """Return the factor of each opening bracket that has a partner, by its index, and the indices of the partners."""
    openers: dict[int, float] = {}
    closers: set[int] = set()
    stack: list[int] = []
    for index, sign in enumerate(tokens):
        if sign in ("(", "["):
            stack.append(index)
            continue
        if sign == "]":
            partner, factor = "[", LESS
        elif sign == ")":
            partner, factor = "(", MORE
        elif sign[0] == ":" and sign[-1] == ")":
            partner, factor = "(", float(sign[1:-1])
        else:
            continue
        if stack and tokens[stack[-1]] == partner:
            openers[stack.pop()] = factor
            closers.add(index)
    return openers, closers
