"""A member's words inside our messages: they cannot ping, break out of their block, or turn the text around."""

import re

from .payloads import truncate

# Controls, and the marks that reverse the reading direction of what follows them.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")
_MARKS = re.compile(r"([\\*_~|>`\[\]()#:<@-])")


def code_block(text: str, *, limit: int) -> str:
    """Return `text` in a code block of at most `limit` UTF-16 units with its fences."""
    clean = _UNSEEN.sub("", text.replace("\r\n", "\n")).replace("`", "ˋ").strip()
    return f"```\n{truncate(clean, limit - 8) or ' '}\n```"


def inline(text: str, *, limit: int) -> str:
    """Return `text` as one plain line: no markup, no mention, no link."""
    clean = " ".join(_UNSEEN.sub("", text).split())
    return _MARKS.sub(r"\\\1", truncate(clean, limit)).replace("@", "@\u200b")
