"""A list of words is checked when it is saved."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.core.exceptions import ValidationError

from guilds.models import Guild
from guilds.prompt_models import PromptList

pytestmark = pytest.mark.django_db


def test_a_list_that_leads_back_to_itself_is_refused(make_guild: Callable[..., Guild]) -> None:
    guild = make_guild()
    PromptList.objects.create(guild=guild, name="scene", entries="__animal__ at night")
    animal = PromptList(guild=guild, name="__Animal__", entries="cat\n__scene__")
    with pytest.raises(ValidationError, match="lead back to itself, by way of __scene__"):
        animal.full_clean()
    other = PromptList(guild=make_guild(), name="animal", entries="cat\n__scene__")
    other.full_clean()
    animal.entries = "cat"
    animal.full_clean()
    assert animal.name == "animal"


@pytest.mark.parametrize(
    ("name", "entries"), [("animal", " \n \n"), ("two words", "cat"), ("a__b", "cat"), ("", "cat"), ("x", "c" * 50_001)]
)
def test_a_list_needs_a_name_and_entries(name: str, entries: str) -> None:
    with pytest.raises(ValidationError):
        PromptList(name=name, entries=entries).full_clean()
