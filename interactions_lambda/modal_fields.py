"""Modal ids, and long texts split over text inputs of limited length and joined again. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from discord_api.payloads import length

# A remix has no job yet, so the custom id of its modal holds no job id.
REMIX_MODAL = "s1:remix"


def part_name(name: str, number: int) -> str:
    """Return the custom id of a text's input number `number`. The first input has the text's own name."""
    return name if number == 1 else f"{name}_{number}"


def split(text: str, limit: int) -> list[str]:
    """Return `text` in one or more parts of at most `limit` UTF-16 code units, split between words if possible."""
    parts = []
    while length(text) > limit:
        end = limit
        while length(text[:end]) > limit:
            end -= 1 + (length(text[:end]) - limit) // 2
        # A text without spaces (Chinese, Japanese) is split anywhere.
        space = max(text.rfind(char, end // 2, end) for char in " \n\t")
        end = space + 1 if space > 0 else end
        parts.append(text[:end])
        text = text[end:]
    return [*parts, text]


def joined(name: str, typed: Mapping[str, str], original: str, limit: int) -> str:
    """Return the text typed into the inputs of `split(original, limit)`, or `original` if it had no input.

    Discord strips the spaces at the ends of an input, so those between the original's parts are added again.
    """
    if name not in typed:
        return original
    parts = split(original, limit)
    text = ""
    for number, part in enumerate(parts, start=1):
        value = typed.get(part_name(name, number), "")
        text += value
        if number < len(parts) and value:
            text += part[len(part.rstrip()) :]
    return text.strip()
