"""The history of settings, with the user and the IP address. Kept here so that guilds does not need the auth app."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import models
from django.dispatch import receiver
from simple_history import register
from simple_history.models import HistoricalRecords
from simple_history.signals import pre_create_historical_record

from guilds.adapter_models import Adapter
from guilds.models import Ban, BlockedTerm, Guild, ModelProfile, Platform, QuotaRule, StylePreset
from guilds.prompt_models import PromptList


class FromWhere(models.Model):
    """The IP address that a change came from, None for the system."""

    history_address = models.GenericIPAddressField(null=True)

    class Meta:
        abstract = True


AUDITED: tuple[type[models.Model], ...] = (
    Guild, QuotaRule, Ban, BlockedTerm, StylePreset, Adapter, PromptList, ModelProfile, Platform,
)  # fmt: skip
_MANY_TO_MANY = {Guild: ["models_offered", "loras_offered"], Adapter: ["guilds"]}

for _model in AUDITED:
    register(
        _model,
        app="sparkle_site.audit",
        records_class=partial(HistoricalRecords, app="sparkle_audit"),
        bases=[FromWhere],
        m2m_fields=_MANY_TO_MANY.get(_model, []),
    )


@receiver(pre_create_historical_record, dispatch_uid="sparkle_audit_address")
def store_address(sender: Any, history_instance: Any, **kwargs: Any) -> None:
    """Store the IP address of the current request."""
    from sparkle_site.accounts.adapter import client_address

    request = getattr(HistoricalRecords.context, "request", None)
    if request is not None and hasattr(history_instance, "history_address"):
        history_instance.history_address = client_address(request)
