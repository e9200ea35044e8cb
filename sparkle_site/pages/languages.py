"""The language of the pages outside the admin: the browser's, of those that Sparkle speaks."""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.translation.trans_real import parse_accept_lang_header

from discord_api import i18n

_LANGUAGES = {locale.partition("-")[0] for locale in i18n.LOCALES}


def locale_of(request: HttpRequest) -> str:
    """Return the first of i18n.LOCALES that the browser asks for, else English."""
    for tag, _ in parse_accept_lang_header(request.headers.get("Accept-Language", "")[:500]):
        if tag.partition("-")[0] in _LANGUAGES:
            return i18n.nearest_locale(tag)
    return i18n.DEFAULT


def text(request: HttpRequest, key: str, **params: object) -> str:
    """Return the sentence `web.<key>` in the browser's language."""
    return i18n.translate(locale_of(request), f"web.{key}", **params)
