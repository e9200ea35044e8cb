"""Children end with their parent, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from devtools.processes import Child, ChildFailed, error_in, start, wait_until

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]
PARENT = """
import sys, time
from pathlib import Path
from devtools.processes import Children, interrupt_on_termination
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
            return True  # Ended, but not reaped yet.
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


def run(code: str, tmp_path: Path, *, name: str = "worker") -> Child:
    return start(name, ["-c", code], log=tmp_path / f"{name}.log")


@pytest.fixture
def children():
    started: list[Child] = []
    yield started
    for child in started:
        child.process.kill()
        child.process.wait()


def wait_for(child: Child, *, timeout_s: float = 30) -> str:
    with pytest.raises(ChildFailed) as failed:
        wait_until(lambda: False, children=[child], what="the model", timeout_s=timeout_s)
    assert "\n" not in str(failed.value)
    assert str(child.log.path) in str(failed.value)
    return str(failed.value)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("print('one'); exit('no such model')", "exit status 1): no such model"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL): it wrote nothing"),
        ("print('[2026-11-27 15:44:23 +0000] [7] [ERROR] port in use'); print('Shutting down')", "): port in use"),
        ("raise PermissionError(13, 'Permission denied', '/tmp/x')", "PermissionError: [Errno 13] Permission denied"),
        ("print('FATAL:  database files are incompatible'); print('stopped')", "): database files are incompatible"),
    ],
)
def test_waiting_ends_with_the_last_error_of_a_child_that_ends(code, reason, tmp_path, children):
    children.append(run(code, tmp_path))
    assert reason in wait_for(children[0])


@pytest.mark.parametrize(
    "line",
    [
        '{"level": "ERROR", "event": "heartbeat_failed", "error": "PermissionError", "at": "%s"}',
        '{"level": "WARNING", "event": "heartbeat_missed", "in_a_row": 4, "error": "PermissionError", "at": "%s"}',
        "PermissionError: [Errno 13] heartbeat",
    ],
)
def test_waiting_ends_when_a_living_child_reports_one_error_again_and_again(line, tmp_path, children):
    code = f"import time\nfor n in range(100):\n    print({line!r}.replace('%s', str(n))); time.sleep(0.2)"
    children.append(run(code, tmp_path))
    message = wait_for(children[0])
    assert "the worker keeps failing: " in message
    assert "PermissionError" in message
    assert children[0].process.poll() is None


def test_one_error_is_no_failure_and_a_late_child_is_named_with_it(tmp_path, children):
    line = '{"level": "ERROR", "event": "cache_cold", "error": "KeyError"}'
    children.append(run(f"import time; print({line!r}); time.sleep(600)", tmp_path))
    wait_until(lambda: children[0].log.path.stat().st_size > 0, children=children, what="its line", timeout_s=60)
    message = wait_for(children[0], timeout_s=1)
    assert message.startswith("the model is not ready after 1 s; the worker: cache_cold: KeyError (its log: ")


def test_errors_of_an_earlier_process_with_the_same_log_do_not_count(tmp_path, children):
    (tmp_path / "worker.log").write_text("ValueError: of yesterday\n" * 5)
    children.append(run("exit(3)", tmp_path))
    message = wait_for(children[0])
    assert "exit status 3): it wrote nothing" in message


def test_a_line_that_only_mentions_an_error_is_none():
    assert error_in('{"level": "INFO", "event": "job_failed", "error": "no"}') == ""
    assert error_in("[INFO] no error so far") == ""
    assert error_in("{half a line of JSON ERROR") == ""
