"""An operator adds a model: inspects its repository, chooses from lists, tests it on a worker, and offers it."""

from __future__ import annotations

from typing import Any

import pytest

from guilds.models import ModelProfile
from guilds.policy import Refusal
from jobs import model_tests, transitions
from jobs.dispatch.message import JobMessage
from jobs.job_status import Status
from jobs.models import BY_API, Job
from tests.guilds.test_model_inspection import described
from tests.security.test_csrf_and_forms import shown_fields

pytestmark = pytest.mark.django_db
ADD = "/admin/guilds/modelprofile/add/"
INSPECT = "/admin/model-inspection/"


def form(**fields: Any) -> dict[str, Any]:
    return {
        "slug": "big", "name": "Big", "source": "owner/name", "family": "flux", "default_sampler": "flow_euler",
        "default_steps": "8", "max_steps": "20", "default_guidance": "3.5", "default_size": "1024x1024",
        "more_sizes": ["768x768"], "quantization": "", "step_cache": "", "lora_family": "", "gpu_ms_per_step": "90",
    } | fields  # fmt: skip


def change_of(profile: ModelProfile) -> str:
    return f"/admin/guilds/modelprofile/{profile.pk}/change/"


def address_of_test(profile: ModelProfile) -> str:
    return f"/admin/guilds/modelprofile/{profile.pk}/test/"


@pytest.fixture
def profile(guild_a: Any) -> Any:
    return ModelProfile.objects.get()


@pytest.fixture
def hub(httpserver: Any, settings: Any) -> Any:
    settings.HF_ENDPOINT = httpserver.url_for("").rstrip("/")
    return httpserver


def test_inspect_shows_what_the_repository_holds(operator: Any, hub: Any) -> None:
    hub.expect_request("/api/models/owner/name").respond_with_json(described(tags=("license:<b>mit",)))
    shown = operator.post(INSPECT, {"source": " owner/name "}).content.decode()
    assert 'data-family="flux"' in shown
    for text in ("FLUX.1", "36.5 GB", "With int8 weights", "&lt;b&gt;mit", "Open"):
        assert text in shown
    assert "<b>mit" not in shown


def test_inspect_says_what_is_wrong(operator: Any, hub: Any) -> None:
    hub.expect_request("/api/models/owner/name").respond_with_json(described(None, tags=("lora",)))
    assert "is a LoRA, not a model" in operator.post(INSPECT, {"source": "owner/name"}).content.decode()
    assert "Write the id of a model" in operator.post(INSPECT, {"source": ""}).content.decode()
    assert operator.get(INSPECT).status_code == 405


def test_only_operators_inspect(observer: Any, moderator_a: Any, hub: Any) -> None:
    for client in (observer, moderator_a):
        assert client.post(INSPECT, {"source": "owner/name"}).status_code == 404
    assert not hub.log


def test_a_new_model_is_offered_when_an_operator_enables_it(operator: Any) -> None:
    assert not shown_fields(operator, ADD).get("enabled")
    assert "Estimated GPU time per step (milliseconds)" in operator.get(ADD).content.decode()
    assert operator.post(ADD, form()).status_code == 302
    profile = ModelProfile.objects.get(slug="big")
    assert (profile.enabled, profile.sizes) == (False, ["1024x1024", "768x768"])
    assert shown_fields(operator, change_of(profile))["default_size"] == "1024x1024"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"more_sizes": ["1000x1000x"]}, "is not a size. Write it like 512x512."),
        ({"more_sizes": ["520x520"]}, "for FLUX.1 both sides must be multiples of 16"),
        ({"default_size": "1x1"}, "Select a valid choice"),
        ({"default_sampler": "k_lms"}, "FLUX.1 cannot use the sampler"),
        ({"is_default": "on"}, "is the default model. Open it and take that from it first."),
    ],
)
def test_what_contradicts_the_family_is_said_at_the_field(operator: Any, fields: Any, sentence: str) -> None:
    ModelProfile.objects.exclude(is_default=True).delete()
    page = operator.post(ADD, form(**fields))
    assert page.status_code == 200
    text = page.content.decode().replace("&#x27;", "'")
    assert sentence in text
    assert "one_default_model" not in text
    assert not ModelProfile.objects.filter(slug="big").exists()


def test_a_typed_size_is_kept_in_the_list(operator: Any) -> None:
    assert operator.post(ADD, form(more_sizes=["960x640", "768x768", "1024x1024"])).status_code == 302
    profile = ModelProfile.objects.get(slug="big")
    assert profile.sizes == ["1024x1024", "960x640", "768x768"]
    assert "960 x 640" in operator.get(change_of(profile)).content.decode()


def test_a_test_makes_one_image_that_no_quota_counts(operator: Any, guild_a: Any, profile: Any, now: Any) -> None:
    profile.enabled = False
    profile.save()
    answer = operator.post(
        f"/admin/guilds/modelprofile/{profile.pk}/test/", {"guild": guild_a.pk, "_form_submitted": "on"}, follow=True
    )
    job = Job.objects.get()
    assert f"as request {job}" in answer.content.decode()
    assert (job.guild_id, job.model_id, job.count, job.status) == (guild_a.pk, profile.pk, 1, Status.QUEUED)
    assert (job.application_id, job.ephemeral, job.reserved_images, job.usage_ids) == (BY_API, True, 0, [])
    assert JobMessage.of(job).job_id == job.pk
    assert "is queued" in operator.get(change_of(profile)).content.decode()
    again = model_tests.start(profile, guild_a, now=now)
    assert isinstance(again, Refusal)
    assert again.params == {"id": job.pk}


def test_a_failed_test_says_why_and_a_model_without_a_test_is_offered_with_a_warning(
    operator: Any, guild_a: Any, profile: Any, now: Any
) -> None:
    job = model_tests.start(profile, guild_a, now=now)
    assert isinstance(job, Job)
    assert transitions.cancel(job.pk, by=1, reason="model_unavailable", now=now)
    page = operator.get(change_of(profile)).content.decode()
    assert "made no image: Model not loaded" in page
    assert not model_tests.is_tested(profile)
    shown = form(enabled="on", slug="other", name="Other")
    assert "no worker has tested it" in operator.post(ADD, shown, follow=True).content.decode()
    Job.objects.update(status=Status.COMPLETED)
    assert model_tests.is_tested(profile)
    assert "made an image: the model works" in operator.get(change_of(profile)).content.decode()


def test_moderators_test_no_model(moderator_a: Any, guild_a: Any, profile: Any) -> None:
    assert moderator_a.post(address_of_test(profile), {"guild": guild_a.pk, "_form_submitted": "on"}).status_code in (
        403,
        404,
    )
    assert not Job.objects.exists()
