import json
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.processes
def test_hostile_interactions_find_no_fault(tmp_path):
    result = tmp_path / "fuzz.json"
    options = ["--count", "1500", "--seed", "11", "--json", str(result)]
    done = subprocess.run(
        [sys.executable, "-m", "devtools.fuzz", *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    told = json.loads(result.read_text())
    assert told["faults"] == 0
    # It got past the door: some were accepted, some refused.
    assert told["statuses"]["200"] > 1000
    assert told["jobs"] > 50
