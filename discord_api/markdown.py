"""Members' text in messages, escaped: no pings, no markup, no reversal of the text's direction."""

import re

from .payloads import truncate

# Control characters, and those that reverse the direction of the following text.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")
_MARKS = re.compile(r"([\\*_~|>`\[\]()#:<@-])")


def code_block(text: str, *, limit: int) -> str:
    """Return `text` in a code block of at most `limit` UTF-16 units with its fences."""
    clean = _UNSEEN.sub("", text.replace("\r\n", "\n")).replace("`", "ˋ").strip()
    return f"```\n{truncate(clean, limit - 8) or ' '}\n```"


def inline(text: str, *, limit: int) -> str:
    """Return `text` as one line without markup, mentions and links, of at most `limit` UTF-16 units before escaping."""
    clean = " ".join(_UNSEEN.sub("", text).split())
    return _MARKS.sub(r"\\\1", truncate(clean, limit)).replace("@", "@\u200b")
