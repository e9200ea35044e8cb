"""Blocked words and phrases: find a term in a prompt in any spelling that people read as the term.

Terms and prompts are read as words, with Unicode's data on scripts and confusable characters
(docs/decisions/0012-blocked-terms). Where a word can be read in more than one way (`p0rn`, `nude1`, `누드를`), all
readings are compared.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

# One way to read a chunk of text: its words in order, each in all its forms.
Reading = tuple[tuple[str, ...], ...]

_ASCII_CHUNK = re.compile(r"[a-z0-9@$!]+")
# Signs used as letters within a word. "!" separates words too.
_SIGNS = "@$€!"
_LEET = str.maketrans("0123456789@$€!", "oizeasgtbgasei")
_LEET_L = str.maketrans("0123456789@$€!", "olzeasbtbgasel")
_DIGITS = "0123456789"
_NUMBER_AT_END = re.compile(r"[0-9]{2}$|^[0-9]{2}")
# Letters in their own right: without the mark it is another word (año, schwül, край).
_OWN_LETTERS = frozenset("ñäöüåçãõйїў")
# Of these, the ones often typed without the mark, and German's alternative spellings.
_OFTEN_BARE = str.maketrans("çãõ", "cao")
_SPELLED_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
# Particles that are written without a space before or after a word.
_KOREAN_PARTICLES = (
    "은", "는", "이", "가", "을", "를", "의", "에", "에서", "에게", "한테", "께", "로", "으로", "와", "과", "랑",
    "이랑", "하고", "도", "만", "까지", "부터", "처럼", "같은", "같이", "보다", "마다", "조차", "이나", "나", "라도",
    "이라도", "이다", "입니다", "인", "들", "들이", "들을", "들의", "들은", "들과", "한", "하는", "된", "적인",
)  # fmt: skip
_JAPANESE_BEFORE = ("は", "が", "を", "に", "の", "と", "で", "も", "へ", "や", "な")
_JAPANESE_AFTER = (
    "は", "が", "を", "に", "の", "と", "で", "も", "へ", "や", "な", "か", "ね", "よ", "だ", "です", "だった",
    "でした", "から", "まで", "には", "では", "とは", "にも", "でも", "さん", "ちゃん", "くん", "たち", "っぽい",
    "すぎる", "している",
)  # fmt: skip
_ARABIC_BEFORE = ("ال", "وال", "بال", "كال", "فال", "لل")
_TO_HIRAGANA = {code: code - 0x60 for code in range(0x30A1, 0x30F7)}
# Longer chunks hardly repeat.
_MAX_CACHED = 64
# Characters of context on either side for the segmenter.
_WINDOW = 32
# Fewer letters that stand apart are initials.
_LEAST_SPACED = 3

# Unicode blocks of scripts without spaces, and of other scripts whose words end at a change of script.
_HAN = "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_THAI = "\u0e00-\u0e7f"
_UNSPACED = f"{_HAN}{_THAI}\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff\u19e0-\u19ff\ua9e0-\ua9ff\uaa60-\uaa7f"
_HIRAGANA = "\u3041-\u309f"
_KATAKANA = "\u30a1-\u30fa\u30fd-\u30ff\u31f0-\u31ff"
_HANGUL = "\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff"
_UNSPACED_CHAR = re.compile(f"[{_UNSPACED}]")
_HIRAGANA_CHAR, _KATAKANA_CHAR, _HANGUL_CHAR = (re.compile(f"[{each}]") for each in (_HIRAGANA, _KATAKANA, _HANGUL))
_KANA_CHAR, _THAI_CHAR = re.compile(f"[{_HIRAGANA}{_KATAKANA}]"), re.compile(f"[{_THAI}]")
# Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties: invisible characters.
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    "\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# Scripts whose marks people leave out. Elsewhere a mark makes another letter: は and ば, vowel signs, tone marks.
_BARE_SCRIPTS = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARABIC", "HEBREW"})


@functools.cache
def _chunk() -> re.Pattern[str]:
    """Return the pattern of a chunk: a run of an unspaced script, of kana or of Hangul, or a word of another script."""
    apart = _UNSPACED_CHAR.pattern[1:-1] + _HIRAGANA + _KATAKANA + _HANGUL
    others = re.compile(f"[^{apart}ー]")
    letters = "".join(
        char
        for block in (range(0x30, 0x2E80), range(0xA000, 0xAC00), range(0xFB00, 0xFE00), range(0xFE20, 0xFE30))
        for char in map(chr, block)
        if unicodedata.category(char)[0] in "LMN" and others.match(char)
    )
    return re.compile(
        f"[{_UNSPACED}]+|[{_HIRAGANA}][{_HIRAGANA}ー]*|[{_KATAKANA}][{_KATAKANA}ー]*|[{_HANGUL}]+"
        f"|[{letters}{_SIGNS}\U00010000-\U0001efff]+"
    )


@functools.lru_cache(maxsize=4096)
def _script(char: str) -> str:
    """Return the script of a letter by its Unicode name, "LATIN"."""
    return unicodedata.name(char, "").partition(" ")[0]


def fold(phrase: str) -> str:
    """Return the folded form of a term, by which terms are compared: its words in their first reading.

    Single spaces separate the words. "" if the phrase has no letter or digit.
    """
    words: list[str] = []
    for chunk in _chunks(_normal(phrase)):
        readings = _readings(chunk)
        # Signs in a term are letters: a moderator who blocks "a$$" means the word.
        words += [forms[0] for forms in readings[-1] if any(char.isalnum() for char in forms[0])]
    return " ".join(words)


def find(prompt: str, folded_terms: Collection[str]) -> str | None:
    """Return the first of `folded_terms` in `prompt`, or None."""
    return matcher(tuple(sorted(folded_terms))).find(prompt) if folded_terms else None


def spelled_apart(prompt: str) -> Iterator[str]:
    """Yield in all their forms the words whose letters stand apart in `prompt`: `n u d e`, `n.u.d.3`."""
    for single, run in itertools.groupby(_chunks(_normal(prompt)), key=lambda chunk: len(chunk) == 1):
        letters = "".join(run) if single else ""
        # The first letter may be a word of its own: "a n u d e".
        for spelled in (letters, letters[1:]):
            if len(spelled) >= _LEAST_SPACED:
                yield from (form for reading in _readings(spelled) for forms in reading for form in forms)


def is_blank(text: str) -> bool:
    """Return whether `text` is invisible: only spaces, invisible characters and control characters."""
    return all(
        char.isspace() or char == "\u2800" or unicodedata.category(char) == "Cc" for char in _UNSEEN.sub("", text)
    )


@dataclass(frozen=True, slots=True)
class Occurrence:
    """Where a term is in a prompt: from `begin` to `end`, each the number of a chunk and a place within it.

    The term is between these places; with `is_exact` it is all of what is between them.
    """

    term: str
    begin: tuple[int, int]
    end: tuple[int, int]
    is_exact: bool


@functools.lru_cache(maxsize=16)
def matcher(folded_terms: tuple[str, ...]) -> Matcher:
    """Return the matcher of these terms, cached."""
    return Matcher(folded_terms)


class Matcher:
    """A trie of the terms' words. Search time depends on the prompt's length, not on the number of terms."""

    def __init__(self, folded_terms: Collection[str]) -> None:
        self._children: list[dict[str, int]] = [{}]
        self._terms: list[str | None] = [None]
        for term in folded_terms:
            for spelling in {term, term.translate(_OFTEN_BARE), term.translate(_SPELLED_OUT)}:
                self._add(spelling.split(), term)
        heads = [word for word in self._children[0] if _UNSPACED_CHAR.match(word)]
        # Where a term may begin in a run of an unspaced script; "(?!)" never matches.
        self._heads = re.compile("|".join(map(self._head, heads)) or "(?!)")
        # Cache of chunks that begin no term.
        self._barren: set[str] = set()

    def _add(self, words: Sequence[str], term: str) -> None:
        node = 0
        for word in words:
            child = self._children[node].get(word)
            if child is None:
                child = self._children[node][word] = len(self._children)
                self._children.append({})
                self._terms.append(None)
            node = child
        if node and self._terms[node] is None:
            self._terms[node] = term

    def _head(self, word: str) -> str:
        node = self._children[0][word]
        following = "".join({re.escape(each[0]) for each in self._children[node]})
        # The term may end here, or continue in another chunk.
        more = "" if self._terms[node] is not None else f"(?=[{following}]|$)"
        return f"{re.escape(word)}{more}"

    def find(self, prompt: str) -> str | None:
        """Return the first term in `prompt`, or None."""
        return next((found.term for found in self.occurrences(prompt)), None)

    def occurrences(self, prompt: str) -> Iterator[Occurrence]:
        """Yield where terms are in `prompt`, from its beginning."""
        text = _normal(prompt)
        chunks = _chunks(text)
        begin = {chunk for chunk in set(chunks) - self._barren if self._may_begin(chunk)}
        if begin:
            for index, chunk in enumerate(chunks):
                if chunk in begin:
                    yield from self._from(chunks, index, text)

    def _may_begin(self, chunk: str) -> bool:
        if _UNSPACED_CHAR.match(chunk):
            begins = self._heads.search(chunk) is not None
        else:
            first = self._children[0]
            begins = any(form in first for reading in _readings(chunk) for forms in reading for form in forms)
        if not begins and len(chunk) <= _MAX_CACHED:
            if len(self._barren) > 20_000:
                self._barren.clear()
            self._barren.add(chunk)
        return begins

    def _from(self, chunks: Sequence[str], index: int, text: str) -> Iterator[Occurrence]:
        chunk = chunks[index]
        if _UNSPACED_CHAR.match(chunk):
            for head in self._heads.finditer(chunk):
                run = ((cluster,) for cluster in _clusters(chunk[head.start() :]))
                for term, words, last in self._walk(run, chunks, index):
                    begin = head.start()
                    if words is None:
                        yield Occurrence(term, (index, begin), (last, len(chunks[last])), is_exact=False)
                    elif not _splits_words(chunk, begin, words, text):
                        end = begin + _length(chunk[begin:], words)
                        yield Occurrence(term, (index, begin), (index, end), is_exact=True)
            return
        for reading in _readings(chunk):
            for start in range(len(reading)):
                for term, _, last in self._walk(reading[start:], chunks, index):
                    # The readings of a chunk with signs have several words, and the place of each is unknown.
                    exact = not any(_UNSPACED_CHAR.match(each) or _has_sign(each) for each in chunks[index : last + 1])
                    yield Occurrence(term, (index, 0), (last, len(chunks[last])), is_exact=exact)

    def _walk(
        self, reading: Iterable[tuple[str, ...]], chunks: Sequence[str], index: int
    ) -> Iterator[tuple[str, int | None, int]]:
        """Yield the terms that start `reading`, each with its number of words and the index of its last chunk.

        The number is None for a term that extends over later chunks.
        """
        nodes = {0}
        for words, forms in enumerate(reading, start=1):
            nodes = self._step(nodes, forms)
            yield from ((term, words, index) for term in self._ended(nodes))
            if not nodes:
                return
        for later in range(index + 1, len(chunks)):
            reached: set[int] = set()
            for each in _readings(chunks[later]):
                inside = nodes
                for forms in each:
                    inside = self._step(inside, forms)
                    yield from ((term, None, later) for term in self._ended(inside))
                    if not inside:
                        break
                reached |= inside
            nodes = reached
            if not nodes:
                return

    def _ended(self, nodes: set[int]) -> list[str]:
        return [term for node in nodes if (term := self._terms[node]) is not None]

    def _step(self, nodes: set[int], forms: tuple[str, ...]) -> set[int]:
        return {child for node in nodes for form in forms if (child := self._children[node].get(form)) is not None}


def _normal(text: str) -> str:
    """Return `text` normalized: compatibility forms and mathematical styles replaced, invisible characters removed."""
    if text.isascii():
        return text.lower()
    text = _UNSEEN.sub("", text)
    # Negative circled and squared letters have no decomposition, but their names end with the letter.
    text = re.sub(r"[\U0001f150-\U0001f169\U0001f170-\U0001f189]", lambda found: unicodedata.name(found[0])[-1], text)
    text = unicodedata.normalize("NFKC", text)
    return text.lower() if text.isascii() else text


def _chunks(text: str) -> list[str]:
    return (_ASCII_CHUNK if text.isascii() else _chunk()).findall(text)


def _readings(chunk: str) -> tuple[Reading, ...]:
    return _cached_readings(chunk) if len(chunk) <= _MAX_CACHED else _read(chunk)


@functools.lru_cache(maxsize=20_000)
def _cached_readings(chunk: str) -> tuple[Reading, ...]:
    return _read(chunk)


def _read(chunk: str) -> tuple[Reading, ...]:
    """Return the readings of a chunk: split at each sign, split at "!" only, and as one word."""
    if not chunk.isascii():
        if _UNSPACED_CHAR.match(chunk):
            return (tuple((cluster,) for cluster in _clusters(chunk)),)
        if _HIRAGANA_CHAR.match(chunk):
            return (((*_bare(chunk, _JAPANESE_BEFORE, _JAPANESE_AFTER),),),)
        if _KATAKANA_CHAR.match(chunk):
            return (((chunk.translate(_TO_HIRAGANA),),),)
        if _HANGUL_CHAR.match(chunk):
            return (((*_bare(chunk, (), _KOREAN_PARTICLES),),),)
    if not _has_sign(chunk):
        return ((_word(chunk),),)
    apart = tuple(_word(word) for word in re.split(f"[{_SIGNS}]", chunk) if word)
    some = tuple(_word(word) for word in chunk.split("!") if word.strip(_SIGNS))
    inner = chunk.strip("!")
    joined = (_word(inner),) if inner.strip(_SIGNS) else ()
    return tuple(dict.fromkeys((apart, some, joined)))


def _has_sign(chunk: str) -> bool:
    return any(sign in chunk for sign in _SIGNS)


def _length(run: str, words: int) -> int:
    """Return the number of characters of the first `words` clusters."""
    return sum(map(len, itertools.islice(_clusters(run), words)))


def _clusters(run: str) -> Iterator[str]:
    """Yield the characters of a run, each with its combining marks."""
    cluster = ""
    for char in run:
        if cluster and unicodedata.category(char)[0] != "M":
            yield cluster
            cluster = ""
        cluster += char
    if cluster:
        yield cluster


def _bare(word: str, before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Return the word, and the word without a particle before it, after it, and both."""
    tails = [word, *(word.removesuffix(each) for each in after if word.endswith(each) and word != each)]
    heads = [tail.removeprefix(each) for tail in tails for each in before if tail.startswith(each) and tail != each]
    return list(dict.fromkeys([*tails, *heads]))


def _word(raw: str) -> tuple[str, ...]:
    """Return the forms of a word: as written, with digits and signs as letters, without digits at either end."""
    found: dict[str, None] = {}
    for plain in _in_one_script(raw):
        for word in (plain, plain.strip(_DIGITS)):
            if word and not any(sign in word for sign in _SIGNS):
                found[word] = None
            # Numbers, and words that begin or end with one, are not read as letters (455, h264, a55).
            if any(char.isalpha() for char in word) and not _NUMBER_AT_END.search(word):
                for table in (_LEET, _LEET_L):
                    found |= dict.fromkeys(_in_one_script(word.translate(table)))
        if _is_arabic(plain):
            found.update(dict.fromkeys(_bare(plain, _ARABIC_BEFORE, ())))
    return tuple(found) or (raw,)


def _is_arabic(word: str) -> bool:
    return "\u0600" <= word[:1] <= "\u06ff"


def _in_one_script(raw: str) -> tuple[str, ...]:
    """Return the folded word. A word of mixed scripts is returned for each script that all letters can be read in."""
    if raw.isascii():
        return (raw.lower(),)
    scripts = {_script(char) for char in raw if char.isalpha()}
    found = []
    if len(scripts) > 1:
        for script in sorted({"LATIN", *scripts} & {"LATIN", "CYRILLIC", "GREEK"}, reverse=True):
            converted = [_as_script(char, script) if char.isalpha() else char for char in raw]
            if None not in converted:
                found.append(_without_accents("".join(filter(None, converted))))
    elif scripts == {"LATIN"}:
        found.append(_without_accents("".join(map(_plain_latin, raw))))
    return tuple(dict.fromkeys(found)) or (_without_accents(raw),)


def _without_accents(word: str) -> str:
    """Return the word in lower case without accents; letters in their own right keep their marks.

    Marks on at least half of a word's letters are decoration and are removed.
    """
    word = unicodedata.normalize("NFC", word.casefold())
    if word.isascii():
        return word
    marked = sum(1 for char in word if char in _OWN_LETTERS)
    decorated = marked >= 2 and 2 * marked >= sum(char.isalpha() for char in word)
    kept = []
    for char in word:
        if char in _OWN_LETTERS and not decorated:
            kept.append(char)
            continue
        base = unicodedata.normalize("NFD", char)
        if _script(base[0]) in _BARE_SCRIPTS:
            kept.append("".join(each for each in base if not unicodedata.combining(each)))
        elif not (unicodedata.combining(char) and kept and _script(kept[-1][-1:]) in _BARE_SCRIPTS):
            kept.append(char)
    # The tatweel only stretches an Arabic word.
    return unicodedata.normalize("NFC", "".join(kept)).replace("\u0640", "")


@functools.lru_cache(maxsize=4096)
def _as_script(char: str, script: str) -> str | None:
    """Return the letter of `script` that `char` is or looks like, or None."""
    base = unicodedata.normalize("NFD", char)[0]
    if _script(base) == script:
        return _plain_latin(char) if script == "LATIN" else char
    # The capital too: н looks like no Latin letter, Н does.
    for each in (base, base.upper()):
        alike = sorted(other for other in _look_alikes(each) if len(other) == 1 and _script(other) == script)
        if script == "LATIN":
            alike = [other for other in alike if other.isascii()]
        if alike:
            return alike[0].casefold()
    return None


@functools.lru_cache(maxsize=4096)
def _plain_latin(char: str) -> str:
    """Return a non-ASCII Latin letter as the ASCII letters it looks like (ɡ, ø, æ, ᴜ); else `char` itself."""
    base = unicodedata.normalize("NFD", char)
    if char.isascii() or base[0].isascii():
        return char
    if (name := unicodedata.name(char, "")).startswith("LATIN LETTER SMALL CAPITAL ") and len(name) == 28:
        return name[-1].lower()
    plain = (
        "".join(each for each in unicodedata.normalize("NFD", other) if not unicodedata.combining(each))
        for other in _look_alikes(char)
    )
    return next((other.casefold() for other in plain if other.isascii() and other.isalpha()), char)


def _look_alikes(char: str) -> tuple[str, ...]:
    """Return the characters that Unicode's confusables (UTS #39) list for `char`."""
    from confusable_homoglyphs.confusables import confusables_data

    return tuple(entry["c"] for entry in confusables_data.get(char, ()))


def _splits_words(run: str, begin: int, words: int, text: str) -> bool:
    """Return whether a match in a run consists of parts of two other words (性交 in 男性交流).

    Chinese and Thai are written without spaces. A segmenter finds the word boundaries around a match.
    """
    if words < 2:
        return False
    if _THAI_CHAR.match(run):
        languages: tuple[str, ...] = ("th",)
    elif _KANA_CHAR.search(text):
        # Japanese is segmented into phrases, not into words.
        return False
    else:
        languages = ("zh-hans", "zh-hant")
    first = max(0, begin - _WINDOW)
    end = begin + _length(run[begin:], words)
    around = run[first : end + _WINDOW]
    begin, end = begin - first, end - first
    for language in languages:
        bounds = {0, *itertools.accumulate(map(len, _segmenter(language).parse(around)))}
        if not bounds & {begin, end} and any(begin < bound < end for bound in bounds):
            return True
    return False


@functools.cache
def _segmenter(language: str) -> Any:
    import budoux

    load = {
        "zh-hans": budoux.load_default_simplified_chinese_parser,
        "zh-hant": budoux.load_default_traditional_chinese_parser,
        "th": budoux.load_default_thai_parser,
    }
    return load[language]()
