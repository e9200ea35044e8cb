"""What moderators note about members, and the entries of a guild's mod-log channel."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from .bounded_fields import BoundedTextField, ChoiceField, SnowflakeField, bounded

MAX_NOTE = 1000


@bounded
class MemberNote(models.Model):
    """A warning that a member got, or a note that only moderators read."""

    class Kind(models.TextChoices):
        WARNING = "warning", "Warning"
        NOTE = "note", "Note"

    guild = models.ForeignKey("guilds.Guild", verbose_name="server", on_delete=models.CASCADE, db_index=False)
    user_id = SnowflakeField()
    kind = ChoiceField(max_length=8, choices=Kind.choices)
    text = BoundedTextField(max_length=MAX_NOTE, blank=True)
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [models.Index(fields=["guild", "user_id", "-id"], name="member_note_newest")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} #{self.pk}"


@bounded
class ModLogEntry(models.Model):
    """An event for the guild's mod-log channel; upkeep posts it (jobs.mod_log). `key` is empty or unique."""

    class Kind(models.TextChoices):
        REPORT = "report", "Report"
        REMOVAL = "removal", "Images removed"
        WARNING = "warning", "Warning"
        BAN = "ban", "Ban"
        LIMIT = "limit", "Limit reached"

    guild = models.ForeignKey("guilds.Guild", on_delete=models.CASCADE, db_index=False)
    kind = ChoiceField(max_length=8, choices=Kind.choices)
    at = models.DateTimeField()
    detail = models.JSONField(default=dict)
    key = models.CharField(max_length=120, null=True, unique=True)
    posted_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["guild", "id"], condition=Q(posted_at=None), name="mod_log_to_post")]

    def __str__(self) -> str:
        return f"{self.kind} #{self.pk}"
