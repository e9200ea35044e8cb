"""Lists of blocked terms as text, one a line: `weapon of war`, `nude | adult` for a term that counts as adult, or
`naked eye | allowed` for an exception."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import transaction

from .models import BlockedTerm

MAX_LINES = 2000
ADULT = "adult"
ALLOWED = "allowed"
_SEPARATOR = "|"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A term of a list, with the number of its line."""

    number: int
    phrase: str
    nsfw: bool = False
    allowed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """How many terms were added and how many were there already. `wrong`: line numbers, each with a sentence."""

    added: int
    known: int
    wrong: tuple[tuple[int, str], ...]


def format_terms(terms: Iterable[BlockedTerm]) -> str:
    """Return the list that `read` understands."""
    return "".join(f"{term.phrase}{_mark(term)}\n" for term in terms)


def _mark(term: BlockedTerm) -> str:
    if term.allowed:
        return f" {_SEPARATOR} {ALLOWED}"
    return f" {_SEPARATOR} {ADULT}" if term.nsfw else ""


def parse_terms(text: str) -> list[Line]:
    """Return the terms of a list. Empty lines and lines that begin with # are left out. Pure."""
    lines = []
    for number, raw in enumerate(text.splitlines(), start=1):
        phrase, separator, mark = raw.strip().lstrip("\ufeff").rpartition(_SEPARATOR)
        effect = mark.strip().casefold() if separator else ""
        phrase = phrase.strip() if effect in (ADULT, ALLOWED) else raw.strip().lstrip("\ufeff")
        if phrase and not phrase.startswith("#"):
            lines.append(Line(number=number, phrase=phrase, nsfw=effect == ADULT, allowed=effect == ALLOWED))
    return lines


def add(guild_id: int | None, lines: Iterable[Line]) -> Imported:
    """Add the terms to a guild (None: to every guild), all that are valid and new."""
    added, known, wrong = 0, 0, []
    with transaction.atomic():
        terms = BlockedTerm.objects.all()
        terms = terms.filter(guild=None) if guild_id is None else terms.filter(guild_id=guild_id)
        present = set(terms.values_list("folded", flat=True))
        for line in lines:
            term = BlockedTerm(guild_id=guild_id, phrase=line.phrase, nsfw=line.nsfw, allowed=line.allowed)
            try:
                term.clean_fields(exclude=["guild", "folded"])
                term.clean()
            except ValidationError as error:
                wrong.append((line.number, " ".join(error.messages)))
                continue
            if term.folded in present:
                known += 1
                continue
            present.add(term.folded)
            term.save()  # One by one: the audit listens to the signal of save().
            added += 1
    return Imported(added=added, known=known, wrong=tuple(wrong))
