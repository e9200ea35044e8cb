"""Uploaded images: validation, conversion to WebP, storage keys. Pillow is imported on first use."""

from __future__ import annotations

import io
import secrets
import threading
import warnings
from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.db import models, transaction

from .image_file_limits import FORMATS, UPLOAD

MAX_BYTES, MAX_PIXELS = UPLOAD.max_bytes, UPLOAD.max_pixels
KEPT_SIDE = 768
# One image at a time, since the threads of a web process share its memory.
_decoding = threading.Lock()


def upload_key(row: models.Model, name: str) -> str:
    """Return an unguessable storage key for a file of `row`, below its guild's id or "platform"."""
    owner = getattr(row, "guild_id", None) or "platform"
    return f"uploads/{owner}/{secrets.token_hex(16)}.webp"


def cleaned_image(content: bytes) -> bytes:
    """Return the image's first frame as WebP with sides of at most KEPT_SIDE pixels, without metadata.

    Raises ValidationError.
    """
    kept = read_image(content, _shrink)
    kept.info.clear()
    output = io.BytesIO()
    kept.save(output, "WEBP", quality=85)
    return output.getvalue()


def _shrink(image: Any) -> Any:
    image.draft("RGB", (KEPT_SIDE, KEPT_SIDE))
    image.thumbnail((KEPT_SIDE, KEPT_SIDE))
    return image.convert("RGBA" if "A" in image.getbands() or "transparency" in image.info else "RGB")


def read_image(content: bytes, convert: Callable[[Any], Any]) -> Any:
    """Return what `convert` makes of the uploaded image, which is opened and not yet decoded.

    The size is checked before decoding, against decompression bombs. Raises ValidationError.
    """
    from PIL import Image

    if len(content) > MAX_BYTES:
        raise ValidationError(f"The file is too large: at most {MAX_BYTES // 1024 // 1024} MB.")
    try:
        with _decoding, warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ValidationError(f"The image is too large: at most {MAX_PIXELS:,} pixels.")
                return convert(image)
    except ValidationError:
        raise
    except Exception as error:  # Pillow's readers raise many error types for broken files.
        raise ValidationError("This file is not a readable image. Upload a PNG, JPEG, WebP or GIF.") from error


class UploadedImageFormField(forms.FileField):
    """A file field whose value is the cleaned image."""

    widget = forms.ClearableFileInput

    def to_python(self, data: Any) -> Any:
        file = super().to_python(data)
        if file is None:
            return None
        if file.size > MAX_BYTES:
            raise ValidationError(f"The file is too large: at most {MAX_BYTES // 1024 // 1024} MB.")
        return ContentFile(cleaned_image(file.read()), name="upload.webp")


class UploadedImageField(models.FileField):
    """An image that someone uploads in the admin."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("upload_to", upload_key)
        super().__init__(*args, **kwargs)

    def formfield(self, **kwargs: Any) -> Any:
        return super().formfield(**{"form_class": UploadedImageFormField, **kwargs})


class OwnsPreview(models.Model):
    """A row with a preview image. A replaced file, or one whose row is deleted, is deleted after the commit.

    `owned_files`: the fields that this applies to.
    """

    owned_files: ClassVar[tuple[str, ...]] = ("preview",)

    preview = UploadedImageField(blank=True)

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        before = type(self)._default_manager.filter(pk=self.pk).values(*self.owned_files).first() or {}
        super().save(*args, **kwargs)
        for field, name in before.items():
            if name and name != getattr(self, field).name:
                self._drop(field, name)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        names = {field: getattr(self, field).name for field in self.owned_files}
        deleted = super().delete(*args, **kwargs)
        for field, name in names.items():
            if name:
                self._drop(field, name)
        return deleted

    def _drop(self, field: str, name: str) -> None:
        storage = self._meta.get_field(field).storage  # type: ignore[union-attr]
        transaction.on_commit(lambda: storage.delete(name))
