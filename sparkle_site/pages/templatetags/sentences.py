"""`{% sentence "key" %}`: a sentence of discord_api/locales in the reader's language, escaped."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.html import conditional_escape

from discord_api import i18n

register = template.Library()


@register.simple_tag(takes_context=True)
def sentence(context: Any, key: str, **params: object) -> str:
    """Return the sentence `web.<key>` with its parameters filled in."""
    locale = context.get("locale") or i18n.DEFAULT
    return conditional_escape(i18n.translate(locale, f"web.{key}", **params))
