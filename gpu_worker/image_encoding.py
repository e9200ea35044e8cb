"""The files that are stored and posted: grids, PNGs with their parameters, smaller encodings, previews."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from discord_api.payloads import MAX_FILES, MAX_REQUEST_BYTES, File
from guilds import lora_selection
from jobs.models import Job

from .content_credentials import Signer

SMALLEST_PX = 256
BLOCKED_COLOR = (40, 40, 40)
# https://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia: made by a trained model.
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    "</rdf:RDF></x:xmpmeta>"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedImage:
    content: bytes
    suffix: str
    content_type: str


def make_grid(images: Sequence[Image.Image]) -> Image.Image:
    """Return one image of all: two columns, row by row, as the grid of the AWS sample."""
    if len(images) == 1:
        return images[0]
    width, height = images[0].size
    grid = Image.new("RGB", (2 * width, -(-len(images) // 2) * height), BLOCKED_COLOR)
    for index, image in enumerate(images):
        grid.paste(image, (index % 2 * width, index // 2 * height))
    return grid


def format_parameters(job: Job, *, seed: int, size: tuple[int, int], model: str) -> str:
    """Return how the image was made, in the format that other tools read from a PNG's `parameters`."""
    lines = [" ".join(part for part in (job.styled_prompt or job.prompt, lora_selection.tags(job.loras)) if part)]
    if job.negative_prompt:
        lines.append(f"Negative prompt: {job.negative_prompt}")
    fields = {
        "Steps": job.steps,
        "Sampler": job.sampler,
        "CFG scale": f"{job.guidance:g}",
        "Seed": seed,
        "Size": f"{size[0]}x{size[1]}",
        "Model": model.rstrip("/").rsplit("/", 1)[-1],
    }
    if job.strength is not None:
        fields["Denoising strength"] = f"{job.strength:g}"
    return "\n".join([*lines, ", ".join(f"{name}: {value}" for name, value in fields.items())])


def encode_png(image: Image.Image, parameters: str) -> bytes:
    """Return the image as PNG, marked as made by a model."""
    info = PngInfo()
    info.add_itxt("parameters", parameters)
    info.add_text("Software", "Sparkle")
    info.add_itxt("XML:com.adobe.xmp", XMP)
    out = io.BytesIO()
    # For images of the demo model this takes a quarter of the default's time, and the files are no larger.
    image.save(out, "PNG", pnginfo=info, compress_type=zlib.Z_RLE)
    return out.getvalue()


def smaller_encodings(
    images: Sequence[bytes], *, signer: Signer | None = None
) -> Iterator[tuple[EncodedImage, ...] | None]:
    """Yield the PNGs, then ever smaller encodings of all, then None: post a link instead of files.

    Each is made when it is asked for. The PNGs are signed already where there is a signer; the others are signed here.
    """

    def signed(encoded: EncodedImage) -> EncodedImage:
        if signer is None:
            return encoded
        return replace(encoded, content=signer.sign(encoded.content, encoded.content_type))

    yield tuple(EncodedImage(content=content, suffix="png", content_type="image/png") for content in images)
    opened = [_open(content) for content in images]
    yield tuple(signed(_encode_webp(image)) for image in opened)
    yield tuple(signed(_encode_jpeg(image, quality=92)) for image in opened)
    while any(max(image.size) > SMALLEST_PX for image in opened):
        opened = [_halve(image) for image in opened]
        yield tuple(signed(_encode_jpeg(image, quality=85)) for image in opened)
    yield None


def fits(encoded: Sequence[EncodedImage], *, limit: int) -> bool:
    """Return whether Discord takes these files in one message: each within `limit` bytes, and all in one request."""
    sizes = [len(image.content) for image in encoded]
    return 0 < len(sizes) <= MAX_FILES and max(sizes) <= limit and sum(sizes) <= MAX_REQUEST_BYTES


def _open(content: bytes) -> Image.Image:
    with Image.open(io.BytesIO(content)) as opened:
        return opened.convert("RGB")


def _halve(image: Image.Image) -> Image.Image:
    size = (max(1, image.width // 2), max(1, image.height // 2))
    return image.resize(size, Image.Resampling.LANCZOS) if max(image.size) > SMALLEST_PX else image


def encode_preview(image: Image.Image, *, spoiler: bool) -> File:
    """Return a small WebP file of an unfinished image."""
    out = io.BytesIO()
    image.save(out, "WEBP", quality=70)
    return File(
        name="preview.webp",
        content=out.getvalue(),
        content_type="image/webp",
        description="Half way there",
        spoiler=spoiler,
    )


def _encode_webp(image: Image.Image) -> EncodedImage:
    out = io.BytesIO()
    image.save(out, "WEBP", quality=92, method=4, xmp=XMP.encode())
    return EncodedImage(content=out.getvalue(), suffix="webp", content_type="image/webp")


def _encode_jpeg(image: Image.Image, *, quality: int) -> EncodedImage:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, xmp=XMP.encode())
    return EncodedImage(content=out.getvalue(), suffix="jpg", content_type="image/jpeg")
