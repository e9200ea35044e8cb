"""How often a request is tried, whichever way its attempts end."""

from datetime import timedelta

import pytest

from jobs import submission, transitions
from jobs.job_status import Status
from jobs.models import Job

pytestmark = pytest.mark.django_db


def engine_fails(job, *, now):
    transitions.fail(job.pk, worker_id=job.worker_id, reason="engine_failed", permanent=False, now=now)


def upkeep_takes_it_back(job, *, now):
    transitions.reclaim(job, now=now)


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("end", [engine_fails, upkeep_takes_it_back])
def test_a_request_is_tried_as_often_as_the_limit_says_and_then_fails(make_guild, make_ask, now, settings, limit, end):
    settings.SPARKLE_MAX_ATTEMPTS = limit
    job = submission.submit(make_ask(make_guild()), now=now).job
    tried = 0
    while claimed := transitions.claim(job.pk, worker_id="w", now=now):
        tried += 1
        assert claimed.attempts == tried
        end(claimed, now=now)
    assert tried == limit
    assert Job.objects.get().status == Status.FAILED


@pytest.mark.parametrize(("limit", "status"), [(1, Status.FAILED), (2, Status.RUNNING)])
def test_a_job_with_an_expired_lease_is_taken_over_while_attempts_are_left(
    make_guild, make_ask, now, settings, limit, status
):
    settings.SPARKLE_MAX_ATTEMPTS = limit
    job = submission.submit(make_ask(make_guild()), now=now).job
    assert transitions.claim(job.pk, worker_id="w", now=now)
    transitions.claim(job.pk, worker_id="another", now=now + timedelta(minutes=5))
    job.refresh_from_db()
    assert (job.status, job.attempts) == (status, limit)


def test_a_lease_is_valid_until_its_last_moment(make_guild, make_ask, now, settings):
    job = submission.submit(make_ask(make_guild()), now=now).job
    assert transitions.claim(job.pk, worker_id="w", now=now)
    ends = now + timedelta(seconds=settings.SPARKLE_LEASE_SECONDS)
    assert transitions.claim(job.pk, worker_id="another", now=ends) is None
    assert transitions.claim(job.pk, worker_id="another", now=ends + timedelta(microseconds=1)).worker_id == "another"
