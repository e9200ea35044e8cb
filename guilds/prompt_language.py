"""Choices in prompts: `{red|blue} cat` takes one alternative, `__animal__` one entry of a list. Pure.

A backslash makes a sign plain: `\\{`, `\\|`, `\\}`, `\\_`. The same prompt, lists and seed give the same text. Brackets
with weights are left to guilds.prompt_weights.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

MAX_DEPTH = 10
MAX_CHOICES = 500
MAX_LIST_NAME = 40
LIST_NAME = "[a-z0-9](?:[a-z0-9-]|_(?!_)){0,39}"
_LIST = re.compile(r"__([a-z0-9](?:[a-z0-9-]|_(?!_)){0,39})__", re.ASCII | re.IGNORECASE)
_TOKEN = re.compile(
    r"\\[\\{}|_]|__([a-z0-9](?:[a-z0-9-]|_(?!_)){0,39})__|[{}|]|[^\\{}|_]+|.", re.ASCII | re.IGNORECASE | re.DOTALL
)
_SIGNS = re.compile(r"[{}|]|_(?=_)")
_UNDERSCORES = re.compile(r"_(?=_)")


class PromptError(Exception):
    """A prompt that cannot be expanded. `code` is stable; `params` are those of the sentence that the member reads."""

    def __init__(self, code: str, **params: object) -> None:
        super().__init__(code)
        self.code, self.params = code, params


@dataclass(slots=True)
class _Group:
    """A pair of braces with its alternatives. Without a `|` they are plain signs, as in a prompt that is JSON."""

    parts: list[list[str | _Group]] = field(default_factory=lambda: [[]])
    is_closed: bool = True


@dataclass(slots=True, kw_only=True)
class _Expansion:
    """The state of one expansion: how many choices were made, and how many characters are left."""

    lists: Mapping[str, Sequence[str]]
    seed: int
    limit: int
    choices: int = 0
    length: int = 0

    def choose(self, options: int) -> int:
        """Return the index of the next choice."""
        self.choices += 1
        if self.choices > MAX_CHOICES:
            raise PromptError("prompt_too_many_choices", limit=MAX_CHOICES)
        digest = hashlib.sha256(f"{self.seed}:{self.choices}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % options

    def count(self, text: str) -> str:
        """Return `text`, counted. Raises PromptError once the whole is too long."""
        self.length += len(text)
        if self.length > self.limit:
            raise PromptError("prompt_too_long_expanded", limit=self.limit)
        return text


def has_choices(prompt: str) -> bool:
    """Return whether expanding the prompt may change it."""
    return any(sign in prompt for sign in ("|", "__", "\\"))


def escape(text: str) -> str:
    """Return the prompt that expands to this text: its signs of choices are plain."""
    # Outside braces a `|` is plain anyway.
    return (_SIGNS if "{" in text else _UNDERSCORES).sub(r"\\\g<0>", text)


def is_list_name(name: str) -> bool:
    """Return whether a list can have this name."""
    return _LIST.fullmatch(f"__{name}__") is not None


def list_names(text: str) -> frozenset[str]:
    """Return the names of the lists that a text uses, in lower case."""
    return frozenset(match[1].lower() for match in _TOKEN.finditer(text) if match[1])


def expand(prompt: str, *, lists: Mapping[str, Sequence[str]], seed: int, limit: int) -> str:
    """Return the prompt with every choice made by `seed`, in at most `limit` characters.

    `lists` holds entries by name. Raises PromptError for an alternative whose brace is not closed, an unknown list, a
    list that names itself, too many choices and a text that is too long.
    """
    expansion = _Expansion(lists=lists, seed=seed, limit=limit)
    return _expand(prompt, expansion, inside=())


def find_cycle(name: str, entries: Sequence[str], lists: Callable[[str], Sequence[str]]) -> str | None:
    """Return the name of a list that leads back to the list `name` of these `entries`, or None.

    `lists` returns the entries of a list by name, none for an unknown one.
    """
    reached: set[str] = set()
    pending = [(name, entries)]
    while pending:
        via, texts = pending.pop()
        for used in sorted(frozenset().union(*map(list_names, texts))):
            if used == name:
                return via
            if used not in reached:
                reached.add(used)
                pending.append((used, lists(used)))
    return None


def _expand(text: str, expansion: _Expansion, *, inside: tuple[str, ...]) -> str:
    """Expand one text. `inside` are the lists whose entry it is, outermost first."""
    expanded: list[str] = []
    # Without recursion, since a prompt may nest thousands of braces.
    pending: list[Iterator[str | _Group]] = [iter(_parse(text))]
    while pending:
        node = next(pending[-1], None)
        if node is None:
            pending.pop()
        elif isinstance(node, _Group):
            if len(node.parts) > 1:
                pending.append(iter(node.parts[expansion.choose(len(node.parts))]))
            else:
                pending += [iter(["}"] if node.is_closed else []), iter(node.parts[0])]
                expanded.append(expansion.count("{"))
        elif name := _LIST.fullmatch(node):
            expanded.append(_entry(name[1].lower(), expansion, inside=inside))
        else:
            expanded.append(expansion.count(_unescape(node)))
    return "".join(expanded)


def _entry(name: str, expansion: _Expansion, *, inside: tuple[str, ...]) -> str:
    if name in inside or len(inside) >= MAX_DEPTH:
        raise PromptError("prompt_list_loop", name=name)
    entries = expansion.lists.get(name)
    if not entries:
        raise PromptError("prompt_list_unknown", name=name)
    return _expand(entries[expansion.choose(len(entries))], expansion, inside=(*inside, name))


def _parse(text: str) -> list[str | _Group]:
    """Return the text as tokens and groups, in linear time."""
    stack = [_Group()]
    for match in _TOKEN.finditer(text):
        sign = match[0]
        if sign == "{":
            stack.append(_Group())
        elif sign == "|" and len(stack) > 1:
            stack[-1].parts.append([])
        elif sign == "}" and len(stack) > 1:
            group = stack.pop()
            stack[-1].parts[-1].append(group)
        else:
            stack[-1].parts[-1].append(sign)
    while len(stack) > 1:
        group = stack.pop()
        if len(group.parts) > 1:
            raise PromptError("prompt_brace_open", open="{", escaped="\\{")
        group.is_closed = False
        stack[-1].parts[-1].append(group)
    return stack[0].parts[0]


def _unescape(sign: str) -> str:
    # An escaped backslash keeps both signs: guilds.prompt_weights reads them after this.
    return sign[1:] if len(sign) == 2 and sign[0] == "\\" and sign[1] in "{}|_" else sign
