"""Adapters (LoRA): files that change a model's style, and the servers that may use them."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator, URLValidator
from django.db import models
from django.db.models import Q

from . import lora_selection
from .adapter_files import AdapterHeader, InvalidAdapter, read_header
from .bounded_fields import BoundedFloatField, ChoiceField, bounded
from .image_uploads import OwnsPreview

# The site is behind an HTTP API, which takes requests of at most 10 MB.
MAX_UPLOAD_BYTES = 9 * 2**20


def adapter_key(row: models.Model, name: str) -> str:
    """Return an unguessable storage key for an adapter's file."""
    return f"uploads/adapters/{secrets.token_hex(16)}.safetensors"


class AdapterFormField(forms.FileField):
    """A file field that refuses what is no usable adapter. The file's `header` describes it."""

    def to_python(self, data: Any) -> Any:
        file: Any = super().to_python(data)
        if file is None:
            return None
        try:
            file.header = read_header(file, size=file.size, max_bytes=MAX_UPLOAD_BYTES)
        except InvalidAdapter as error:
            raise ValidationError(str(error)) from error
        file.seek(0)
        return file


class AdapterField(models.FileField):
    """A safetensors file that an operator uploads in the admin."""

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**{"form_class": AdapterFormField, **kwargs})


class AdapterQuerySet(models.QuerySet["Adapter"]):
    def usable_in(self, guild_ids: Any) -> AdapterQuerySet:
        """Return the adapters that all servers may use, and those that one of these may use."""
        return self.filter(Q(guilds=None) | Q(guilds__in=guild_ids)).distinct()


@bounded
class Adapter(OwnsPreview):
    """A LoRA: an operator adds and enables it, and a moderator offers it to their members (Guild.loras_offered)."""

    owned_files: ClassVar[tuple[str, ...]] = ("preview", "file")

    slug = models.SlugField(max_length=40, unique=True, help_text="What members type.")
    name = models.CharField(
        max_length=80,
        validators=[
            RegexValidator(r"[:,<>]", "Write a name without colons, commas and angle brackets.", inverse_match=True)
        ],
    )
    source = models.CharField(
        "Hugging Face id",
        max_length=300,
        blank=True,
        validators=[
            RegexValidator(
                r"^[\w.-]+/[\w.-]+(/[\w./-]+\.safetensors)?$",
                "Write it like owner/name or owner/name/file.safetensors.",
            )
        ],
        help_text="owner/name, or owner/name/file.safetensors if it has several files. Empty for an uploaded file.",
    )
    file = AdapterField(
        blank=True, upload_to=adapter_key, help_text=f"A safetensors file of at most {MAX_UPLOAD_BYTES // 2**20} MB."
    )
    family = ChoiceField(
        max_length=16,
        blank=True,
        choices=[("", "As the file says"), *lora_selection.FAMILIES.items()],
        default="",
        help_text="The models that it was made for.",
    )
    trigger_words = models.CharField(max_length=200, blank=True, help_text="Added to prompts that do not contain them.")
    default_weight = BoundedFloatField(default=0.8, low=-lora_selection.MAX_WEIGHT, high=lora_selection.MAX_WEIGHT)
    max_weight = BoundedFloatField(
        "largest weight", default=1.5, low=0, high=lora_selection.MAX_WEIGHT, help_text="Members may choose up to this."
    )
    guilds = models.ManyToManyField(
        "guilds.Guild",
        blank=True,
        verbose_name="servers",
        related_name="+",
        help_text="Empty: every server may use it.",
    )
    adult = models.BooleanField(default=False, help_text="The server's rule for adult prompts applies.")
    license = models.CharField(max_length=100, blank=True)
    origin = models.CharField(
        max_length=300,
        blank=True,
        validators=[URLValidator(["https"])],
        help_text="The address of the page it comes from, starting with https.",
    )
    enabled = models.BooleanField(default=False)
    details = models.JSONField(default=dict, editable=False, help_text="What the file says of itself.")

    objects = AdapterQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        verbose_name = "LoRA"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.slug = (self.slug or "").lower()
        if bool(self.source) == bool(self.file):
            raise ValidationError("Write a Hugging Face id or upload a file, one of the two.")
        if None not in (self.default_weight, self.max_weight) and abs(self.default_weight) > self.max_weight:
            raise ValidationError({"default_weight": "This is above the largest weight."})
        header = getattr(getattr(self.file, "_file", None), "header", None)
        if isinstance(header, AdapterHeader):
            self._describe(header)

    def _describe(self, header: AdapterHeader) -> None:
        """Take what the uploaded file says of itself."""
        if self.family and header.family and self.family != header.family:
            found = lora_selection.FAMILIES[header.family]
            raise ValidationError({"family": f"The file is a LoRA for {found}. Choose that."})
        self.family = self.family or header.family
        if not self.family:
            raise ValidationError({"family": "The file does not say which models it is for. Choose them."})
        self.details = header.summary()
        self.license = (
            self.license or header.metadata.get("modelspec.license", header.metadata.get("license", ""))[:100]
        )
