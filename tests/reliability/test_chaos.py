import json
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from devtools.chaos import example_guilds, fault_plan
from devtools.chaos.fault_plan import Kind
from devtools.chaos.invariants import Observed, check
from devtools.chaos.tcp_proxy import Proxy


def test_the_same_seed_plans_the_same_faults():
    first = fault_plan.draw(7, jobs=500, faults=60, workers=3)
    assert first == fault_plan.draw(7, jobs=500, faults=60, workers=3)
    assert first != fault_plan.draw(8, jobs=500, faults=60, workers=3)
    assert {fault.kind for fault in first} == set(Kind)


def test_discord_is_down_once_in_a_run():
    drawn = fault_plan.draw(7, jobs=5000, faults=600, workers=3)
    assert [fault.kind for fault in drawn].count(Kind.DISCORD_DOWN) == 1


def _forwards(proxy: Proxy, upstream: socket.socket, *, within_s: float) -> bool:
    upstream.settimeout(within_s)
    try:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5):
            upstream.accept()[0].close()
    except OSError:
        # A reset may come while the connection is made.
        return False
    return True


def test_a_cut_for_a_time_outlasts_the_end_of_a_shorter_one():
    with socket.create_server(("127.0.0.1", 0)) as upstream:
        proxy = Proxy(upstream.getsockname()[1])
        proxy.cut_for(600)
        proxy.cut()
        proxy.restore()
        assert not _forwards(proxy, upstream, within_s=0.5)
        proxy.cut_for(0.1)
        time.sleep(proxy.down_s)
        assert _forwards(proxy, upstream, within_s=60)
        proxy.close()


def _job(server: example_guilds.Server, **fields: Any) -> dict[str, Any]:
    row = {
        "id": 1,
        "interaction_id": 11,
        "guild_id": server.id,
        "user_id": server.member_ids[0],
        "created_at": datetime(2026, 11, 27, 12, tzinfo=UTC),
        "notified_at": datetime(2026, 11, 27, 12, 1, tzinfo=UTC),
        "settled_at": datetime(2026, 11, 27, 12, 1, tzinfo=UTC),
        "lease_expires_at": None,
        "encrypted_token": b"",
        "message_id": None,
        "prompt": "a fox",
        "status": "completed",
        "reason": "",
        "delivered_via": "gallery",
        "count": 4,
        "seed": 7,
        "gpu_ms": 0,
        "grid_key": "grid",
    }
    return row | fields


def _broken(tmp_path: Any, jobs: list[dict[str, Any]], observed: Observed, *, images: bool = True) -> set[str]:
    (tmp_path / "grid").touch()
    made = [
        {"job_id": job["id"], "index": number, "seed": 7 + number, "key": "grid"}
        for job in jobs
        for number in range(job["count"] if images and job["status"] == "completed" else 0)
    ]
    ends = [{"job_id": job["id"], "n": 1} for job in jobs]
    found = check(
        accepted=set(),
        platform={"jobs": jobs, "images": made, "usage": [], "ends": ends},
        messages=[],
        media=tmp_path,
        dead_letters=[],
        logs=tmp_path,
        secrets=[],
        observed=observed,
    )
    return {invariant.name for invariant in found if not invariant.holds}


CLOSED_AT = datetime(2026, 11, 27, 11, tzinfo=UTC)
UNDELIVERED = "where nothing can be delivered, images are kept in the gallery and other ends have a reason"


@pytest.mark.parametrize(
    ("fields", "broken"),
    [
        ({}, set()),
        ({"notified_at": None}, {UNDELIVERED}),
        ({"status": "failed", "reason": "engine_failed"}, set()),
        ({"status": "failed", "reason": ""}, {UNDELIVERED}),
    ],
)
def test_ends_in_a_closed_server_are_kept_or_explained(tmp_path: Any, fields: dict[str, Any], broken: set[str]):
    found = _broken(tmp_path, [_job(example_guilds.CLOSED, **fields)], Observed(closed_at=CLOSED_AT))
    assert found - {"every other request was made, or cancelled"} == broken


def test_an_end_that_stays_in_the_gallery_of_another_server_is_found(tmp_path: Any):
    found = _broken(tmp_path, [_job(example_guilds.OLD)], Observed(closed_at=CLOSED_AT))
    assert found == {"only where nothing can be delivered, an end stayed in the gallery"}


@pytest.mark.parametrize(
    ("counts", "same_member", "exceeded"),
    [([4, 4, 4], True, False), ([4, 4, 4, 1], True, True), ([4] * 5, False, False), ([4] * 6, False, True)],
)
def test_quotas_that_start_over_are_found(tmp_path: Any, counts: list[int], same_member: bool, exceeded: bool):
    server = example_guilds.LIMITED
    jobs = [
        _job(
            server,
            id=number,
            interaction_id=number,
            count=count,
            user_id=server.member_ids[0 if same_member else number % 2],
            delivered_via="original",
        )
        for number, count in enumerate(counts)
    ]
    name = "no quota was exceeded across a month or a time zone"
    assert (name in _broken(tmp_path, jobs, Observed())) == exceeded


def test_what_was_observed_is_judged(tmp_path: Any):
    observed = Observed(most_active=[1, 2], erased_in_outage=[True, False])
    assert _broken(tmp_path, [], observed) == {
        "one request at a time on both sides of a month's boundary",
        "upkeep erased what was due while Discord was down",
    }


@pytest.mark.slow
@pytest.mark.processes
def test_a_short_run_of_chaos_loses_nothing(tmp_path):
    result = tmp_path / "chaos.json"
    options = ["--jobs", "40", "--rate", "4", "--seed", "3", "--discord-down", "60", "--json", str(result)]
    done = subprocess.run(
        [sys.executable, "-m", "devtools.chaos", *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, "\n".join(line for line in done.stderr.splitlines() if not line.startswith("{"))
    told = json.loads(result.read_text())
    assert told["answers"].get("accepted", 0) > 0
    assert set(told["faults"]) == set(Kind)
    assert all(invariant["holds"] for invariant in told["invariants"])
