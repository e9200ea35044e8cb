"""A job's message at each stage: within Discord's limits whatever was asked, in every language."""

from __future__ import annotations

import pytest

from discord_api import payloads
from discord_api.i18n import LOCALES
from discord_api.markdown import code_block, inline
from discord_api.payloads import File, Message
from guilds.models import Guild, ModelProfile
from jobs import progress_messages, result_messages
from jobs.models import Job

from .payload_contract import check, check_message

PROMPTS = ["a cat", "", "`" * 6000, "😀" * 6000, "x" * 6000, "```\n@everyone", "*" * 6000, "\n" * 6000]
GRID = File(name="grid.png", content=b"png", content_type="image/png", description="a cat")
SECRET = File(name="two.png", content=b"png", content_type="image/png", description="a cat", spoiler=True)


def job(**fields: object) -> Job:
    """A job that no database has seen."""
    defaults: dict[str, object] = {
        "pk": 2**53,
        "guild": Guild(pk=7),
        "user_id": 42,
        "prompt": "a cat",
        "seed": 2**32 - 1,
        "steps": 16,
        "sampler": "k_lms",
        "width": 512,
        "height": 512,
        "guidance": 7.5,
        "count": 4,
        "locale": "en-US",
        "status": "failed",
    }
    return Job(**(defaults | fields))


def stages(of: Job) -> list[Message]:
    return [
        progress_messages.submitted(of, place=1, wait_s=None, gpu_starting=False),
        progress_messages.submitted(of, place=9, wait_s=1e6, gpu_starting=True, budget_warning=True),
        progress_messages.submitted(of, place=0, wait_s=None, gpu_starting=False),
        progress_messages.processing(of, step=5, total=16),
        progress_messages.processing(of, step=99, total=16, preview=GRID),
        progress_messages.processing(of, step=0, total=0),
        progress_messages.stopping(of),
        result_messages.completed(of, (GRID,)),
        result_messages.completed(of, (GRID, SECRET), layout="attachments"),
        result_messages.completed(of, (GRID, SECRET), layout="gallery", truncated_tokens=5400),
        result_messages.completed(of, (), link="https://sparkle.example/gallery/1", truncated_tokens=5400),
        progress_messages.ended(of),
    ]


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("locale", LOCALES)
def test_every_stage_fits_discord_whatever_the_prompt(prompt: str, locale: str) -> None:
    of = job(prompt=prompt, negative_prompt=prompt, style="ink", strength=0.5, locale=locale)
    for message in stages(of):
        created, edited = (
            payloads.to_payload(message, edit=False),
            payloads.to_payload(message, edit=True),
        )
        check("MessageCreateRequest", created)
        check("IncomingWebhookUpdateRequestPartial", edited)
        check_message(created)
        check_message(edited)


@pytest.mark.parametrize(
    "reason",
    ["", "worker_lost", "out_of_memory", "cancelled_by_member", "waited_too_long", "banned", "not_in_any_language"],
)
@pytest.mark.parametrize("status", ["failed", "cancelled", "expired"])
def test_every_end_says_why_and_what_next(status: str, reason: str) -> None:
    content = progress_messages.ended(job(status=status, reason=reason)).content
    assert content is not None
    assert len(content.splitlines()[1]) > 20


def test_the_three_headlines_are_as_everyone_knows_them() -> None:
    of = job()
    assert str(progress_messages.submitted(of, place=1, wait_s=None, gpu_starting=False).content).startswith(
        "**Submitted to Sparkle**"
    )
    assert str(progress_messages.processing(of, step=1, total=2).content).startswith("**Processing your Sparkle**")
    assert result_messages.completed(of, (GRID,)).content == "**Completed your Sparkle!**"


def test_place_and_wait_are_told() -> None:
    content = progress_messages.submitted(job(), place=3, wait_s=200, gpu_starting=True).content
    assert content is not None
    assert "Place in line: 3." in content
    assert "A GPU is starting up" in content
    assert "Ready in about 3 min." in content


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "5 s"), (7, "5 s"), (42, "40 s"), (89, "90 s"), (95, "2 min"), (3600, "60 min"), (9000, "2 h")],
)
def test_a_wait_is_told_no_finer_than_it_is_known(seconds: float, words: str) -> None:
    assert progress_messages.duration("en-US", seconds) == words


def test_files_stand_above_the_details() -> None:
    message = result_messages.completed(job(), (GRID,))
    assert "image" not in message.embeds[0], "an embed would show it below the prompt"
    layout = payloads.to_payload(result_messages.completed(job(), (GRID, SECRET), layout="gallery"), edit=True)
    assert [part["type"] for part in layout["components"]] == [10, 12, 10, 1, 1]
    assert (layout["content"], layout["embeds"], layout["flags"]) == (None, None, payloads.LAYOUT)
    assert layout["components"][1]["items"] == [
        {"media": {"url": "attachment://grid.png"}, "description": "a cat"},
        {"media": {"url": "attachment://SPOILER_two.png"}, "description": "a cat", "spoiler": True},
    ]


def test_a_layout_tells_what_an_embed_tells() -> None:
    of = job(style="ink", strength=0.5, source_job_id=41, source_index=1, negative_prompt="dogs")
    embed = result_messages.details(of)
    text = result_messages.completed(of, (GRID,), layout="gallery").details
    for field in embed["fields"]:
        assert field["name"] in text
        assert field["value"] in text
    assert "#41 · 2" in text


def test_the_result_of_a_button_names_who_pressed_it_and_what_it_came_from() -> None:
    of = job(pressed_message_id=7, guild=Guild(pk=5), channel_id=6)
    lines = str(result_messages.completed(of, (GRID,)).content).splitlines()
    assert lines == [
        "**Completed your Sparkle!**",
        "For <@42>, from [this message](https://discord.com/channels/5/6/7).",
    ]


def test_the_seeds_of_the_grid_are_shown() -> None:
    fields = {field["name"]: field["value"] for field in result_messages.details(job(seed=7, count=4))["fields"]}
    assert fields["Seed"] == "7 … 10"
    fields = {field["name"]: field["value"] for field in result_messages.details(job(seed=7, count=1))["fields"]}
    assert fields["Seed"] == "7"


def values(of: Job) -> list[str]:
    menu, _ = result_messages.result_controls(of)
    return [option["value"] for option in menu["components"][0]["options"]]


def test_one_menu_and_one_row_of_buttons_are_below_a_result() -> None:
    menu, buttons = result_messages.result_controls(job(count=2))
    assert menu["components"][0]["placeholder"].startswith("Image 1 to 2")
    assert [button["label"] for button in buttons["components"]] == ["Again", "Edit", "More"]
    assert values(job(count=2)) == [f"{action}:{n}" for n in (0, 1) for action in result_messages.IMAGE_ACTIONS]


def test_what_the_server_has_switched_off_is_not_offered() -> None:
    off = Guild(pk=7, switched_off=["vary", "area", "redraw", "edit", "again"])
    assert values(job(count=1, guild=off)) == ["upscale:0", "full:0"]
    _, buttons = result_messages.result_controls(job(guild=off))
    assert [button["label"] for button in buttons["components"]] == ["More"]


def test_an_image_at_the_limit_cannot_grow_and_many_images_fit_into_the_menu() -> None:
    assert values(job(count=1, width=1536)) == ["vary:0", "upscale:0", "area:0", "full:0"]
    assert values(job(count=1, width=4096)) == ["vary:0", "area:0", "full:0"]
    assert len(values(job(count=10))) <= payloads.MAX_OPTIONS


@pytest.mark.parametrize("limit", [9, 10, 100, 1500])
@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_code_block_keeps_to_its_limit_and_cannot_be_left(prompt: str, limit: int) -> None:
    block = code_block(prompt, limit=limit)
    assert payloads.length(block) <= limit
    assert block.startswith("```\n")
    assert block.endswith("\n```")
    assert "`" not in block[3:-3]


@pytest.mark.parametrize(
    "text", ["@everyone", "<@1>", "<@&1>", "[a](https://x)", "**b**", "a\n# b", "||c||", "https://x"]
)
def test_inline_text_has_no_markup(text: str) -> None:
    shown = inline(text, limit=100)
    assert "\n" not in shown
    assert "@everyone" not in shown
    for mark in "*_~|<>[]()#:`":
        assert mark not in shown.replace(f"\\{mark}", "")


@pytest.mark.parametrize(
    ("text", "limit"), [("a" * 10, 10), ("a" * 11, 10), ("😀" * 5, 10), ("😀" * 6, 10), ("a" + "😀" * 9, 10)]
)
def test_cutting_counts_as_discord_does_and_splits_no_emoji(text: str, limit: int) -> None:
    cut = payloads.truncate(text, limit)
    assert payloads.length(cut) <= limit
    cut.encode("utf-8")
    assert (cut == text) == (payloads.length(text) <= limit)


@pytest.mark.parametrize(
    ("family", "actions"),
    [
        ("flux", {"vary", "upscale", "redraw", "area", "full"}),
        ("sana", {"upscale", "full"}),
        ("whole-call", {"upscale", "full"}),
    ],
)
def test_only_what_the_model_can_do_with_an_image_is_offered(family: str, actions: set[str]) -> None:
    of = job(model=ModelProfile(pk=1, slug="some", name="Some", family=family))
    select = result_messages.result_controls(of)[0]["components"][0]
    assert {option["value"].split(":")[0] for option in select["options"]} == actions
