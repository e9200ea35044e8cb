"""What an operator reads about a repository on Hugging Face, from the Hub's own form of answer."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_httpserver import HTTPServer

from gpu_worker.families.registry import BY_STEP_PIPELINES
from gpu_worker.whole_call_pipelines import WHOLE_CALL_PIPELINES
from guilds import hugging_face, model_inspection
from guilds.model_families import FAMILIES, family_of_pipeline
from guilds.model_inspection import NotServed

GB = 10**9


def described(
    pipeline: str | None = "FluxPipeline", *, weights: str = "safetensors", tags: tuple[str, ...] = (), **more: Any
) -> dict[str, Any]:
    """A repository as `/api/models/owner/name?blobs=true` describes it."""
    files = {"README.md": 100, f"transformer/model.{weights}": 24 * GB, f"text_encoder/model.{weights}": 10 * GB}
    if pipeline:
        files["model_index.json"] = 500
    return {
        "id": "owner/name",
        "siblings": [{"rfilename": path, "size": size} for path, size in files.items()],
        "config": {"diffusers": {"_class_name": pipeline}} if pipeline else {},
        "tags": ["diffusers", *tags],
        "gated": False,
        **more,
    }


@pytest.fixture
def ask(httpserver: HTTPServer) -> Any:
    def ask(answer: Any, *, status: int = 200, source: str = "owner/name") -> model_inspection.Inspection:
        handler = httpserver.expect_request("/api/models/owner/name", query_string={"blobs": "true"})
        if isinstance(answer, str):
            handler.respond_with_data(answer, status=status)
        else:
            handler.respond_with_json(answer, status=status)
        return model_inspection.inspect(hugging_face.read(source, hub=httpserver.url_for("").rstrip("/")))

    return ask


def test_a_pipeline_is_described_by_family_licence_access_and_memory(ask: Any) -> None:
    found = ask(described(tags=("license:apache-2.0",), gated="auto"))
    assert (found.family.slug, found.licence, found.is_gated) == ("flux", "apache-2.0", True)
    assert found.needed_gb == pytest.approx(36.5)
    assert dict(found.cards) == {"g4dn": "no", "g5": "with int8 weights", "g6": "with int8 weights", "g6e": "yes"}


def test_the_name_of_a_licence_of_its_own_is_preferred(ask: Any) -> None:
    found = ask(described(tags=("license:other",), cardData={"license": "other", "license_name": "flux-1-dev"}))
    assert found.licence == "flux-1-dev"


@pytest.mark.parametrize(
    ("answer", "status", "sentence"),
    [
        ("Invalid username or password.", 401, "does not exist on Hugging Face, or it is private"),
        ("", 404, "does not exist"),
        ("", 403, "is gated. Accept its licence"),
        ("", 500, "answers with status 500"),
        ("<html>", 200, "in an unknown form"),
        ([], 200, "in an unknown form"),
        (described(None, tags=("lora",)), 200, "is a LoRA, not a model. Add it under LoRAs"),
        (described(None), 200, "holds no diffusers pipeline"),
        (described("WanPipeline"), 200, "is a WanPipeline, which workers do not serve"),
        (described(weights="bin"), 200, "has only .bin files"),
        (described(weights="gguf"), 200, "has no weights"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_sentence(ask: Any, answer: Any, status: int, sentence: str) -> None:
    with pytest.raises(NotServed, match=sentence):
        ask(answer, status=status)


@pytest.mark.parametrize(
    "source", ["flux", "a/b/c", "../../etc", "owner/..", "a b/c", "https://huggingface.co/a/b", ""]
)
def test_only_an_id_is_asked_for(source: str) -> None:
    with pytest.raises(NotServed, match="Write it like owner/name"):
        hugging_face.read(source, hub="http://127.0.0.1:9")


def test_a_hub_that_is_away_is_said_in_a_sentence() -> None:
    with pytest.raises(NotServed, match="Hugging Face does not answer"):
        hugging_face.read("owner/name", hub="http://127.0.0.1:9")


def test_the_worker_serves_the_pipelines_of_the_families_and_no_others() -> None:
    known = [name for family in FAMILIES.values() for name in family.pipelines]
    assert len(known) == len(set(known)), "a pipeline belongs to one family"
    assert set(known) == BY_STEP_PIPELINES | WHOLE_CALL_PIPELINES
    assert family_of_pipeline("WanPipeline") is None
