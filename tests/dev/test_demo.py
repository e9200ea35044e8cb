"""`./dev demo` from the outside: its processes are the real ones, only the model is noise, to be quick."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest
from PIL import Image

from devtools.embedded_postgres import ensure

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]
# Python imports it at its start; the heartbeat's module is changed when the worker imports it.
BREAK_HEARTBEAT = """
import sys
if "worker" in sys.argv:
    import builtins
    real = builtins.__import__
    def fail(self, runner):
        raise PermissionError(13, "not yours")
    def patched(*args, **kwargs):
        module = real(*args, **kwargs)
        heartbeat = sys.modules.get("gpu_worker.heartbeat")
        if heartbeat is not None and hasattr(heartbeat, "HeartbeatThread"):
            heartbeat.HeartbeatThread._beat = fail
        return module
    builtins.__import__ = patched
"""


@pytest.fixture(scope="module")
def folder(make_folder):
    return make_folder("demo")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "devtools.demo.main", *arguments]


def environment(folder: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "DJANGO_SETTINGS_MODULE")}
    return kept | {"SPARKLE_LOCAL_DIR": str(folder), "SPARKLE_ENGINE": "noise", "PYTHONPATH": str(ROOT)} | more


def demo(folder: Path, *arguments: str, cwd: Path = ROOT, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(folder, **more),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_once_makes_a_grid_and_says_so_in_json(folder, tmp_path):
    done = demo(folder, "--once", "a red circle", "--out", "image.png", "--seed", "7", "--count", "4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report.keys() == {"job_id", "status", "seed", "seconds", "images"}
    assert (report["status"], report["seed"], report["images"]) == ("completed", 7, ["image.png"])
    with Image.open(tmp_path / "image.png") as image:
        assert image.format == "PNG"
        assert image.width == image.height


def test_the_same_seed_gives_the_same_images(folder, tmp_path):
    for name in ("one.png", "two.png"):
        done = demo(folder, "--once", "a house", "--seed", "3", "--count", "1", "--out", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        assert one.tobytes() == two.tobytes()


def test_once_refused_gives_the_reason_and_exit_status_1(folder, tmp_path):
    done = demo(folder, "--once", "a red circle", "--size", "9999x9999", "--out", str(tmp_path / "none.png"))
    assert done.returncode == 1
    assert "512x512" in done.stderr.splitlines()[-1]
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["status"], report["images"]) == ("refused", [])
    assert not (tmp_path / "none.png").exists()


def test_a_prompt_may_begin_with_a_dash(folder, tmp_path):
    done = demo(folder, "--once=-anime", "--count=1", "--out", "image.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "image.png").exists()


def test_a_model_that_cannot_be_loaded_is_named_with_the_reason_and_the_log(folder):
    model = folder / "no-model"
    model.mkdir(exist_ok=True)
    (model / "model_index.json").write_text("{}")
    done = demo(folder, "--once", "a red circle", SPARKLE_ENGINE="diffusers", MODEL_ID=str(model))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("demo: the worker has ended (exit status 1): ")
    assert f"The model {model} cannot be loaded" in last
    assert f"(its log: {folder}/once/logs/worker.log)" in last


def test_a_worker_that_keeps_failing_ends_the_wait_within_seconds(folder):
    """As a health file that another user owns did: the heartbeat failed for ever, and the worker never got ready."""
    broken = folder / "broken"
    broken.mkdir(exist_ok=True)
    (broken / "sitecustomize.py").write_text(BREAK_HEARTBEAT)
    done = demo(folder, "--once", "a red circle", PYTHONPATH=f"{broken}{os.pathsep}{ROOT}")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("demo: the worker keeps failing: heartbeat_failed: PermissionError (its log: ")


def test_a_database_that_cannot_start_ends_with_its_last_error(folder):
    local = folder / "spoilt"
    with ensure(local / "once" / "postgres"):
        pass
    data = next((local / "once" / "postgres").glob("postgres-*/PG_VERSION")).parent
    (data / "postgresql.conf").write_text("no_such_setting = on\n")
    done = demo(local, "--once", "a red circle")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "the embedded PostgreSQL does not start" in last
    assert "no_such_setting" in last or "contains errors" in last
    assert str(data / "server.log") in last


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_the_demo_serves_refuses_a_second_one_and_stops_all_it_started(folder, number):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = subprocess.Popen(
        command("--port", str(port)),
        cwd=ROOT,
        env=environment(folder),
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        seen = []
        while "Ctrl-C" not in (seen[-1] if seen else ""):
            line = running.stdout.readline()
            assert line, "".join(seen)
            seen.append(line)
        assert f"http://127.0.0.1:{port}/simulator/" in "".join(seen)
        assert "user: admin, password: " in "".join(seen)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/admin/login/", timeout=20) as page:
            assert page.status == 200
        second = demo(folder, "--port", str(port))
        assert second.returncode == 1
        assert second.stderr.count("\n") == 1
        assert f"process {running.pid}" in second.stderr
        started = psutil.Process(running.pid).children(recursive=True)
        assert len(started) >= 3
    finally:
        running.send_signal(number)
        status = running.wait(60)
        running.stdout.close()
    assert status == 130
    _, alive = psutil.wait_procs(started, timeout=20)
    assert alive == []
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)
