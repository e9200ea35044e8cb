"""What Discord last said about a guild's roles and members, so that pages show names (guilds.directory)."""

from __future__ import annotations

from django.db import models

from .bounded_fields import BoundedIntegerField, SnowflakeField, bounded


@bounded
class Role(models.Model):
    """A role as Discord described it at the guild's last refresh; `gone_at` once Discord no longer lists it."""

    id = SnowflakeField(primary_key=True)
    guild = models.ForeignKey("guilds.Guild", verbose_name="server", on_delete=models.CASCADE)
    name = models.CharField(max_length=100)
    position = BoundedIntegerField(default=0, low=0, high=10_000)
    gone_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


@bounded
class GuildMember(models.Model):
    """A member's name and avatar in a guild: Discord's at `read_at`, or, if that is empty, the name in a request."""

    guild = models.ForeignKey("guilds.Guild", verbose_name="server", on_delete=models.CASCADE, db_index=False)
    user_id = SnowflakeField()
    name = models.CharField(max_length=100)
    avatar = models.CharField(max_length=64, blank=True, help_text="Discord's avatar hash.")
    read_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["guild", "user_id"], name="guild_member_once")]
        indexes = [models.Index(fields=["user_id"], name="guild_member_user")]

    def __str__(self) -> str:
        return self.name


@bounded
class DirectoryState(models.Model):
    """When a guild's channels and roles were read, and when Discord last refused or did not answer."""

    guild = models.OneToOneField("guilds.Guild", primary_key=True, on_delete=models.CASCADE, related_name="directory")
    read_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"directory of {self.guild_id}"
