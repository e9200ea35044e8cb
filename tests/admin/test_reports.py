"""From a report to a decision: open the inbox, choose, apply."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from guilds.models import Ban, GuildMember, MemberNote
from jobs import storage, submission
from jobs.models import JobImage

pytestmark = pytest.mark.django_db
INBOX = "/admin/reports/"


@pytest.fixture
def reported(make_ask):
    """Make a request of a member with one reported image of two."""

    def make(guild: Any, **ask: Any) -> JobImage:
        now = timezone.now()
        job = submission.submit(make_ask(guild, user_id=4242, member_name="Dagny", **ask), now=now).job
        type(job).objects.filter(pk=job.pk).update(status="completed", ended_at=now)
        images = []
        for index in range(2):
            key = storage.image_key(guild.pk, job.pk, index)
            storage.store(key, b"an image")
            images.append(JobImage(job=job, index=index, key=key, seed=index, width=8, height=8))
        images[1].reported_at, images[1].reported_by = now, 77
        return JobImage.objects.bulk_create(images)[1]

    return make


def decide(client: Any, report: JobImage, **chosen: str) -> Any:
    return client.post(f"{INBOX}?image={report.pk}", {"image": "remove", "member": "", "reason": ""} | chosen)


def texts(client: Any) -> str:
    return client.get(INBOX).text


def test_the_inbox_shows_what_a_decision_needs(moderator_a, guild_a, reported):
    GuildMember.objects.create(guild=guild_a, user_id=77, name="Emeka")
    image = reported(guild_a, prompt="a red fox")
    page = moderator_a.get(INBOX).text
    for seen in ("Report 1 of 1", "a red fox", "Dagny", "Emeka", guild_a.name, f"/admin/image/{image.pk}/"):
        assert seen in page, seen
    assert "4242" not in page.replace(f"/admin/members/{guild_a.pk}/4242/", "")


def test_three_clicks_remove_the_image_and_time_the_author_out(moderator_a, guild_a, reported):
    image, other = reported(guild_a), reported(guild_a)
    answer = decide(moderator_a, image, member="1d", reason="Against rule 3")
    assert answer.url == f"{INBOX}?image={other.pk}", "the next report follows"
    assert not JobImage.objects.filter(pk=image.pk).exists()
    assert JobImage.objects.filter(job_id=image.job_id).count() == 1
    ban = Ban.objects.get()
    assert (ban.guild_id, ban.user_id, ban.reason) == (guild_a.pk, 4242, "Against rule 3")
    assert ban.until is not None
    page = moderator_a.get(answer.url).text
    assert "Removed 1 image from Discord, the storage and the gallery." in page
    assert "use Sparkle for a while" in page


def test_a_report_is_dismissed_and_the_image_stays(moderator_a, guild_a, reported):
    image = reported(guild_a)
    assert decide(moderator_a, image, image="dismiss").url == INBOX
    assert JobImage.objects.get(pk=image.pk).reported_at is None
    assert "No open reports" in texts(moderator_a)


def test_the_author_is_banned_for_good(moderator_a, guild_a, reported):
    decide(moderator_a, reported(guild_a), image="dismiss", member="ban")
    assert Ban.objects.get().until is None


def test_a_warning_is_on_record_even_if_discord_does_not_answer(moderator_a, guild_a, reported):
    decide(moderator_a, reported(guild_a), image="dismiss", member="warn", reason="Please stop")
    assert MemberNote.objects.get().text == "Please stop"
    assert "The warning is on record" in texts(moderator_a)


@pytest.mark.parametrize(
    "wrong", [{"image": ""}, {"image": "burn"}, {"member": "1y"}, {"reason": "x" * 201}, {"member": "'; --"}]
)
def test_a_wrong_form_says_so_and_changes_nothing(moderator_a, guild_a, reported, wrong):
    image = reported(guild_a)
    answer = decide(moderator_a, image, **{"reason": "kept", **wrong})
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert JobImage.objects.get(pk=image.pk).reported_at is not None
    assert not Ban.objects.exists()


def test_a_moderator_neither_sees_nor_decides_reports_of_another_server(moderator_a, guild_b, reported):
    image = reported(guild_b, prompt="a secret garden")
    assert "a secret garden" not in moderator_a.get(f"{INBOX}?image={image.pk}").text
    assert decide(moderator_a, image, member="ban").url == INBOX
    assert JobImage.objects.filter(pk=image.pk).exists()
    assert not Ban.objects.exists()


def test_observers_look_and_do_not_decide(observer, guild_a, reported):
    image = reported(guild_a)
    assert "Apply" not in observer.get(INBOX).text
    assert decide(observer, image).status_code == 403
    assert JobImage.objects.filter(pk=image.pk).exists()


def test_two_moderators_decide_one_report_once(moderator_a, guild_a, reported):
    image = reported(guild_a)
    decide(moderator_a, image)
    decide(moderator_a, image, member="ban")
    assert not Ban.objects.exists()
    assert "Someone else has decided this report already." in texts(moderator_a)


def test_previous_and_next_lead_through_the_reports(moderator_a, guild_a, reported):
    first, second, third = (reported(guild_a) for _ in range(3))
    page = moderator_a.get(f"{INBOX}?image={second.pk}").text
    assert f'href="{INBOX}?image={first.pk}" data-key="k"' in page
    assert f'href="{INBOX}?image={third.pk}" data-key="j"' in page


@pytest.mark.parametrize("named", ["x", "-1", "9" * 40, "0"])
def test_an_odd_address_shows_the_oldest_report(moderator_a, guild_a, reported, named):
    reported(guild_a, prompt="a red fox")
    assert "a red fox" in moderator_a.get(INBOX, {"image": named}).text


def test_the_menu_counts_open_reports_and_shows_no_empty_badge(moderator_a, guild_a, reported):
    badge = "rounded-xs text-center text-[11px]"
    assert badge not in texts(moderator_a)
    reported(guild_a)
    assert badge in texts(moderator_a)
