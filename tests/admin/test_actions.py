"""Actions of the admin: who sees which one, its confirmation, and its effect."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from guilds.models import Guild, Usage
from jobs import storage
from jobs.models import Job, JobEvent, JobImage

pytestmark = pytest.mark.django_db

CONFIRMED = {"_form_submitted": "on"}
JOB_ACTIONS = {"retry_one", "cancel_one", "refund_one", "delete_images"}
IMAGE_ACTIONS = {"hide_one", "show_one", "blur_one", "unblur_one", "dismiss_one"}


@pytest.fixture
def job(guild_a: Guild, make_ask: Any, now: Any) -> Job:
    """A waiting request."""
    from jobs import submission

    job: Job = submission.submit(make_ask(guild_a), now=now).job
    return job


@pytest.fixture
def ended_job(job: Job) -> Job:
    """A completed request with one image."""
    now = timezone.now()
    Job.objects.filter(pk=job.pk).update(
        status="completed", started_at=now, ended_at=now, settled_at=now, grid_key="grid", encrypted_token=b""
    )
    key = storage.image_key(job.guild_id, job.pk, 0)
    storage.store(key, b"not really an image")
    JobImage.objects.create(job=job, index=0, key=key, seed=1, width=64, height=64)
    job.refresh_from_db()
    return job


def address(model: str, action: str, pk: int) -> str:
    return reverse(f"admin:jobs_{model}_{action}", args=[pk])


def offered(client: Client, model: str, pk: int, actions: set[str]) -> set[str]:
    page = client.get(reverse(f"admin:jobs_{model}_change", args=[pk])).text
    return {action for action in actions if address(model, action, pk) in page}


def run(client: Client, model: str, action: str, pk: int) -> int:
    return client.post(address(model, action, pk), CONFIRMED).status_code


def run_on_list(client: Client, model: str, action: str, *pks: int, **more: str) -> str:
    body = more | {"action": action, "_selected_action": pks, "index": 0, "select_across": 0}
    return client.post(reverse(f"admin:jobs_{model}_changelist"), body, follow=True).text


def test_a_waiting_request_can_be_cancelled_and_nothing_else(moderator_a: Client, job: Job) -> None:
    assert offered(moderator_a, "job", job.pk, JOB_ACTIONS) == {"cancel_one"}
    for action in JOB_ACTIONS - {"cancel_one"}:
        assert run(moderator_a, "job", action, job.pk) == 404, action
    assert run(moderator_a, "job", "cancel_one", job.pk) == 302
    job.refresh_from_db()
    assert job.status == "cancelled"
    assert JobEvent.objects.get(job=job, kind="cancelled_by").detail["by"]


def test_a_completed_request_can_be_retried_refunded_and_deleted(moderator_a: Client, ended_job: Job) -> None:
    assert offered(moderator_a, "job", ended_job.pk, JOB_ACTIONS) == JOB_ACTIONS - {"cancel_one"}
    assert run(moderator_a, "job", "retry_one", ended_job.pk) == 302
    again = Job.objects.exclude(pk=ended_job.pk).get()
    assert (again.prompt, again.seed) == (ended_job.prompt, ended_job.seed)
    assert run(moderator_a, "job", "refund_one", ended_job.pk) == 302
    ended_job.refresh_from_db()
    assert ended_job.refunded_at
    assert run(moderator_a, "job", "refund_one", ended_job.pk) == 404, "once"
    assert run(moderator_a, "job", "delete_images", ended_job.pk) == 302
    assert not JobImage.objects.filter(job=ended_job).exists()


def test_an_action_asks_before_it_runs(moderator_a: Client, job: Job) -> None:
    page = moderator_a.get(address("job", "cancel_one", job.pk))
    assert page.status_code == 200
    assert "Cancel this request?" in page.text
    job.refresh_from_db()
    assert job.status != "cancelled"


def test_actions_on_a_list_run_on_the_chosen_rows_that_they_fit(moderator_a: Client, job: Job, ended_job: Job) -> None:
    run_on_list(moderator_a, "job", "cancel_all", ended_job.pk)
    run_on_list(moderator_a, "job", "refund_all", ended_job.pk)
    run_on_list(moderator_a, "job", "hide_all", ended_job.pk)
    ended_job.refresh_from_db()
    assert ended_job.status == "completed"
    assert ended_job.refunded_at
    assert JobImage.objects.get().hidden_at
    run_on_list(moderator_a, "job", "retry_all", ended_job.pk, sure="yes")
    again = Job.objects.exclude(pk=ended_job.pk).get()
    run_on_list(moderator_a, "job", "cancel_all", again.pk)
    again.refresh_from_db()
    assert again.status == "cancelled"
    assert run_on_list(moderator_a, "job", "no_such_action", ended_job.pk)


@pytest.mark.parametrize(
    ("action", "undo", "field"), [("hide", "show", "hidden_at"), ("blur", "unblur", "blurred")], ids=["hide", "blur"]
)
def test_an_image_is_hidden_or_blurred_and_comes_back(
    moderator_a: Client, ended_job: Job, action: str, undo: str, field: str
) -> None:
    image = ended_job.images.get()
    before = offered(moderator_a, "jobimage", image.pk, IMAGE_ACTIONS)
    assert f"{action}_one" in before
    assert f"{undo}_one" not in before
    assert run(moderator_a, "jobimage", f"{undo}_one", image.pk) == 404
    assert run(moderator_a, "jobimage", f"{action}_one", image.pk) == 302
    image.refresh_from_db()
    assert getattr(image, field)
    run_on_list(moderator_a, "jobimage", f"{undo}_chosen", image.pk)
    image.refresh_from_db()
    assert not getattr(image, field)
    run_on_list(moderator_a, "jobimage", f"{action}_chosen", image.pk)
    assert run(moderator_a, "jobimage", f"{undo}_one", image.pk) == 302
    image.refresh_from_db()
    assert not getattr(image, field)


def test_a_report_is_dismissed_once(moderator_a: Client, ended_job: Job) -> None:
    image = ended_job.images.get()
    assert "dismiss_one" not in offered(moderator_a, "jobimage", image.pk, IMAGE_ACTIONS)
    JobImage.objects.update(reported_at=timezone.now())
    assert "dismiss_one" in offered(moderator_a, "jobimage", image.pk, IMAGE_ACTIONS)
    assert run(moderator_a, "jobimage", "dismiss_one", image.pk) == 302
    image.refresh_from_db()
    assert image.reported_at is None


def test_all_images_of_the_selected_requests_are_deleted(moderator_a: Client, ended_job: Job) -> None:
    run_on_list(moderator_a, "jobimage", "delete_chosen", ended_job.images.get().pk)
    assert not JobImage.objects.exists()


def test_an_observer_is_offered_no_action(observer: Client, ended_job: Job) -> None:
    assert offered(observer, "job", ended_job.pk, JOB_ACTIONS) == set()
    image = ended_job.images.get()
    assert offered(observer, "jobimage", image.pk, IMAGE_ACTIONS) == set()
    assert run(observer, "jobimage", "hide_one", image.pk) == 403
    run_on_list(observer, "job", "refund_all", ended_job.pk)
    ended_job.refresh_from_db()
    assert ended_job.refunded_at is None


def test_a_server_is_paused_and_resumed(moderator_a: Client, guild_a: Guild) -> None:
    for action, enabled in (("pause", False), ("resume", True)):
        path = reverse(f"admin:guilds_guild_{action}", args=[guild_a.pk])
        assert path in moderator_a.get(reverse("admin:guilds_guild_change", args=[guild_a.pk])).text
        assert moderator_a.post(path, CONFIRMED).status_code == 302
        guild_a.refresh_from_db()
        assert guild_a.enabled is enabled
        assert moderator_a.post(path, CONFIRMED).status_code == 404, "it is so already"


def test_counters_of_members_are_for_moderators_and_those_of_servers_for_operators(
    moderator_a: Client, operator: Client, guild_a: Guild
) -> None:
    now = timezone.now()
    member = Usage.objects.create(guild=guild_a, subject_id=7, window="day", starts_at=now, images=4)
    server = Usage.objects.create(guild=guild_a, subject_id=0, window="day", starts_at=now, images=4)
    body = CONFIRMED | {"images": 3, "gpu_seconds": 2}
    grant = [reverse("admin:guilds_usage_grant_more", args=[usage.pk]) for usage in (member, server)]
    assert [moderator_a.post(path, body).status_code for path in grant] == [302, 404]
    assert operator.post(grant[1], body).status_code == 302
    for usage in (member, server):
        usage.refresh_from_db()
        assert (usage.granted_images, usage.granted_gpu_ms) == (3, 2000)
    assert moderator_a.post(reverse("admin:guilds_usage_reset_counter", args=[member.pk]), CONFIRMED).status_code == 302
    member.refresh_from_db()
    assert member.granted_images == member.images


def test_retrying_many_asks_names_the_cost_and_skips_what_was_refused(
    moderator_a: Client, ended_job: Job, make_ask: Any
) -> None:
    from guilds.models import BlockedTerm
    from jobs import submission

    BlockedTerm.objects.create(guild=ended_job.guild, phrase="gore")
    submission.submit(make_ask(ended_job.guild, prompt="gore"), now=timezone.now())
    refused = Job.objects.get(status="refused")
    Job.objects.filter(pk=ended_job.pk).update(reserved_gpu_ms=7_200_000)
    asked = run_on_list(moderator_a, "job", "retry_all", ended_job.pk, refused.pk)
    assert "Retry 1 request?" in asked
    assert "$1.05" in asked
    assert "1 request of your selection cannot be retried" in asked
    assert Job.objects.count() == 2
    done = run_on_list(moderator_a, "job", "retry_all", ended_job.pk, refused.pk, sure="yes")
    assert "Retried 1 of 1 request." in done
    assert "None of them can be retried" in run_on_list(moderator_a, "job", "retry_all", refused.pk)
