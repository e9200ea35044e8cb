"""Which terms of a server and of all servers a prompt contains, with their exceptions. Pure."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from . import blocked_terms
from .blocked_terms import Matcher, Occurrence, matcher


@dataclass(frozen=True, slots=True, kw_only=True)
class TermRules:
    """How terms are searched for; all of them folded (guilds.blocked_terms.fold).

    `exceptions`: a server's own. They make no exception from `platform_terms`, which the operators set for all servers;
    `platform_exceptions` do. `spaced_too`: also find terms whose letters stand apart.
    """

    platform_terms: frozenset[str] = frozenset()
    platform_exceptions: frozenset[str] = frozenset()
    exceptions: frozenset[str] = frozenset()
    spaced_too: bool = False

    def find(self, text: str, terms: Collection[str]) -> str | None:
        """Return the first of `terms` in `text`, or None."""
        everywhere = self.platform_exceptions
        if not self.exceptions:
            return find(text, terms, exceptions=everywhere, spaced_too=self.spaced_too)
        binding = [term for term in terms if term in self.platform_terms]
        own = [term for term in terms if term not in self.platform_terms]
        return find(text, binding, exceptions=everywhere, spaced_too=self.spaced_too) or find(
            text, own, exceptions=everywhere | self.exceptions, spaced_too=self.spaced_too
        )


def find(
    text: str, terms: Collection[str], *, exceptions: Collection[str] = (), spaced_too: bool = False
) -> str | None:
    """Return the first of `terms` in `text`, or None; all folded.

    A term within one of the `exceptions` is not found: `naked` in `naked eye`. With `spaced_too` a term whose letters
    stand apart is found: `n u d e`.
    """
    if not terms:
        return None
    searched = tuple(sorted(terms))
    if exceptions:
        found = _outside(matcher(searched).occurrences(text), text, matcher(tuple(sorted(exceptions))))
    else:
        found = blocked_terms.find(text, terms)
    return found or (_find_spaced(text, searched) if spaced_too else None)


def _outside(occurrences: Iterator[Occurrence], text: str, exceptions: Matcher) -> str | None:
    first = next(occurrences, None)
    if first is None:
        return None
    allowed = [each for each in exceptions.occurrences(text) if each.is_exact]
    remaining = (
        found.term
        for found in itertools.chain((first,), occurrences)
        if not any(each.begin <= found.begin and found.end <= each.end for each in allowed)
    )
    return next(remaining, None)


def _find_spaced(text: str, terms: tuple[str, ...]) -> str | None:
    joined = _without_spaces(terms)
    return next((joined[word] for word in blocked_terms.spelled_apart(text) if word in joined), None)


@functools.lru_cache(maxsize=16)
def _without_spaces(terms: tuple[str, ...]) -> dict[str, str]:
    return {term.replace(" ", ""): term for term in terms}
