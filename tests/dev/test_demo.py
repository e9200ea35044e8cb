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

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(make_folder):
    return make_folder("demo")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "sparkle_site.local.demo", *arguments]


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
        timeout=180,
        check=False,
    )


def test_once_makes_a_grid_and_says_so_in_json(folder, tmp_path):
    done = demo(folder, "--once", "a red circle", "--out", "picture.png", "--seed", "7", "--count", "4", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert report.keys() == {"job_id", "status", "seed", "seconds", "images"}
    assert (report["status"], report["seed"], report["images"]) == ("completed", 7, ["picture.png"])
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.format == "PNG"
        assert picture.width == picture.height


def test_the_same_seed_gives_the_same_pictures(folder, tmp_path):
    for name in ("one.png", "two.png"):
        done = demo(folder, "--once", "a house", "--seed", "3", "--count", "1", "--out", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        assert one.tobytes() == two.tobytes()


def test_once_refused_gives_the_reason_and_exit_status_1(folder, tmp_path):
    done = demo(folder, "--once", "a red circle", "--steps", "9999", "--out", str(tmp_path / "none.png"))
    assert done.returncode == 1
    assert "steps" in done.stderr.splitlines()[-1]
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["status"], report["images"]) == ("refused", [])
    assert not (tmp_path / "none.png").exists()


def test_a_place_that_cannot_be_written_is_said_before_anything_starts(folder, tmp_path):
    done = demo(folder, "--once", "a red circle", "--out", str(tmp_path / "no" / "folder.png"))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "there is no folder" in done.stderr


def test_a_model_that_is_not_there_is_named(folder):
    done = demo(folder, "--once", "a red circle", SPARKLE_ENGINE="diffusers", MODEL_ID=str(folder / "no-model"))
    assert done.returncode == 1
    assert "no-model" in done.stderr
    assert "cannot be loaded" in done.stderr


def test_a_taken_port_gets_one_line_with_a_free_one(folder):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = demo(folder, "--port", str(port))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"port {port} is taken" in done.stderr
    assert "--port" in done.stderr


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
        assert "user admin, password" in "".join(seen)
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
