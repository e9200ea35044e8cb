"""From finished pictures to a message: judge, keep in storage, compose the grid, encode what Discord takes, post."""

from __future__ import annotations

import io
import logging
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from discord_api.client import DiscordClient
from discord_api.errors import DiscordError, InvalidFormBody, TooLarge
from discord_api.i18n import translate
from discord_api.payloads import File, Message
from jobs import delivery, messages, storage
from jobs.delivery import Delivered
from jobs.models import Job
from jobs.transitions import StoredImage

from . import nsfw_check
from .content_credentials import Signer
from .nsfw_check import Checker, CheckUnavailable

log = logging.getLogger(__name__)

BACK_OFF_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
SMALLEST_PX = 256
HIDDEN = (40, 40, 40)
# https://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia: made by a trained model.
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    "</rdf:RDF></x:xmpmeta>"
)


class Blocked(Exception):
    """The output check lets no picture of this job pass."""


class ShuttingDown(Exception):
    """The worker must leave before this could be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredImages:
    """What is in storage now. `grid` is the PNG under `grid_key`."""

    images: tuple[StoredImage, ...]
    grid_key: str
    grid: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    content: bytes
    suffix: str
    content_type: str


class Publisher:
    """Keeps and posts. Shared by threads; its collaborators bear that."""

    def __init__(
        self,
        *,
        client: DiscordClient,
        checker: Checker | None = None,
        signer: Signer | None = None,
        pause: Callable[[float], bool],
        back_off_s: Sequence[float] = BACK_OFF_S,
    ) -> None:
        """`pause` sleeps for so many seconds, and returns True at once when the worker must leave.

        `back_off_s` are the waits between tries while Discord or the storage is away.
        """
        self._client = client
        self._checker = checker
        self._signer = signer
        self._pause = pause
        self._waits = (*back_off_s, None)

    def preview(self, job: Job, image: Image.Image) -> File | None:
        """Return a small file of an unfinished image under the rules of finished ones; None: it must not be shown."""
        try:
            (verdict,) = nsfw_check.check_images([image], rule=job.guild.output_check, checker=self._checker)
        except CheckUnavailable:
            return None
        if verdict.blocked:
            return None
        return preview(image, spoiler=job.spoiler or verdict.blurred)

    def keep(
        self, job: Job, images: Sequence[Image.Image], *, model: str, moved: Callable[[], None] = lambda: None
    ) -> StoredImages:
        """Put the pictures and their grid into storage. `moved` is called before each try of each of them.

        Raise StorageUnavailable when storage stays away, Blocked, CheckUnavailable, Leaving.
        """
        verdicts = nsfw_check.check_images(images, rule=job.guild.output_check, checker=self._checker)
        if all(verdict.blocked for verdict in verdicts):
            raise Blocked
        kept: list[StoredImage] = []
        shown: list[Image.Image] = []
        for index, (image, seed, verdict) in enumerate(zip(images, job.seeds, verdicts, strict=True)):
            if verdict.blocked:
                shown.append(Image.new("RGB", image.size, HIDDEN))
                continue
            shown.append(image)
            content = self._png(image, parameters(job, seed=seed, size=image.size, model=model))
            key = storage.picture_key(job.guild_id, job.pk, index)
            self._store(key, content, moved)
            kept.append(
                StoredImage(
                    index=index,
                    key=key,
                    seed=seed,
                    width=image.width,
                    height=image.height,
                    bytes=len(content),
                    nsfw_score=verdict.score,
                    blurred=verdict.blurred,
                )
            )
        if len(kept) == len(images) == 1:
            return StoredImages(images=tuple(kept), grid_key=kept[0].key, grid=content)
        grid = self._png(make_grid(shown), parameters(job, seed=job.seed, size=images[0].size, model=model))
        grid_key = storage.grid_key(job.guild_id, job.pk)
        self._store(grid_key, grid, moved)
        return StoredImages(images=tuple(kept), grid_key=grid_key, grid=grid)

    def post(
        self,
        job: Job,
        grid: bytes,
        *,
        blurred: bool,
        truncated_tokens: int = 0,
        moved: Callable[[], None] = lambda: None,
    ) -> Delivered:
        """Deliver the completed message with the largest form of the grid that Discord takes.

        `truncated_tokens` as in messages.completed; `moved` is called before each try.
        Outages are waited out; raise TryLater when they last, Leaving when there is no time.
        """
        limit = job.attachment_size_limit
        for encoded in smaller_encodings(grid, signer=self._signer):
            if encoded is not None and len(encoded.content) > limit:
                continue
            if encoded is None:
                linked = messages.completed(job, (), link=messages.gallery_url(job), truncated_tokens=truncated_tokens)
                return self._deliver(job, linked, moved)
            file = messages.grid_file(
                job, encoded.content, suffix=encoded.suffix, content_type=encoded.content_type, blurred=blurred
            )
            try:
                delivered = self._deliver(
                    job, messages.completed(job, (file,), truncated_tokens=truncated_tokens), moved
                )
            except TooLarge:
                # The limit was another one than the interaction said.
                limit = min(limit, len(encoded.content) - 1)
            except InvalidFormBody as error:
                # A fault of ours must not cost the requester the images: they are in the gallery.
                log.error("message_refused", extra={"job_id": job.pk, "status": error.status, "code": error.code})
                return self._deliver(job, _link_alone(job), moved)
            else:
                if delivered.via == Job.Via.GALLERY:
                    # The file may have been what was refused everywhere: a link can still be read.
                    return self._deliver(job, _link_alone(job), moved)
                return delivered
        raise AssertionError("the last rung holds no file, so it cannot be too large")

    def notify_end(self, job: Job) -> Delivered:
        """Deliver the message of a job that ended without pictures. One try: upkeep tells what could not be told."""
        return delivery.deliver(job, messages.ended(job), client=self._client, now=datetime.now(UTC))

    def _png(self, image: Image.Image, text: str) -> bytes:
        content = png(image, text)
        return content if self._signer is None else self._signer.sign(content, "image/png")

    def _deliver(self, job: Job, message: Message, moved: Callable[[], None]) -> Delivered:
        for wait in self._waits:
            moved()
            try:
                return delivery.deliver(job, message, client=self._client, now=datetime.now(UTC))
            except DiscordError as error:
                if error.permanent or wait is None:
                    raise
                self._wait(wait)
        raise AssertionError("unreachable")

    def _store(self, key: str, content: bytes, moved: Callable[[], None]) -> None:
        for wait in self._waits:
            moved()
            try:
                storage.store(key, content)
                return
            except storage.StorageUnavailable:
                if wait is None:
                    raise
                self._wait(wait)

    def fetch(self, key: str, *, moved: Callable[[], None] = lambda: None) -> bytes:
        """Return what storage holds under `key`; outages are waited out. Raise StorageUnavailable, Leaving."""
        for wait in self._waits:
            moved()
            try:
                return storage.fetch(key)
            except storage.StorageUnavailable as error:
                if error.permanent or wait is None:
                    raise
                self._wait(wait)
        raise AssertionError("unreachable")

    def _wait(self, seconds: float) -> None:
        if self._pause(seconds):
            raise ShuttingDown


def _link_alone(job: Job) -> Message:
    """The completed message as plain text with a link to the images, which no filter and no form can refuse."""
    return Message(
        content=f"{translate(job.locale, 'job.completed')}\n{messages.gallery_url(job)}", ephemeral=job.ephemeral
    )


def make_grid(images: Sequence[Image.Image]) -> Image.Image:
    """Return one picture of all: two columns, row by row, as the sample's grid."""
    if len(images) == 1:
        return images[0]
    width, height = images[0].size
    grid = Image.new("RGB", (2 * width, -(-len(images) // 2) * height), HIDDEN)
    for place, image in enumerate(images):
        grid.paste(image, (place % 2 * width, place // 2 * height))
    return grid


def parameters(job: Job, *, seed: int, size: tuple[int, int], model: str) -> str:
    """Return how the picture was made, in the form that other tools read from a PNG's `parameters`."""
    lines = [job.styled_prompt or job.prompt]
    if job.negative_prompt:
        lines.append(f"Negative prompt: {job.negative_prompt}")
    facts = {
        "Steps": job.steps,
        "Sampler": job.sampler,
        "CFG scale": f"{job.guidance:g}",
        "Seed": seed,
        "Size": f"{size[0]}x{size[1]}",
        "Model": model.rstrip("/").rsplit("/", 1)[-1],
    }
    if job.strength is not None:
        facts["Denoising strength"] = f"{job.strength:g}"
    return "\n".join([*lines, ", ".join(f"{name}: {value}" for name, value in facts.items())])


def png(image: Image.Image, text: str) -> bytes:
    """Return the picture as PNG, marked as made by a model."""
    info = PngInfo()
    info.add_itxt("parameters", text)
    info.add_text("Software", "Sparkle")
    info.add_itxt("XML:com.adobe.xmp", XMP)
    out = io.BytesIO()
    # On pictures of the demo model a quarter of the default's time, and no larger.
    image.save(out, "PNG", pnginfo=info, compress_type=zlib.Z_RLE)
    return out.getvalue()


def smaller_encodings(grid: bytes, *, signer: Signer | None = None) -> Iterator[Encoded | None]:
    """Yield the PNG in ever smaller forms, made when they are asked for; last None: no file, a link must do.

    The PNG is signed already, where a signer is; what is made of it is signed anew.
    """

    def signed(form: Encoded) -> Encoded:
        return form if signer is None else replace(form, content=signer.sign(form.content, form.content_type))

    yield Encoded(content=grid, suffix="png", content_type="image/png")
    with Image.open(io.BytesIO(grid)) as opened:
        image = opened.convert("RGB")
    yield signed(_webp(image))
    yield signed(_jpeg(image, quality=92))
    while max(image.size) > SMALLEST_PX:
        image = image.resize((max(1, image.width // 2), max(1, image.height // 2)), Image.Resampling.LANCZOS)
        yield signed(_jpeg(image, quality=85))
    yield None


def preview(image: Image.Image, *, spoiler: bool) -> File:
    """Return a small file of an unfinished image."""
    out = io.BytesIO()
    image.save(out, "WEBP", quality=70)
    return File(
        name="preview.webp",
        content=out.getvalue(),
        content_type="image/webp",
        description="Half way there",
        spoiler=spoiler,
    )


def _webp(image: Image.Image) -> Encoded:
    out = io.BytesIO()
    image.save(out, "WEBP", quality=92, method=4, xmp=XMP.encode())
    return Encoded(content=out.getvalue(), suffix="webp", content_type="image/webp")


def _jpeg(image: Image.Image, *, quality: int) -> Encoded:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, xmp=XMP.encode())
    return Encoded(content=out.getvalue(), suffix="jpg", content_type="image/jpeg")
