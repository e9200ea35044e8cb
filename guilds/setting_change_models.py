"""Changes of settings that were made in Discord, where there is no account of the site (guilds.settings_changes)."""

from __future__ import annotations

from django.db import models

from .bounded_fields import SnowflakeField, bounded


@bounded
class SettingChange(models.Model):
    """One field's values before and after a change in Discord. The site's audit shows it with its own records."""

    guild = models.ForeignKey("guilds.Guild", on_delete=models.CASCADE, db_index=False)
    at = models.DateTimeField()
    user_id = SnowflakeField(null=True, help_text="Who changed it; empty once they were erased.")
    model = models.CharField(max_length=20, help_text="guild or quotarule.")
    row_id = SnowflakeField()
    field = models.CharField(max_length=40)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)

    class Meta:
        indexes = [models.Index(fields=["guild", "-id"], name="setting_change_newest")]

    def __str__(self) -> str:
        return f"{self.model} {self.field}"
