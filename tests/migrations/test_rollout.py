"""A new version is rolled out while the old one works: each way round, on real processes' code and one database."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from devtools.embedded_postgres import ensure

from .release import ROOT, environment, take

pytestmark = [pytest.mark.slow, pytest.mark.processes]

MIGRATE = """
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
"""
# A database that was migrated to an earlier state knows nothing of later migrations.
FORGET_A_MIGRATION = """
import django; django.setup()
from django.db.migrations.recorder import MigrationRecorder
assert MigrationRecorder.Migration.objects.filter(app="jobs").delete()[0]
"""
HEAD = """
import django; django.setup()
from datetime import UTC, datetime
from guilds.models import Guild
from jobs import submission, transitions
from jobs.submission import JobRequest
from jobs.transitions import StoredImage
from jobs.models import Job
from guilds.generation_params import RequestedParams
now = datetime(2026, 11, 23, 12, tzinfo=UTC)
Guild.objects.get_or_create(pk=1234, defaults=dict(name="Home"))
"""
SUBMIT = (
    HEAD
    + """
ask = JobRequest(interaction_id=NUMBER, application_id=1, token="the token", guild_id=1234, channel_id=7, user_id=42,
          params=RequestedParams(prompt="a fox", count=2))
assert submission.submit(ask, now=now).job.status == "queued"
"""
)
WORK = (
    HEAD
    + """
job = transitions.claim(Job.objects.get(interaction_id=NUMBER).pk, worker_id="w", now=now)
assert (job.prompt, job.token, job.count) == ("a fox", "the token", 2), "what was asked arrives as it was asked"
transitions.record_progress(job.pk, worker_id="w", step=1, total=8, now=now)
made = [StoredImage(index=n, key=f"{job.pk}-{n}", seed=job.seed + n, width=8, height=8, bytes=1) for n in range(2)]
assert transitions.record_images(job.pk, worker_id="w", images=made, grid_key="g", gpu_ms=5, now=now)
assert transitions.complete(job.pk, worker_id="w", delivered_via="original", message_id=9, now=now)
transitions.mark_notified(job.pk, via="original", message_id=9, now=now)
"""
)
LOOK = (
    HEAD
    + """
job = Job.objects.get(interaction_id=NUMBER)
assert (job.status, job.images.count(), bytes(job.encrypted_token)) == ("completed", 2, b"")
from guilds.models import Usage
assert set(Usage.objects.filter(subject_id=42).values_list("images", flat=True)) == {2 * NUMBER}
"""
)


@pytest.fixture(scope="module")
def old(make_folder: Callable[[str], Path]) -> Path:
    return take(make_folder("release"))


@pytest.fixture
def scratch(make_folder: Callable[[str], Path]) -> Path:
    return make_folder("rollout")


def run(code: Path, url: str, story: str, *, number: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", story.replace("NUMBER", str(number))],
        cwd=code,
        env=environment(code, url),
        capture_output=True,
        text=True,
        check=False,
    )


def went_well(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr[-2000:]


def test_the_old_code_works_on_the_new_schema_beside_the_new(old: Path, scratch: Path) -> None:
    """First the database is migrated, then processes are replaced one by one: every mixture of the two works."""
    with ensure(scratch) as url:
        went_well(run(old, url, MIGRATE))
        # A request that was accepted before the migration is made and told after it.
        went_well(run(old, url, SUBMIT, number=1))
        went_well(run(ROOT, url, MIGRATE))
        went_well(run(ROOT, url, WORK, number=1))
        went_well(run(ROOT, url, LOOK, number=1))
        ways = [(old, old), (old, ROOT), (ROOT, old)]
        for number, (asks, makes) in enumerate(ways, start=2):
            went_well(run(asks, url, SUBMIT, number=number))
            went_well(run(makes, url, WORK, number=number))
            went_well(run(old, url, LOOK, number=number))
            went_well(run(ROOT, url, LOOK, number=number))


def test_the_new_worker_on_the_old_schema_refuses_to_start_in_one_sentence(old: Path, scratch: Path) -> None:
    with ensure(scratch) as url:
        went_well(run(old, url, MIGRATE))
        went_well(run(old, url, FORGET_A_MIGRATION))
        done = subprocess.run(
            [sys.executable, "-m", "gpu_worker"],
            cwd=ROOT,
            env=environment(ROOT, url) | {"SPARKLE_ENGINE": "noise", "DISCORD_APPLICATION_ID": "1"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 2
        [sentence] = [line for line in done.stderr.splitlines() if not line.startswith("{")]
        assert sentence.startswith("The database is older than this worker: migrate it first. It lacks ")
        assert "jobs.0001_initial" in sentence
        # And what was there is untouched: the old code goes on.
        went_well(run(old, url, SUBMIT, number=1))
        went_well(run(old, url, WORK, number=1))


def test_a_fleet_of_both_versions_loses_nothing(old: Path, tmp_path: Path) -> None:
    """Real ingress, workers and upkeep, half of them of the last release, over SQS's protocol and the simulator."""
    result = tmp_path / "chaos.json"
    options = ["--jobs", "16", "--faults", "0", "--rate", "2", "--release", str(old), "--json", str(result)]
    done = subprocess.run(
        [sys.executable, "-m", "devtools.chaos", *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, "\n".join(line for line in done.stderr.splitlines() if not line.startswith("{"))
    told = json.loads(result.read_text())
    # Where the machine is too busy to answer within Discord's 3 s, a request is not accepted.
    accepted = told["answers"]["accepted"]
    assert told["ended"]["completed"] >= accepted > 0, told["answers"]
    assert all(invariant["holds"] for invariant in told["invariants"])
