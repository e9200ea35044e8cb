"""A member's requests in a real browser, through handler, database and worker."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from .conftest import PATIENCE_MS, OpenPage

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
expect.set_options(timeout=PATIENCE_MS)
TOO_LATE = re.compile(r"it took [\d.]+ s, Discord waits 3 s")


def ask(page: Page, prompt: str) -> None:
    """Type /sparkle and a prompt with the keyboard alone."""
    page.get_by_label(re.compile("^Message ")).focus()
    page.keyboard.type("/spark")
    expect(page.get_by_role("option", name="/sparkle Create images from text")).to_have_attribute(
        "aria-selected", "true"
    )
    page.keyboard.press("Enter")
    expect(page.get_by_role("textbox", name="prompt", exact=True)).to_be_focused()
    page.keyboard.insert_text(prompt)
    page.keyboard.press("Enter")


def last(page: Page) -> Locator:
    return page.get_by_role("article").last


def completed(page: Page) -> Locator:
    """The last message, once it has its images."""
    done = last(page).filter(has_text="Completed your Sparkle!")
    too_late = page.get_by_role("alert").filter(has_text=TOO_LATE)
    expect(done.or_(too_late).first).to_be_visible()
    # A busy machine may answer too late, as in Discord. The page keeps what was typed, so that Enter asks again.
    if too_late.is_visible():
        page.keyboard.press("Enter")
    expect(done).to_be_visible()
    return last(page)


def option(page: Page, name: str) -> Locator:
    """Add an option to the command and return its field."""
    page.get_by_role("button", name=name, exact=True).click()
    return page.locator(f"#option-{name}")


def test_a_member_asks_with_the_keyboard_and_gets_images(open_page: OpenPage, slow_worker: None) -> None:
    from devtools.simulator.models import SimMessage

    page = open_page("Yuki")
    ask(page, "a red circle on a blue background")
    expect(last(page)).to_contain_text("Submitted to Sparkle")
    expect(last(page)).to_contain_text("Yuki used sparkle")
    expect(last(page)).to_contain_text("Processing your Sparkle")
    expect(last(page).get_by_role("progressbar")).to_be_visible()
    message = completed(page)
    image = message.get_by_role("img", name="a red circle on a blue background")
    expect(image).to_be_visible()
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 1024
    expect(message).to_contain_text("a red circle on a blue background")

    edits = SimMessage.objects.get().edits.values_list("content", flat=True)
    stages = [re.search(r"Submitted|Processing|Completed", content)[0] for content in edits]  # type: ignore[index]
    assert list(dict.fromkeys(stages)) == ["Submitted", "Processing", "Completed"]

    message.get_by_role("button", name="Enlarge: a red circle on a blue background").press("Enter")
    expect(page.get_by_role("dialog", name="Image")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Image")).to_be_hidden()


def test_options_are_those_that_were_registered(open_page: OpenPage, worker: None) -> None:
    from jobs.models import Job

    page = open_page()
    page.get_by_label(re.compile("^Message ")).fill("/sparkle a lighthouse")
    expect(page.get_by_role("textbox", name="prompt", exact=True)).to_have_value("a lighthouse")
    # Suggestions come from the handler,
    option(page, "sampler").press_sequentially("ddim")
    page.get_by_role("option", name=re.compile("DDIM")).first.click()
    option(page, "style").press_sequentially("water")
    expect(page.get_by_role("option", name=re.compile("Watercolor"))).to_be_visible()
    # The suggestions for the empty field have it too, but not first.
    expect(page.locator("#picker").get_by_role("option")).to_have_count(1)
    page.keyboard.press("Enter")
    # and what lies outside the bounds is not sent.
    option(page, "steps").fill("999")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("between 1 and 150")
    page.locator("#option-steps").fill("3")
    option(page, "seed").fill("1234")
    page.keyboard.press("Enter")
    completed(page)
    job = Job.objects.get()
    assert (job.prompt, job.sampler, job.style, job.steps, job.seed) == ("a lighthouse", "DDIM", "watercolor", 3, 1234)


def test_buttons_make_more_and_forms_change_the_prompt(open_page: OpenPage, worker: None) -> None:
    from jobs.models import Job

    page = open_page()
    ask(page, "a lighthouse")
    completed(page).get_by_role("button", name="Again").click()
    expect(page.get_by_role("article")).to_have_count(2)
    completed(page).get_by_role("button", name="Edit").click()
    form = page.get_by_role("dialog")
    expect(form.get_by_role("textbox").first).to_have_value("a lighthouse")
    form.get_by_role("textbox").first.fill("a windmill")
    form.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("article")).to_have_count(3)
    completed(page)
    assert list(Job.objects.order_by("pk").values_list("prompt", flat=True)) == [
        "a lighthouse",
        "a lighthouse",
        "a windmill",
    ]


def test_a_waiting_request_can_be_cancelled(open_page: OpenPage) -> None:
    from jobs.models import Job

    page = open_page()
    ask(page, "a lighthouse")
    last(page).get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("log")).to_contain_text(re.compile("ancelled"))
    assert Job.objects.get().status == "cancelled"


def test_what_is_ephemeral_is_seen_by_one_alone(open_page: OpenPage) -> None:
    page, other = open_page("Yuki"), open_page("Milo")
    page.get_by_label(re.compile("^Message ")).fill("/sparkle-help ")
    page.get_by_role("button", name="Send /sparkle-help").click()
    expect(last(page)).to_contain_text("Only you can see this")
    page.get_by_label(re.compile("^Message ")).fill("hello")
    page.keyboard.press("Enter")
    expect(last(other)).to_contain_text("hello")
    expect(other.get_by_role("article")).to_have_count(1)
    page.get_by_role("button", name="Dismiss message").click()
    expect(page.get_by_role("article")).to_have_count(1)


def test_moderators_commands_are_offered_to_moderators(open_page: OpenPage) -> None:
    for member, offered in (("Milo", 1), ("Yuki", 0)):
        page = open_page(member)
        page.get_by_label(re.compile("^Message ")).fill("/sparkle-s")
        expect(page.get_by_role("option", name=re.compile("^.sparkle-show"))).to_be_visible()
        expect(page.get_by_role("option", name=re.compile("^.sparkle-settings"))).to_have_count(offered)


def test_no_gpu_is_spent_where_the_bot_may_not_post(open_page: OpenPage) -> None:
    from jobs.models import Job

    page = open_page(channel="announcements")
    ask(page, "a lighthouse")
    expect(last(page)).to_contain_text("Only you can see this")
    assert [job.status for job in Job.objects.all()] == ["refused"]
    assert Job.objects.get().reason == "cannot_post_here"


HOSTILE = "<img src=x onerror=alert(1)> @everyone <@1100000000000000100> ``` **bold** ||x|| [a](https://example.org)"


def test_a_hostile_prompt_is_only_text_and_pings_nobody(open_page: OpenPage, worker: None) -> None:
    from devtools.simulator.models import SimMessage

    page = open_page("Guest")
    ask(page, HOSTILE)
    message = completed(page)
    expect(message).to_contain_text("<img src=x onerror=alert(1)>")
    expect(message.locator("img[src='x'], strong:has-text('bold'), a[href*='example.org']")).to_have_count(0)
    sent = SimMessage.objects.get()
    assert (sent.pinged_user_ids, sent.pinged_role_ids, sent.pinged_everyone) == ([], [], False)


def test_rate_limits_and_errors_of_discord_cost_nothing(open_page: OpenPage, worker: None) -> None:
    from devtools.simulator import injected_faults

    injected_faults.plan(injected_faults.Kind.RATE_LIMITED, times=2, seconds=0.3)
    injected_faults.plan(injected_faults.Kind.BAD_GATEWAY, times=1)
    page = open_page()
    ask(page, "a lighthouse")
    completed(page)
    assert injected_faults.waiting() == []
    page.get_by_role("button", name="Requests to Discord").click()
    requests = page.get_by_role("dialog", name="Requests to Discord")
    for status in ("429", "502", "200"):
        expect(requests.get_by_role("cell", name=status).first).to_be_visible()


def test_images_that_come_after_the_token_died_are_posted_with_a_mention(
    open_page: OpenPage, request: pytest.FixtureRequest
) -> None:
    from django.db.models import F

    from devtools.simulator.models import SimInteraction, SimMessage, SimUser
    from jobs.models import Job

    page = open_page("Yuki")
    ask(page, "a lighthouse")
    expect(last(page)).to_contain_text("Submitted to Sparkle")
    # 15 minutes pass in the queue.
    SimInteraction.objects.update(created_at=F("created_at") - timedelta(minutes=16))
    Job.objects.update(created_at=F("created_at") - timedelta(minutes=16))
    request.getfixturevalue("worker")
    message = completed(page)
    expect(message).to_have_class(re.compile("pinged"))
    assert SimMessage.objects.latest("pk").pinged_user_ids == [SimUser.objects.get(username="yuki").pk]


def test_the_bot_can_be_removed_and_invited_again(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_role("button", name="Server and bot settings").click()
    page.get_by_role("button", name="Remove Sparkle").click()
    page.get_by_role("button", name="Invite Sparkle").click()
    page.get_by_role("dialog").get_by_role("button", name="Invite Sparkle").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_label(re.compile("^Message ")).fill("/")
    expect(page.get_by_role("option", name="/sparkle Create images from text")).to_be_visible()


def test_a_member_can_be_another_one_and_stays_so_after_a_reload(open_page: OpenPage) -> None:
    page = open_page()
    page.get_by_role("button", name=re.compile("You are Ada")).click()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option", name=re.compile("Milo"))).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name=re.compile("You are Milo, Moderator"))).to_be_focused()
    page.reload()
    expect(page.get_by_role("button", name=re.compile("You are Milo"))).to_be_visible()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_on_a_phone_nothing_is_cut_off(open_page: OpenPage, worker: None, dark: bool) -> None:
    page = open_page(phone=True, dark=dark)
    ask(page, "a very long prompt " * 12 + "w" * 300)
    completed(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    wide = page.evaluate(
        """[...document.querySelectorAll(".log *")].filter(each => {
            const box = each.getBoundingClientRect();
            return box.width && box.right > innerWidth + 1 && !each.closest("pre");
        }).map(each => each.className)"""
    )
    assert wide == []
    page.get_by_role("button", name="Servers and channels").click()
    page.get_by_role("button", name="general").click()
    expect(page.get_by_role("heading", name="general", exact=True)).to_be_visible()
    # It slides out, so wait until it has gone.
    expect(page.get_by_role("button", name="after-dark")).to_be_hidden()


def test_the_theme_can_be_chosen_and_is_kept(open_page: OpenPage) -> None:
    page = open_page(dark=True)
    background: Any = "getComputedStyle(document.querySelector('.main')).backgroundColor"
    dark = page.evaluate(background)
    page.get_by_role("button", name=re.compile("^Theme: system")).click()
    light = page.evaluate(background)
    assert light != dark
    page.reload()
    expect(page.get_by_role("button", name=re.compile("^Theme: light"))).to_be_visible()
    assert page.evaluate(background) == light


def test_a_gallery_shows_single_images_and_its_menu_acts_on_one_of_them(open_page: OpenPage, worker: None) -> None:
    from guilds.models import Guild
    from jobs.models import Job

    Guild.objects.update(result_layout="gallery")
    page = open_page("Yuki")
    ask(page, "a lighthouse")
    message = completed(page)
    images = message.get_by_role("img", name="a lighthouse")
    expect(images).to_have_count(4)
    assert images.nth(3).evaluate("image => image.decode().then(() => image.naturalWidth)") == 512
    expect(message).to_contain_text("Seed")
    message.get_by_label(re.compile("^Image 1 to 4")).select_option("upscale:1")
    expect(completed(page)).to_contain_text("For @Yuki, from this message")

    first = page.get_by_role("article").first
    first.locator('[data-key*=":more:"]').click()
    form = page.get_by_role("dialog")
    form.get_by_label(re.compile("^What do you want to do")).select_option("delete")
    form.get_by_role("button", name="Submit").click()
    expect(first).to_contain_text("Deleted by")
    expect(first.get_by_role("img")).to_have_count(0)
    assert not Job.objects.earliest("pk").images.exists()
