"""What a worker's environment sees: its health, its exit status, its scale-in protection."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from gpu_worker import health
from gpu_worker.heartbeat import HeartbeatThread
from gpu_worker.scale_in_protection import PROTECTION_MINUTES, RENEW_S, ScaleInProtection
from gpu_worker.watchdog import Stuck
from jobs.models import Worker

ROOT = Path(__file__).resolve().parents[2]


def _agent(asked: list[dict[str, Any]], status: int = 200, body: dict[str, Any] | None = None) -> httpx.Client:
    def answer(request: httpx.Request) -> httpx.Response:
        assert (request.method, request.url.path) == ("PUT", "/agent/task-protection/v1/state")
        asked.append(json.loads(request.content))
        return httpx.Response(status, json=body or {})

    return httpx.Client(transport=httpx.MockTransport(answer))


def test_a_busy_task_requests_protection_once_renews_it_and_ends_it() -> None:
    asked: list[dict[str, Any]] = []
    protection = ScaleInProtection("http://169.254.170.2/agent", http=_agent(asked))
    for busy, now in [(False, 0.0), (True, 1.0), (True, 2.0), (True, 1.0 + RENEW_S), (False, 700.0), (False, 701.0)]:
        protection.set_busy(busy, now=now)
    on = {"ProtectionEnabled": True, "ExpiresInMinutes": PROTECTION_MINUTES}
    assert asked == [on, on, {"ProtectionEnabled": False}]


def test_a_refused_request_for_protection_is_repeated() -> None:
    asked: list[dict[str, Any]] = []
    protection = ScaleInProtection("http://169.254.170.2/agent", http=_agent(asked, status=500))
    protection.set_busy(True, now=1.0)
    protection.set_busy(True, now=2.0)
    assert len(asked) == 2


def test_a_refusal_with_status_200_counts_as_a_refusal(caplog: pytest.LogCaptureFixture) -> None:
    """The agent passes ECS's refusal on as the body of a successful answer."""
    asked: list[dict[str, Any]] = []
    refusal = {"failure": {"Arn": "arn:aws:ecs:task", "Detail": None, "Reason": "TASK_NOT_VALID"}}
    protection = ScaleInProtection("http://169.254.170.2/agent", http=_agent(asked, body=refusal))
    protection.set_busy(True, now=1.0)
    protection.set_busy(True, now=2.0)
    assert len(asked) == 2
    assert [getattr(record, "error", "") for record in caplog.records] == ["TASK_NOT_VALID"] * 2


def test_a_worker_is_healthy_while_its_file_is_fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "healthy"
    monkeypatch.setenv(health.VARIABLE, str(file))
    assert not health.is_healthy(now=0)
    health.mark_healthy()
    written = file.stat().st_mtime
    assert health.is_healthy(now=written + 1)
    assert not health.is_healthy(now=written + health.FRESH_S + 1)
    os.utime(file, (0, 0))
    health.mark_healthy()
    assert file.stat().st_mtime >= written


def test_a_worker_without_a_configured_file_writes_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(health.VARIABLE, raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    health.mark_healthy()
    assert list(tmp_path.iterdir()) == []
    assert not health.is_healthy(now=0)


def test_a_symbolic_link_as_health_file_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim, link, dangling = tmp_path / "victim", tmp_path / "link", tmp_path / "dangling"
    victim.write_text("kept")
    os.utime(victim, (1, 1))
    link.symlink_to(victim)
    dangling.symlink_to(tmp_path / "made")
    for path in (link, dangling):
        monkeypatch.setenv(health.VARIABLE, str(path))
        with pytest.raises(OSError, match="symbolic links"):
            health.mark_healthy()
        assert not health.is_healthy(now=1)
    assert (victim.read_text(), victim.stat().st_mtime) == ("kept", 1)
    assert not (tmp_path / "made").exists()


class _IdleRunner:
    jobs_done = 0
    is_draining = False
    active_ids: frozenset[int] = frozenset()

    def find_stuck(self) -> tuple[Stuck, ...]:
        return ()


@pytest.mark.django_db
def test_a_health_file_that_cannot_be_written_stops_no_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(health.VARIABLE, str(tmp_path / "no-such-folder" / "healthy"))
    heart = HeartbeatThread(worker_id="w", protection=ScaleInProtection(""))
    with caplog.at_level("ERROR"):
        heart._beat(_IdleRunner())
        heart._beat(_IdleRunner())
    assert Worker.objects.get(pk="w").state == Worker.State.READY
    assert [record.message for record in caplog.records] == ["health_file_not_written"]


def _start(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    defaults = {
        "DJANGO_SETTINGS_MODULE": "sparkle_site.settings.headless",
        "DJANGO_SECRET_KEY": "x" * 50,
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
        "AWS_DEFAULT_REGION": "us-east-1",
        "SPARKLE_HEALTH_FILE": str(tmp_path / "note"),
    }
    return subprocess.run(
        [sys.executable, "-m", "gpu_worker"],
        env=os.environ | defaults | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.processes
def test_a_missing_model_folder_stops_the_start_with_one_clear_line(tmp_path: Path) -> None:
    done = _start(tmp_path, MODEL_ID=str(tmp_path / "no-model"))
    assert done.returncode == 2
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    (error,) = [line for line in lines if line["level"] == "ERROR"]
    assert error["event"] == "model_unavailable"
    assert "no model_index.json" in error["why"]
    assert "Traceback" not in done.stderr


@pytest.mark.processes
def test_an_unknown_engine_stops_the_start(tmp_path: Path) -> None:
    done = _start(tmp_path, SPARKLE_ENGINE="steam")
    assert done.returncode == 2
    assert "write diffusers or noise" in done.stderr


@pytest.mark.processes
def test_a_missing_secret_stops_the_start_with_one_line_that_names_it(tmp_path: Path) -> None:
    done = _start(tmp_path, DJANGO_SECRET_KEY="")
    assert done.returncode == 2
    assert done.stderr.startswith("DJANGO_SECRET_KEY is not set")


@pytest.mark.processes
def test_credentials_that_cannot_sign_stop_the_start_with_one_line(tmp_path: Path) -> None:
    done = _start(tmp_path, SPARKLE_ENGINE="noise", SPARKLE_C2PA_KEY="planted-secret")
    assert done.returncode == 2
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    (error,) = [line for line in lines if line["level"] == "ERROR"]
    assert (error["event"], "set both or none" in error["why"]) == ("settings_wrong", True)
    assert "planted-secret" not in done.stderr
    assert "Traceback" not in done.stderr
