"""LoRAs in /sparkle: chosen in the option, the prompt or a style, refused with a sentence, and kept by the buttons."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from discord_api import i18n
from discord_api.custom_id import pack
from guilds.adapter_models import Adapter
from guilds.models import BlockedTerm, Guild, ModelProfile, StylePreset
from jobs.models import Job

from .conftest import message_text
from .test_buttons import MakeJob, Press, make_job, newest  # noqa: F401  # a fixture
from .test_commands import complete

pytestmark = pytest.mark.django_db
Slash = Callable[..., dict[str, Any]]
Send = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.fixture
def guild(make_guild: Callable[..., Guild]) -> Guild:
    """A server that offers two LoRAs. One more is another server's, and one is offered but disabled."""
    guild, other = make_guild(), make_guild()
    for slug, fields in {
        "night": {"name": "Night palette"},
        "sketch": {"name": "Sketch", "default_weight": 1.0, "trigger_words": "pencil sketch"},
        "off": {"name": "Off", "enabled": False},
    }.items():
        guild.loras_offered.add(_adapter(slug, **fields))
    foreign = _adapter("foreign", name="Foreign")
    foreign.guilds.add(other)
    # A mistake in the data: it must not be enough.
    guild.loras_offered.add(foreign)
    return guild


def _adapter(slug: str, **fields: Any) -> Adapter:
    return Adapter.objects.create(**{"slug": slug, "source": "a/b", "enabled": True, "family": "sd1"} | fields)


def _refused(answer: dict[str, Any]) -> str:
    assert answer["data"]["flags"] & 64
    assert Job.objects.latest("pk").status == "refused"
    return message_text(answer)


def test_loras_of_the_option_and_the_prompt_reach_the_job(guild: Guild, slash: Slash) -> None:
    slash(guild, values={"prompt": "a fox <lora:night:0.5> at dusk", "lora": "Sketch"})
    job = newest()
    assert (job.prompt, job.loras) == ("a fox at dusk", "sketch:1,night:0.5")
    assert job.styled_prompt == "a fox at dusk, pencil sketch"
    assert job.params.loras == job.loras


def test_a_request_without_loras_has_none(guild: Guild, slash: Slash) -> None:
    slash(guild, values={"prompt": "a fox"})
    assert newest().loras == ""


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"lora": "dusk"}, "no LoRA called `dusk`. Choose from: Night palette, Sketch"),
        ({"lora": "foreign"}, "no LoRA called"),
        ({"lora": "off"}, "no LoRA called"),
        ({"lora": "night:1.6"}, "`Night palette` can be at most 1.5"),
        ({"lora": "night:much"}, "Write them like"),
        ({"prompt": "a fox <lora:night:0.8", "lora": "night:"}, "Write them like"),
        ({"prompt": "<lora:night:0.8>"}, "prompt` is empty"),
    ],
)
def test_a_lora_that_cannot_be_used_is_refused(guild: Guild, slash: Slash, values: dict[str, str], says: str) -> None:
    assert says in _refused(slash(guild, values={"prompt": "a fox"} | values))


def test_a_server_that_offers_none_says_so(make_guild: Callable[..., Guild], slash: Slash) -> None:
    _adapter("night", name="Night palette")
    assert "doesn't offer LoRAs" in _refused(slash(make_guild(), values={"prompt": "a fox", "lora": "night"}))


def test_a_lora_of_another_family_is_refused_where_it_is_typed(guild: Guild, slash: Slash, send: Send) -> None:
    ModelProfile.objects.create(slug="xl", name="XL", lora_family="sdxl")
    values = {"prompt": "a fox", "lora": "night", "model": "xl"}
    assert "doesn't work with this model" in _refused(slash(guild, values=values))
    assert complete(send, guild, "sparkle", "lora", "", model="xl") == []


def test_the_blocked_terms_see_the_text_with_its_tags(guild: Guild, slash: Slash) -> None:
    BlockedTerm(guild=guild, phrase="dragon").save()
    for prompt in ("a dra<lora:night:0.5>gon", "a fox <lora:dragon:1>", "<lora:night>a dragon"):
        assert "isn't allowed here: dragon" in _refused(slash(guild, values={"prompt": prompt}))


def test_an_adult_lora_follows_the_servers_rule(guild: Guild, slash: Slash) -> None:
    Adapter.objects.filter(slug="night").update(adult=True)
    assert "Adult prompts aren't allowed" in _refused(slash(guild, values={"prompt": "a fox", "lora": "night"}))


def test_a_style_carries_its_loras(guild: Guild, slash: Slash) -> None:
    _adapter("house-ink", name="House ink")
    StylePreset.objects.create(guild=guild, slug="noir", name="Noir", loras="house-ink:0.7,night")
    assert "no LoRA called" in _refused(slash(guild, values={"prompt": "a fox", "lora": "house-ink"}))
    slash(guild, values={"prompt": "a fox", "style": "noir", "lora": "night:0.2"})
    assert newest().loras == "house-ink:0.7,night:0.2"


def test_again_and_vary_keep_the_loras(guild: Guild, make_job: MakeJob, press: Press) -> None:  # noqa: F811
    job = make_job(guild, prompt="a fox <lora:night:0.5>", loras="sketch:0.9")
    for action in (pack("reroll", job.pk), pack("vary", job.pk, 1)):
        press(guild, action)
        again = newest()
        assert again.pk != job.pk
        assert (again.prompt, again.loras) == ("a fox", "sketch:0.9,night:0.5")
        assert again.styled_prompt == "a fox, pencil sketch"


def test_a_preset_holds_loras_until_they_are_no_longer_offered(guild: Guild, slash: Slash) -> None:
    assert "no LoRA called" in message_text(slash(guild, "sparkle-defaults", {"lora": "foreign"}))
    assert "at most 1.5" in message_text(slash(guild, "sparkle-defaults", {"lora": "night:1.6"}))
    saved = slash(guild, "sparkle-defaults", {"preset": "dusk", "lora": "Night palette:0.5, sketch"})
    assert "LoRA night\\:0.5, sketch\\:1" in saved["data"]["embeds"][0]["description"]
    slash(guild, values={"prompt": "a fox", "preset": "dusk"})
    assert newest().loras == "night:0.5,sketch:1"
    slash(guild, values={"prompt": "a fox", "preset": "dusk", "lora": "sketch:0.2"})
    assert newest().loras == "sketch:0.2", "what a member types comes first"
    guild.loras_offered.remove(Adapter.objects.get(slug="night"))
    slash(guild, values={"prompt": "a fox", "preset": "dusk"})
    assert newest().loras == "sketch:1"
    ModelProfile.objects.create(slug="xl", name="XL", lora_family="sdxl")
    slash(guild, values={"prompt": "a fox", "preset": "dusk", "model": "xl"})
    assert newest().loras == ""


def test_loras_are_completed_one_after_the_other(guild: Guild, send: Send) -> None:
    def choices(typed: str) -> list[tuple[str, str]]:
        return [(choice["name"], choice["value"]) for choice in complete(send, guild, "sparkle", "lora", typed)]

    assert choices("") == [("Night palette (0.8)", "night:0.8"), ("Sketch (1) · pencil sketch", "sketch:1")]
    assert choices("PAL") == [("Night palette (0.8)", "night:0.8")]
    assert choices("night:0.4, sk") == [("night:0.4, Sketch (1) · pencil sketch", "night:0.4, sketch:1")]
    assert choices("a,b,c,") == []


def test_every_refusal_has_its_text_in_every_language() -> None:
    codes = ("lora_malformed", "lora_unknown", "lora_not_offered", "too_many_loras", "lora_weight", "lora_other_family")
    for locale in i18n.LOCALES:
        texts = [i18n.phrases(locale)[f"refusal.{code}"] for code in codes]
        assert len(set(texts)) == len(codes), locale
