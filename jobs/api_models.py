"""Keys of the HTTP API, and the requests that came by it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from guilds.bounded_fields import BoundedSmallIntegerField, SnowflakeField, bounded
from guilds.models import Guild

from .webhooks import validate_url


@bounded
class ApiKey(models.Model):
    """A key with which a program makes requests for one server, in the name of one of its members.

    The key itself is shown once and never stored: `digest` is its SHA-256 in hexadecimal.
    """

    guild = models.ForeignKey(Guild, verbose_name="server", on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80, help_text="What uses it, such as “Website”.")
    digest = models.CharField(max_length=64, unique=True, editable=False)
    hint = models.CharField(max_length=16, editable=False, help_text="The key's first characters.")
    user_id = SnowflakeField(editable=False, help_text="The member in whose name it makes requests.")
    webhook_url = models.CharField(
        "webhook address",
        max_length=500,
        blank=True,
        validators=[validate_url],
        help_text="An https address that Sparkle calls when a request ends. Empty: none.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "API key"
        verbose_name_plural = "API keys"
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name


@bounded
class ApiRequest(models.Model):
    """A job that a key requested, and the state of its webhook."""

    job = models.OneToOneField("jobs.Job", primary_key=True, on_delete=models.CASCADE, related_name="api_request")
    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="requests", db_index=False)
    idempotency_key = models.CharField(max_length=100, null=True)
    webhook_after = models.DateTimeField(null=True, help_text="Upkeep calls the webhook after this; empty: never.")
    webhook_attempts = BoundedSmallIntegerField(default=0, low=0, high=100)
    webhook_sent_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["key", "idempotency_key"], name="api_request_once")]
        indexes = [
            models.Index(fields=["webhook_after"], condition=Q(webhook_after__isnull=False), name="api_request_webhook")
        ]

    def __str__(self) -> str:
        return f"#{self.job_id}"
