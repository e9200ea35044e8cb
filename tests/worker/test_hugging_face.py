"""Adapters from Hugging Face: the one file of a repository, within bounds, and downloaded once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pytest_httpserver import HTTPServer

from gpu_worker.adapters import hugging_face
from gpu_worker.adapters.errors import AdapterUnavailable
from guilds.adapter_files import MAX_FILE_BYTES

COMMIT = "a" * 40


@pytest.fixture
def client(httpserver: HTTPServer) -> Iterator[httpx.Client]:
    with hugging_face.new_client(httpserver.url_for("")) as opened:
        yield opened


def _serve(httpserver: HTTPServer, **sizes: int) -> None:
    siblings = [{"rfilename": name.replace("__", "."), "size": size} for name, size in sizes.items()]
    httpserver.expect_request("/api/models/ada/night").respond_with_json({"sha": COMMIT, "siblings": siblings})


def test_the_only_file_is_downloaded_once(httpserver: HTTPServer, client: httpx.Client, tmp_path: Path) -> None:
    _serve(httpserver, README__md=10, night__safetensors=5)
    httpserver.expect_oneshot_request(f"/ada/night/resolve/{COMMIT}/night.safetensors").respond_with_data(b"12345")
    path = hugging_face.download("ada/night", tmp_path, client=client)
    assert path.read_bytes() == b"12345"
    assert hugging_face.download("ada/night/night.safetensors", tmp_path, client=client) == path


@pytest.mark.parametrize(
    ("sizes", "source", "says"),
    [
        ({"a__safetensors": 1, "b__safetensors": 1}, "ada/night", "write ada/night/a.safetensors, for example"),
        ({"model__bin": 1}, "ada/night", "no safetensors file"),
        ({"a__safetensors": 2 * MAX_FILE_BYTES}, "ada/night", "too large"),
        ({}, "ada/other", "does not exist or is gated"),
        ({"a__safetensors": 1}, "ada/night/b.safetensors", "does not exist or is gated"),
    ],
)
def test_what_cannot_be_downloaded_is_said_once_and_for_all(
    httpserver: HTTPServer, client: httpx.Client, tmp_path: Path, sizes: dict[str, int], source: str, says: str
) -> None:
    _serve(httpserver, **sizes)
    httpserver.expect_request("/api/models/ada/other").respond_with_data(status=401)
    httpserver.expect_request(f"/ada/night/resolve/{COMMIT}/b.safetensors").respond_with_data(status=404)
    with pytest.raises(AdapterUnavailable, match=says) as caught:
        hugging_face.download(source, tmp_path, client=client)
    assert caught.value.permanent
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_larger_than_announced_is_stopped(
    httpserver: HTTPServer, client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hugging_face, "MAX_FILE_BYTES", 1000)
    _serve(httpserver, a__safetensors=5)
    httpserver.expect_request(f"/ada/night/resolve/{COMMIT}/a.safetensors").respond_with_data(bytes(2000))
    with pytest.raises(AdapterUnavailable, match="too large"):
        hugging_face.download("ada/night", tmp_path, client=client)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("answer", [{"sha": "../..", "siblings": []}, {"siblings": []}, [], {"sha": COMMIT}])
def test_an_answer_that_makes_no_sense_can_be_tried_again(
    httpserver: HTTPServer, client: httpx.Client, tmp_path: Path, answer: Any
) -> None:
    httpserver.expect_request("/api/models/ada/night").respond_with_json(answer)
    with pytest.raises(AdapterUnavailable) as caught:
        hugging_face.download("ada/night", tmp_path, client=client)
    assert not caught.value.permanent
