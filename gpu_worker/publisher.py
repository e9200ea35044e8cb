"""Checks, stores and posts finished images."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from PIL import Image

from discord_api.client import DiscordClient
from discord_api.errors import DiscordError, InvalidFormBody, TooLarge
from discord_api.i18n import translate
from discord_api.payloads import File, Message
from jobs import delivery, progress_messages, result_messages, storage
from jobs.delivery import Delivered
from jobs.models import Job
from jobs.storage import StorageUnavailable
from jobs.transitions import StoredImage

from . import image_encoding, nsfw_check
from .content_credentials import Signer
from .image_encoding import EncodedImage
from .nsfw_check import Checker, CheckUnavailable

log = logging.getLogger(__name__)

RETRY_WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)

T = TypeVar("T")
OnAttempt = Callable[[], None]


class Blocked(Exception):
    """The output check blocks every image of this job."""


class ShuttingDown(Exception):
    """The worker must leave before this could be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImages:
    """What is in storage now. `contents` are the PNGs by their keys, that of the grid under `grid_key` too."""

    images: tuple[StoredImage, ...]
    grid_key: str
    contents: Mapping[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class PostableImage:
    """A PNG to post. `number` of its image from 1, None for the grid."""

    content: bytes
    blurred: bool
    number: int | None = None


def _ignore_attempt() -> None:
    return None


class Publisher:
    """Stores images and posts messages. Thread-safe, as its collaborators are."""

    def __init__(
        self,
        *,
        client: DiscordClient,
        checker: Checker | None = None,
        signer: Signer | None = None,
        pause: Callable[[float], bool],
        retry_waits_s: Sequence[float] = RETRY_WAITS_S,
    ) -> None:
        """`pause` sleeps for so many seconds, and returns True at once when the worker must leave.

        `retry_waits_s`: the waits between attempts while Discord or the storage is unavailable.
        """
        self._client = client
        self._checker = checker
        self._signer = signer
        self._pause = pause
        self._retry_waits_s = (*retry_waits_s, None)

    def make_preview(self, job: Job, image: Image.Image) -> File | None:
        """Return a small file of an unfinished image under the rules of finished ones, or None where they forbid it."""
        try:
            (verdict,) = nsfw_check.check_images([image], rule=job.guild.output_check, checker=self._checker)
        except CheckUnavailable:
            return None
        if verdict.is_blocked:
            return None
        return image_encoding.encode_preview(image, spoiler=job.spoiler or verdict.is_blurred)

    def store_images(
        self, job: Job, images: Sequence[Image.Image], *, model: str, on_attempt: OnAttempt = _ignore_attempt
    ) -> StoredImages:
        """Put the images and their grid into storage. `on_attempt` is called before each attempt of each of them.

        Raises:
            StorageUnavailable: the last attempt failed too.
            Blocked, CheckUnavailable: none of the images may be shown.
            ShuttingDown: the worker must leave.
        """
        verdicts = nsfw_check.check_images(images, rule=job.guild.output_check, checker=self._checker)
        if all(verdict.is_blocked for verdict in verdicts):
            raise Blocked
        stored: list[StoredImage] = []
        contents: dict[str, bytes] = {}
        grid_images: list[Image.Image] = []
        for index, (image, seed, verdict) in enumerate(zip(images, job.seeds, verdicts, strict=True)):
            if verdict.is_blocked:
                grid_images.append(Image.new("RGB", image.size, image_encoding.BLOCKED_COLOR))
                continue
            grid_images.append(image)
            content = self._encode_png(job, image, seed=seed, size=image.size, model=model)
            key = storage.image_key(job.guild_id, job.pk, index)
            self._with_retries(partial(storage.store, key, content), on_attempt)
            contents[key] = content
            stored.append(
                StoredImage(
                    index=index,
                    key=key,
                    seed=seed,
                    width=image.width,
                    height=image.height,
                    bytes=len(content),
                    nsfw_score=verdict.score,
                    blurred=verdict.is_blurred,
                )
            )
        if len(stored) == len(images) == 1:
            return StoredImages(images=tuple(stored), grid_key=stored[0].key, contents=contents)
        grid_image = image_encoding.make_grid(grid_images)
        grid = self._encode_png(job, grid_image, seed=job.seed, size=images[0].size, model=model)
        grid_key = storage.grid_key(job.guild_id, job.pk)
        self._with_retries(partial(storage.store, grid_key, grid), on_attempt)
        return StoredImages(images=tuple(stored), grid_key=grid_key, contents=contents | {grid_key: grid})

    def fetch_image(self, key: str, *, on_attempt: OnAttempt = _ignore_attempt) -> bytes:
        """Return what storage holds under `key`. Raise StorageUnavailable, ShuttingDown."""
        return self._with_retries(partial(storage.fetch, key), on_attempt)

    def post_images(
        self,
        job: Job,
        images: Sequence[PostableImage],
        *,
        truncated_tokens: int = 0,
        on_attempt: OnAttempt = _ignore_attempt,
    ) -> Delivered:
        """Post the completed message with the largest encodings of the images that Discord takes, or with a link.

        `truncated_tokens` as in result_messages.completed; `on_attempt` is called before each attempt.

        Raises:
            DiscordError: Discord is unavailable, also at the last attempt, or refuses the message for good.
            ShuttingDown: the worker must leave.
        """
        limit = job.attachment_size_limit
        for encoded in image_encoding.smaller_encodings([image.content for image in images], signer=self._signer):
            if encoded is None:
                break
            if not image_encoding.fits(encoded, limit=limit):
                continue
            message = result_messages.completed(
                job, _files(job, images, encoded), layout=job.guild.result_layout, truncated_tokens=truncated_tokens
            )
            try:
                delivered = self._deliver(job, message, on_attempt)
            except TooLarge:
                # Discord's limit is lower than the interaction said.
                limit = min(limit, max(len(image.content) for image in encoded) - 1)
            except InvalidFormBody as error:
                # A fault of ours must not cost the requester the images: they are in the gallery.
                log.error("message_refused", extra={"job_id": job.pk, "status": error.status, "code": error.code})
                return self._deliver(job, _plain_link(job), on_attempt)
            else:
                if delivered.via == Job.Via.GALLERY:
                    # Every route may have refused the file: a link may still be posted.
                    return self._deliver(job, _plain_link(job), on_attempt)
                return delivered
        link = result_messages.gallery_url(job)
        message = result_messages.completed(job, (), link=link, truncated_tokens=truncated_tokens)
        return self._deliver(job, message, on_attempt)

    def notify_end(self, job: Job) -> Delivered:
        """Post the message of a job that ended without images. One attempt: upkeep posts what could not be posted."""
        return delivery.deliver(job, progress_messages.ended(job), client=self._client, now=datetime.now(UTC))

    def _encode_png(self, job: Job, image: Image.Image, *, seed: int, size: tuple[int, int], model: str) -> bytes:
        parameters = image_encoding.format_parameters(job, seed=seed, size=size, model=model)
        content = image_encoding.encode_png(image, parameters)
        return content if self._signer is None else self._signer.sign(content, "image/png")

    def _deliver(self, job: Job, message: Message, on_attempt: OnAttempt) -> Delivered:
        return self._with_retries(
            lambda: delivery.deliver(job, message, client=self._client, now=datetime.now(UTC)), on_attempt
        )

    def _with_retries(self, action: Callable[[], T], on_attempt: OnAttempt) -> T:
        """Return what `action` returns. Try again after an outage, and raise what the last attempt raised.

        Permanent errors are raised at once; ShuttingDown when the worker must leave before the next attempt.
        """
        for wait_s in self._retry_waits_s:
            on_attempt()
            try:
                return action()
            except (DiscordError, StorageUnavailable) as error:
                if error.permanent or wait_s is None:
                    raise
                if self._pause(wait_s):
                    raise ShuttingDown from error
        raise AssertionError("the last wait is None, so the last attempt returns or raises")


def _files(job: Job, images: Sequence[PostableImage], encoded: Sequence[EncodedImage]) -> tuple[File, ...]:
    return tuple(
        result_messages.image_file(
            job,
            form.content,
            suffix=form.suffix,
            content_type=form.content_type,
            blurred=image.blurred,
            number=image.number,
        )
        for image, form in zip(images, encoded, strict=True)
    )


def _plain_link(job: Job) -> Message:
    """The completed message as plain text with a link to the images, which no filter and no form can refuse."""
    return Message(
        content=f"{translate(job.locale, 'job.completed')}\n{result_messages.gallery_url(job)}", ephemeral=job.ephemeral
    )
