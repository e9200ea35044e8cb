import json
import subprocess
import sys

import pytest

from sparkle_site.local.chaos import plan
from sparkle_site.local.chaos.plan import Kind


def test_the_same_seed_plans_the_same_faults():
    first = plan.draw(7, jobs=500, faults=60, workers=3)
    assert first == plan.draw(7, jobs=500, faults=60, workers=3)
    assert first != plan.draw(8, jobs=500, faults=60, workers=3)
    assert {fault.kind for fault in first} == set(Kind)


@pytest.mark.slow
def test_a_short_run_of_chaos_loses_nothing(tmp_path):
    result = tmp_path / "chaos.json"
    options = ["--jobs", "40", "--faults", "9", "--rate", "4", "--seed", "3", "--json", str(result)]
    done = subprocess.run(
        [sys.executable, "-m", "sparkle_site.local.chaos", *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, "\n".join(line for line in done.stderr.splitlines() if not line.startswith("{"))
    told = json.loads(result.read_text())
    assert told["answers"].get("accepted", 0) > 0
    assert sum(told["faults"].values()) == 9
    assert all(invariant["holds"] for invariant in told["invariants"])
