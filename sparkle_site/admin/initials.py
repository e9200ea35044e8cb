"""A server's icon without a request to Discord's CDN: its initials on a colour derived from its id."""

from __future__ import annotations

from django.utils.html import format_html
from django.utils.safestring import SafeString


def initials(name: str) -> str:
    words = [word for word in name.split() if word[:1].isalnum()]
    return "".join(word[0] for word in words[:2]).upper() or "?"


def icon(guild_id: int, name: str, *, large: bool = False) -> SafeString:
    """Return the icon. It is hidden from screen readers, because the name is next to it."""
    hue = (guild_id >> 3) * 47 % 360
    return format_html(
        '<span class="sp-icon{}" style="background: hsl({} 55% 30%)" aria-hidden="true">{}</span>',
        " sp-icon--large" if large else "",
        hue,
        initials(name),
    )
