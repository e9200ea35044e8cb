"""The profile of the deployment's own model (MODEL_ID) follows what the worker has loaded.

The first migration makes that profile before any model is known, for Stable Diffusion. Without this, members would be
offered samplers that a model of another family does not have.
"""

from __future__ import annotations

import logging

from django.conf import settings

from guilds.model_families import ModelFamily
from guilds.models import ModelProfile

log = logging.getLogger(__name__)


def adopt_family(family: ModelFamily) -> int:
    """Give the profiles of MODEL_ID its family, and a sampler that this family has; return how many changed."""
    changed = 0
    for profile in ModelProfile.objects.filter(source__in=["", settings.MODEL_ID]).exclude(family=family.slug):
        sampler = profile.default_sampler if profile.default_sampler in family.samplers else family.samplers[0]
        # Two workers that start together do it once.
        same = ModelProfile.objects.filter(pk=profile.pk, family=profile.family, source=profile.source)
        if same.update(family=family.slug, default_sampler=sampler):
            changed += 1
            log.warning(
                "model_family_set", extra={"profile": profile.slug, "was": profile.family, "family": family.slug}
            )
    return changed
