"""What members and moderators keep to write prompts with: lists of words, defaults and presets."""

from __future__ import annotations

from collections.abc import Collection

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from . import lora_selection, prompt_language
from .bounded_fields import (
    BoundedSmallIntegerField,
    BoundedTextField,
    PatternField,
    SnowflakeField,
    bounded,
)
from .preset_options import PresetOptions

MAX_LIST = 50_000
MAX_PRESET_NAME = 32
MAX_PRESETS = 25
SIZE_PATTERN = "([1-9][0-9]{1,3}x[1-9][0-9]{1,3})?"


class PromptListManager(models.Manager["PromptList"]):
    def entries(self, guild_id: int | None, names: Collection[str]) -> dict[str, list[str]]:
        """Return the entries of the named lists. A guild's list hides the platform's of the same name."""
        rows = self.filter(Q(guild_id=guild_id) | Q(guild=None), name__in=names)
        # The guild's last, so that they win.
        return {row.name: row.lines for row in sorted(rows, key=lambda row: row.guild_id is not None)}


@bounded
class PromptList(models.Model):
    """A list of words: `__name__` in a prompt becomes one of its entries. A server's list hides the platform's."""

    guild = models.ForeignKey(
        "guilds.Guild", verbose_name="server", null=True, blank=True, on_delete=models.CASCADE,
        help_text="Empty: every server.",
    )  # fmt: skip
    name = PatternField(
        max_length=prompt_language.MAX_LIST_NAME,
        pattern=prompt_language.LIST_NAME,
        help_text="Members write it as __name__.",
    )
    entries = BoundedTextField(
        max_length=MAX_LIST, help_text="One entry per line. An entry may use choices and other lists."
    )

    objects = PromptListManager()

    class Meta:
        ordering = ["name"]
        verbose_name = "prompt list"
        constraints = [
            models.UniqueConstraint(
                fields=["guild", "name"],
                nulls_distinct=False,
                name="prompt_list_once_per_guild",
                violation_error_message="This server has a list of this name.",
            ),
        ]

    def __str__(self) -> str:
        return f"__{self.name}__"

    @property
    def lines(self) -> list[str]:
        """The entries, without empty lines."""
        return [line.strip() for line in self.entries.splitlines() if line.strip()]

    def clean(self) -> None:
        self.name = (self.name or "").strip().strip("_").lower()
        if not prompt_language.is_list_name(self.name):
            raise ValidationError({"name": "Use lower-case letters, digits, hyphens and single underscores."})
        if not self.lines:
            raise ValidationError({"entries": "Write at least one entry."})

        def look_up(name: str) -> list[str]:
            return PromptList.objects.entries(self.guild_id, {name}).get(name, [])

        via = prompt_language.find_cycle(self.name, self.lines, look_up)
        if via is not None:
            raise ValidationError({"entries": f"This list would lead back to itself, by way of __{via}__."})


@bounded
class MemberPreset(models.Model):
    """A member's own choice of options in a guild: a named preset, or the defaults, whose name is empty."""

    guild = models.ForeignKey("guilds.Guild", verbose_name="server", on_delete=models.CASCADE, db_index=False)
    user_id = SnowflakeField()
    name = models.CharField(max_length=MAX_PRESET_NAME, blank=True)
    model = models.CharField(max_length=50, blank=True)
    style = models.CharField(max_length=40, blank=True)
    size = PatternField(max_length=9, blank=True, pattern=SIZE_PATTERN)
    steps = BoundedSmallIntegerField(null=True, blank=True, low=1, high=150)
    count = BoundedSmallIntegerField(null=True, blank=True, low=1, high=16)
    is_private = models.BooleanField(null=True, blank=True)
    loras = models.CharField("LoRAs", max_length=lora_selection.MAX_TEXT, blank=True, db_default="", default="")

    class Meta:
        ordering = ["name"]
        verbose_name = "preset"
        constraints = [models.UniqueConstraint(fields=["guild", "user_id", "name"], name="preset_once")]
        indexes = [models.Index(fields=["user_id"], name="preset_user")]

    def __str__(self) -> str:
        return self.name or "defaults"

    def options(self) -> PresetOptions:
        """Return the options as a value."""
        return PresetOptions(**{name: getattr(self, name) for name in PresetOptions.__dataclass_fields__})
