"""A thinned month through the real admission, scaling and transitions: the waits that members are promised and get."""

import pytest

from benchmarks import promises
from benchmarks.policies import sparkle_policy
from benchmarks.real_queue import RealQueue
from jobs.job_status import Status
from jobs.models import Job

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("warm_pool", [0, 1])
def test_members_are_promised_what_they_get(make_guild, warm_pool):
    trace = promises.thinned_month(90, peak=40)
    policy = sparkle_policy(warm_pool=warm_pool, starts_vary=promises.STARTS_VARY)
    # A small server, whose requests wait for each other, and two others.
    guilds = [make_guild(concurrency=2), make_guild(), make_guild()]
    run = RealQueue(trace, policy, guilds=guilds).run()
    kept = promises.judge(run.promises)
    assert run.undelivered == 0
    assert Job.objects.filter(status=Status.COMPLETED).count() == len(trace.arrivals)
    # The first ones are asked before anything was measured.
    assert kept.promises > len(trace.arrivals) - 10
    assert kept.median_error < promises.MEDIAN_ERROR, kept
    assert kept.too_short <= promises.TOO_SHORT, kept


def test_a_promise_is_judged_by_its_relative_error_and_by_whether_it_was_too_short():
    kept = promises.judge([(10.0, 10.0), (12.0, 10.0), (5.0, 10.0), (9.5, 10.0)])
    assert kept == promises.Kept(promises=4, median_error=0.2, too_short=0.25)
