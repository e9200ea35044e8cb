"""The profile of the deployment's own model, after a worker has loaded that model."""

from __future__ import annotations

import pytest

from gpu_worker import deployment_model
from guilds.model_families import FAMILIES
from guilds.models import ModelProfile

pytestmark = pytest.mark.django_db


def test_the_first_profile_gets_the_family_of_the_model_and_a_sampler_that_it_has(settings):
    settings.MODEL_ID = "owner/a-flux"
    own = ModelProfile.objects.get(is_default=True)
    named = ModelProfile.objects.create(slug="named", name="Named", source="owner/a-flux")
    other = ModelProfile.objects.create(slug="other", name="Other", source="owner/other")
    assert (own.source, own.family, own.default_sampler) == ("", "stable-diffusion", "k_lms")

    assert deployment_model.adopt_family(FAMILIES["flux"]) == 2
    for profile in (own, named):
        profile.refresh_from_db()
        assert (profile.family, profile.default_sampler) == ("flux", "flow_euler")
        profile.full_clean()
    other.refresh_from_db()
    assert other.family == "stable-diffusion"
    assert deployment_model.adopt_family(FAMILIES["flux"]) == 0


def test_a_sampler_that_the_family_has_is_kept(settings):
    ModelProfile.objects.filter(is_default=True).update(default_sampler="DDIM", family="flux")
    assert deployment_model.adopt_family(FAMILIES["pixart-sigma"]) == 1
    assert ModelProfile.objects.get(is_default=True).default_sampler == "DDIM"


def test_the_family_is_read_from_the_models_folder(settings):
    diffusers_engine = pytest.importorskip("gpu_worker.diffusers_engine")
    assert diffusers_engine.family_of(settings.MODEL_ID).slug == "stable-diffusion"
