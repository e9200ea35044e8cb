"""Children end with their parent, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARENT = """
import sys, time
from pathlib import Path
from sparkle_site.local.processes import Children, interrupt_on_termination
interrupt_on_termination()
try:
    with Children(Path(sys.argv[1])) as children:
        children.start("server", "http.server", "0", "--bind", "127.0.0.1")
        print(children.pids()[0], flush=True)
        time.sleep(600)
except KeyboardInterrupt:
    sys.exit(130)
"""


def gone(pid: int, *, within_s: float = 30) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        status = Path(f"/proc/{pid}/stat")
        if status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True  # Ended; whoever adopted it has not looked yet.
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_children_end_when_their_parent_does(number, tmp_path):
    if number == signal.SIGKILL and sys.platform != "linux":
        pytest.skip("only Linux tells a child of its parent's death")
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    child = int(parent.stdout.readline())
    os.kill(child, 0)
    parent.send_signal(number)
    assert parent.wait(30) == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    assert gone(child)
    parent.stdout.close()


def test_a_child_that_ends_by_itself_is_noticed_with_its_last_words(tmp_path):
    from sparkle_site.local.processes import Child

    log = tmp_path / "broken.log"
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-c", "print('one'); exit('no such model')"], stderr=output)
    process.wait(30)
    assert Child(name="broken", log=log, process=process).last_words() == "no such model"
