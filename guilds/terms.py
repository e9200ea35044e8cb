"""Blocked words and phrases. Pure: both sides are folded, and whole words are compared, so no regular expression."""

import unicodedata
from collections.abc import Iterable

# Look-alikes from Unicode's confusables that people use to slip past a word list.
_LOOKALIKES = str.maketrans(
    {
        # Cyrillic
        "а": "a", "в": "b", "с": "c", "ԁ": "d", "е": "e", "һ": "h", "і": "i", "ј": "j", "к": "k", "м": "m",
        "н": "h", "о": "o", "р": "p", "ѕ": "s", "т": "t", "у": "y", "х": "x", "ԛ": "q", "ԝ": "w", "г": "r",
        # Greek
        "α": "a", "β": "b", "ε": "e", "η": "n", "ι": "i", "κ": "k", "ν": "v", "ο": "o", "ρ": "p", "τ": "t",
        "υ": "u", "χ": "x", "γ": "y", "ω": "w",
        # Latin that does not decompose, and digits and signs that stand for letters
        "ı": "i", "ł": "l", "ø": "o", "đ": "d", "ß": "ss", "æ": "ae", "œ": "oe", "ɡ": "g", "ɑ": "a",
        "0": "o", "1": "i", "3": "e", "4": "a", "5": "s", "7": "t",
    }
)  # fmt: skip
# Signs that stand for a letter inside a word, and are punctuation at its end.
_SIGNS = {"@": "a", "$": "s", "€": "e", "!": "i", "|": "i"}


def fold(text: str) -> str:
    """Return `text` as words parted by single spaces: no case, width, accents, look-alikes or invisible letters."""
    text = unicodedata.normalize("NFKD", text).casefold()
    text = "".join(char for char in text if unicodedata.category(char) not in {"Mn", "Me", "Cf"})
    text = unicodedata.normalize("NFKD", text.translate(_LOOKALIKES))
    text = "".join(
        _SIGNS[char] if char in _SIGNS and following.isalnum() else char
        for char, following in zip(text, text[1:] + " ", strict=True)
    )
    return " ".join("".join(char if char.isalnum() else " " for char in text).split())


def find(prompt: str, folded_terms: Iterable[str]) -> str | None:
    """Return the first of `folded_terms` that stands in `prompt` as whole words, or None."""
    terms = tuple(folded_terms)
    if not terms:
        return None
    padded = f" {fold(prompt)} "
    return next((term for term in terms if f" {term} " in padded), None)
