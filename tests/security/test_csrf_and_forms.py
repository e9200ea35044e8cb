"""A form accepts only its own fields; others change nothing (mass assignment)."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.forms.models import model_to_dict
from django.test import Client
from django.utils import timezone

from guilds.models import Guild, Staff
from jobs import submission
from jobs.models import Job
from tests.admin.conftest import MODERATOR_A

pytestmark = pytest.mark.django_db


def shown_fields(client: Client, page: str) -> dict[str, Any]:
    """What a browser would send back from the page's form, unchanged."""
    form = client.get(page).context["adminform"].form
    values = {name: form[name].value() for name in form.fields}
    formsets = client.get(page).context["inline_admin_formsets"]
    for formset in formsets:
        prefix = formset.formset.prefix
        values |= {f"{prefix}-TOTAL_FORMS": 0, f"{prefix}-INITIAL_FORMS": 0}
    return {name: "" if value is None else value for name, value in values.items() if value is not False}


def test_a_moderator_sets_nothing_that_the_form_does_not_offer(moderator_a: Client, guild_a: Guild) -> None:
    page = f"/admin/guilds/guild/{guild_a.pk}/change/"
    before = model_to_dict(Guild.objects.get(pk=guild_a.pk)) | {"installed_at": guild_a.installed_at}
    smuggled = {
        "id": 1, "owner_id": MODERATOR_A, "left_at": "2020-01-01", "installed_at": "2020-01-01", "name": "Mine",
        "icon": "x", "concurrency": 9999, "monthly_budget_gpu_seconds": 10**9,
    }  # fmt: skip
    answer = moderator_a.post(page, shown_fields(moderator_a, page) | smuggled | {"max_images": 3})
    assert answer.status_code == 302, answer.context["adminform"].form.errors if answer.context else answer
    guild = Guild.objects.get(pk=guild_a.pk)
    assert guild.max_images == 3, "what the form offers is taken"
    for field in smuggled:
        assert getattr(guild, field) == before.get(field, getattr(guild_a, field)), field
    assert not Guild.objects.filter(pk=1).exists()


def test_no_form_writes_a_requests_status_or_its_counters(
    moderator_a: Client, guild_a: Guild, make_ask: Any, now: Any
) -> None:
    job = submission.submit(make_ask(guild_a), now=now).job
    before = Job.objects.filter(pk=job.pk).values().get()
    page = f"/admin/jobs/job/{job.pk}/change/"
    moderator_a.post(page, {"status": "completed", "user_id": 1, "reserved_images": 0, "prompt": "other", "count": 99})
    assert Job.objects.filter(pk=job.pk).values().get() == before


def test_signing_in_makes_nobody_staff_whatever_is_sent(nobody: Client) -> None:
    for path in ("/", "/data/", "/data/delete/", "/accounts/login/"):
        nobody.post(path, {"is_staff": "1", "is_superuser": "1", "role": "owner", "guild": "1"})
    assert not User.objects.filter(is_staff=True).exists()
    assert not Staff.objects.exists()


def test_a_staff_row_cannot_be_made_by_a_moderator(moderator_a: Client, guild_b: Guild) -> None:
    sent = {"guild": guild_b.pk, "user_id": MODERATOR_A, "role": "owner", "synced_at": timezone.now().isoformat()}
    assert moderator_a.post("/admin/guilds/staff/add/", sent).status_code in {302, 403, 404}
    assert not Staff.objects.filter(guild=guild_b).exists()
