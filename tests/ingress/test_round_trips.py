"""Every button and modal that Sparkle sends is accepted when it comes back, or refused with a message."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from discord_api.custom_id import pack
from discord_api.payloads import length
from guilds.models import Guild, ModelProfile, StylePreset
from guilds.policy import MAX_SEED
from interactions_lambda import modal_fields
from interactions_lambda.components import edit_fields
from jobs import progress_messages, result_messages, submission
from jobs.job_status import Status
from jobs.models import Job, JobImage
from tests.properties import given, settings, st

from .conftest import message_text, payload

pytestmark = pytest.mark.django_db
REQUESTER = 53908232506183680
HERE = 645027906669510667


@pytest.fixture
def done(make_ask: Callable[..., Any], now: datetime) -> Callable[..., Job]:
    """Return a completed request with its images."""

    def make(guild: Guild, **ask: Any) -> Job:
        found = submission.submit(make_ask(guild, **({"user_id": REQUESTER, "channel_id": HERE} | ask)), now=now)
        assert isinstance(found, submission.Accepted), found
        return complete(found.job)

    return make


def complete(job: Job) -> Job:
    Job.objects.filter(pk=job.pk).update(status=Status.COMPLETED)
    for index, seed in enumerate(job.seeds):
        JobImage.objects.create(
            job=job, index=index, key=f"k{job.pk}-{index}", seed=seed, width=job.width, height=job.height
        )
    return Job.objects.select_related("model").get(pk=job.pk)


def newest() -> Job:
    return Job.objects.select_related("model").latest("pk")


def pressable(components: Any) -> list[tuple[str, str | None]]:
    """Return the custom id of each button, and of each select with each of its values."""
    return [
        (component["custom_id"], option and option["value"])
        for row in components
        for component in row["components"]
        if "custom_id" in component
        for option in component.get("options", [None])
    ]


def submit_form(send: Any, guild: Guild, opened: dict[str, Any], number: int, **typed: str) -> dict[str, Any]:
    """Submit a modal as Discord does, with its values and what was typed."""
    body = payload("modal", guild_id=str(guild.pk), id=str(10**18 + number))
    rows = []
    for row in opened["data"]["components"]:
        if row["type"] == 18:
            select = row["component"]
            chosen = {"type": 3, "custom_id": select["custom_id"], "values": [select["options"][-1]["value"]]}
            rows.append({"type": 18, "component": chosen})
            continue
        field = row["components"][0]
        assert length(field.get("value", "")) <= field["max_length"] <= 4000
        value = typed.get(field["custom_id"], field.get("value", ""))
        rows.append({"type": 1, "components": [{"type": 4, "custom_id": field["custom_id"], "value": value}]})
    assert 1 <= len(rows) <= 5
    body["data"] = {"custom_id": opened["data"]["custom_id"], "components": rows}
    answer: dict[str, Any] = send(body)
    return answer


@pytest.mark.parametrize("seed", [0, MAX_SEED - 3, MAX_SEED - 2, MAX_SEED - 1, MAX_SEED])
def test_seeds_wrap_and_each_image_is_enlarged_with_its_own(make_guild: Any, done: Any, press: Any, seed: int) -> None:
    guild = make_guild()
    job = done(guild, seed=seed)
    assert job.seeds == tuple((seed + n) % 2**32 for n in range(4))
    assert str(job.seeds[-1]) in str(result_messages.details(job))
    for index in range(4):
        assert "Submitted" in str(press(guild, pack("enlarge", job.pk, index)))
        assert newest().seed == job.seeds[index]


@pytest.mark.parametrize("seed", [-1])
def test_minus_one_is_a_random_seed(make_guild: Any, slash: Any, press: Any, send: Any, done: Any, seed: int) -> None:
    guild = make_guild()
    seeds = set()
    for _ in range(3):
        assert "Submitted" in str(slash(guild, "sparkle", {"prompt": "a fox", "seed": seed}))
        seeds.add(newest().seed)
    opened = press(guild, pack("edit", done(guild).pk))
    assert "Submitted" in str(submit_form(send, guild, opened, 1, seed="-1"))
    seeds.add(newest().seed)
    assert len(seeds) == 4
    assert min(seeds) >= 0


LONG = {
    "words": ("a lighthouse at dusk, " * 300)[:5999] + "X",
    "no spaces": "灯台と夕暮れ" * 1000,
    "lines": ("a fox\nin the snow\n\n" * 400)[:5999] + "X",
    "emoji": "🦊" * 6000,
    "one over": "a" * 4001,
    "as long as a field": "b" * 4000,
}


@pytest.mark.parametrize("negative", ["", "blurry", ("ugly, " * 1000)[:5999] + "Y"])
@pytest.mark.parametrize("prompt", LONG.values(), ids=LONG)
def test_a_long_prompt_comes_back_whole_from_its_form(
    make_guild: Any, done: Any, press: Any, send: Any, prompt: str, negative: str
) -> None:
    guild = make_guild()
    job = done(guild, prompt=prompt, negative_prompt=negative, seed=5, steps=9)
    opened = press(guild, pack("edit", job.pk))
    assert "Submitted" in str(submit_form(send, guild, opened, 2))
    again = newest()
    assert again.pk != job.pk
    assert (again.prompt, again.negative_prompt, again.seed, again.steps) == (prompt, negative, 5, 9)


def test_an_edited_part_of_a_long_prompt_is_taken(make_guild: Any, done: Any, press: Any, send: Any) -> None:
    guild = make_guild()
    job = done(guild, prompt=LONG["words"])
    opened = press(guild, pack("edit", job.pk))
    assert "Submitted" in str(submit_form(send, guild, opened, 3, prompt="a hen,", prompt_2="in snow"))
    assert newest().prompt == "a hen, in snow"
    assert "`prompt`" in message_text(submit_form(send, guild, opened, 4, prompt="", prompt_2=""))


@given(text=st.text(alphabet=st.sampled_from("ab \n🦊漢é"), max_size=120), limit=st.integers(4, 40))
@settings(max_examples=200)
def test_a_split_text_is_whole_when_joined(text: str, limit: int) -> None:
    text = text.strip()
    parts = modal_fields.split(text, limit)
    assert "".join(parts) == text
    assert all(length(part) <= limit for part in parts)
    typed = {modal_fields.part_name("p", n): part.strip() for n, part in enumerate(parts, start=1)}
    if all(part.strip() for part in parts) and not any(part != part.lstrip() for part in parts):
        assert modal_fields.joined("p", typed, text, limit) == text


def test_a_styles_words_do_not_grow_over_the_limit(make_guild: Any, done: Any, press: Any) -> None:
    guild = make_guild()
    StylePreset.objects.create(
        guild=guild, slug="wool", name="Wool", template="{prompt}, wool", negative_prompt="w" * 400
    )
    job = done(guild, style="wool", negative_prompt=("ugly, " * 1000)[:5999] + "Y")
    for _ in range(3):
        assert "Submitted" in str(press(guild, pack("reroll", newest().pk)))
        assert newest().negative_prompt == job.negative_prompt


def test_a_lowered_number_of_images_and_steps_is_kept_to_and_said(make_guild: Any, done: Any, press: Any) -> None:
    guild = make_guild()
    job = done(guild, count=4, steps=40)
    guild.max_images, guild.max_steps = 2, 20
    guild.save()
    for button in (pack("reroll", job.pk), pack("vary", job.pk, 3)):
        content = press(guild, button)["data"]["content"]
        assert "Submitted" in content
        assert "images was reduced to 2" in content
        assert "steps was reduced to 20" in content
        assert (newest().count, newest().steps) == (2, 20)


def test_what_a_member_types_over_the_limit_is_refused(
    make_guild: Any, done: Any, press: Any, send: Any, slash: Any
) -> None:
    guild = make_guild(max_images=2, max_steps=20)
    assert "`count`" in message_text(slash(guild, "sparkle", {"prompt": "a fox", "count": 3}))
    assert "`steps`" in message_text(slash(guild, "sparkle", {"prompt": "a fox", "steps": 21}))
    opened = press(guild, pack("edit", done(guild).pk))
    assert "`steps`" in message_text(submit_form(send, guild, opened, 5, steps="21"))


def test_an_enlarged_image_can_be_varied_and_so_can_that(make_guild: Any, done: Any, press: Any) -> None:
    guild = make_guild()
    press(guild, pack("enlarge", done(guild).pk, 0))
    for _ in range(2):
        assert "Submitted" in str(press(guild, pack("vary", complete(newest()).pk, 0)))
        assert (newest().kind, newest().width) == ("variation", 1024)
    assert "Submitted" in str(press(guild, pack("reroll", newest().pk)))


def test_a_size_that_was_not_enlarged_is_still_refused(make_guild: Any, slash: Any) -> None:
    assert "`size`" in message_text(slash(make_guild(), "sparkle", {"prompt": "a fox", "size": "1024x1024"}))


def test_an_unknown_style_or_model_lists_those_there_are(make_guild: Any, slash: Any) -> None:
    guild, other = make_guild(), make_guild()
    StylePreset.objects.create(guild=guild, slug="wool", name="Wool")
    StylePreset.objects.create(guild=guild, slug="old", name="Old", enabled=False)
    StylePreset.objects.create(guild=other, slug="secret", name="Secret")
    sentence = message_text(slash(guild, "sparkle", {"prompt": "a fox", "style": "wolo"}))
    assert "wool" in sentence
    assert "ink" in sentence, "the platform's own"
    assert "old" not in sentence.replace("wolo", "")
    assert "secret" not in sentence
    assert ModelProfile.objects.get().slug in message_text(
        slash(guild, "sparkle", {"prompt": "a fox", "model": "sdxxl"})
    )


def test_a_sampler_is_not_asked_for_more_steps_than_it_can(make_guild: Any, slash: Any) -> None:
    guild = make_guild(max_steps=150)
    ModelProfile.objects.update(max_steps=150)
    assert "1-50" in message_text(slash(guild, "sparkle", {"prompt": "a fox", "sampler": "lcm", "steps": 51}))
    assert "Submitted" in str(slash(guild, "sparkle", {"prompt": "a fox", "sampler": "lcm", "steps": 50}))
    assert "Submitted" in str(slash(guild, "sparkle", {"prompt": "a fox", "sampler": "DDIM", "steps": 150}))


def disable(guild: Guild) -> None:
    Guild.objects.filter(pk=guild.pk).update(enabled=False)


CHANGES: dict[str, Callable[[Guild], Any]] = {
    "nothing": lambda guild: None,
    "one image": lambda guild: Guild.objects.filter(pk=guild.pk).update(max_images=1),
    "one step": lambda guild: Guild.objects.filter(pk=guild.pk).update(max_steps=1),
    "another size": lambda guild: ModelProfile.objects.update(sizes=["640x640"]),
    "style gone": lambda guild: StylePreset.objects.all().delete(),
    "style's words longer": lambda guild: StylePreset.objects.update(
        negative_prompt="n" * 500, template="t" * 400 + "{prompt}"
    ),
    "model off": lambda guild: ModelProfile.objects.update(enabled=False),
    "no private answers": lambda guild: Guild.objects.filter(pk=guild.pk).update(results_ephemeral=True),
    "another language": lambda guild: Guild.objects.filter(pk=guild.pk).update(language="ja"),
    "off": disable,
    "images hidden": lambda guild: JobImage.objects.update(hidden_at=guild.installed_at),
    "images gone": lambda guild: JobImage.objects.all().delete(),
    "prompt erased": lambda guild: Job.objects.update(prompt=""),
}
JOBS: dict[str, dict[str, Any]] = {
    "plain": {},
    "extremes": {"prompt": "🦊" * 6000, "negative_prompt": "é" * 6000, "seed": MAX_SEED, "steps": 50, "guidance": 30.0},
    "style": {"style": "ink", "negative_prompt": "n" * 5990},
    "one": {"count": 1, "sampler": "lcm"},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_every_button_and_form_is_taken_back_whatever_has_changed(
    make_guild: Any, done: Any, press: Any, send: Any, job: dict[str, Any], change: Any, caplog: Any
) -> None:
    guild = make_guild()
    made = done(guild, **job)
    enlarged = complete(_enlarge(press, guild, made))
    numbers = itertools.count(100)
    sent = [*pressable(result_messages.result_controls(made)), *pressable(result_messages.result_controls(enlarged))]
    sent += [*pressable(progress_messages.cancel_button(made))]
    # On messages from before the menu.
    sent += [(pack(old, made.pk, 0), None) for old in ("vary", "enlarge", "report")]
    opened = press(guild, pack("edit", made.pk))
    change(guild)
    for custom_id, choice in dict.fromkeys(sent):
        answer = press(guild, custom_id, values=[choice] if choice else None)
        assert answer["type"] in (4, 7, 9)
        if answer["type"] == 9:
            assert submit_form(send, guild, answer, next(numbers))["type"] == 4
    assert submit_form(send, guild, opened, next(numbers))["type"] == 4
    assert press(guild, pack("delete", made.pk))["type"] in (4, 7)
    assert "interaction_failed" not in [record.message for record in caplog.records]


def _enlarge(press: Any, guild: Guild, made: Job) -> Job:
    assert "Submitted" in str(press(guild, pack("enlarge", made.pk, 0)))
    return newest()


@given(
    prompt=st.integers(0, 6000), negative=st.integers(0, 6502), char=st.sampled_from("a🦊é漢"),
    seed=st.integers(0, MAX_SEED),
)  # fmt: skip
@settings(max_examples=60)
def test_a_form_never_has_more_fields_than_discord_takes(prompt: int, negative: int, char: str, seed: int) -> None:
    job = Job(pk=1, prompt=char * prompt, negative_prompt=char * negative, seed=seed, steps=9)
    found = edit_fields("en-US", job)
    assert 1 <= len(found) <= 5
    assert all(length(field.value) <= field.max_length for field in found)
