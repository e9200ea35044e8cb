"""From a job's row to the engine's request: model, size, source image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace

from django.conf import settings
from PIL import Image

from jobs import painted_areas
from jobs.models import Job, JobImage

from . import outpainting, source_images
from .adapters.files import resolve_adapters
from .engine import GenerationRequest
from .source_images import InvalidSourceImage
from .upscaling import Upscaler


def profile_of(job: Job) -> str:
    """Return what the job's engine is loaded by: the model's source, and after a "#" its options, if it has any."""
    source = job.model.source or settings.MODEL_ID
    options = ",".join(option for option in (job.model.step_cache, job.model.quantization) if option)
    return f"{source}#{options}" if options else source


UPSCALE_FACTOR = 2


def build_request(job: Job, *, fetch_image: Callable[[str], bytes], upscaler: Upscaler) -> GenerationRequest:
    """Return the request that makes the job's images. `fetch_image` returns what storage holds under a key.

    With a strength of 0 its source image is the result already.

    Raises:
        InvalidSourceImage: the source image is gone or cannot be used.
        AdapterUnavailable: a LoRA is no longer allowed or cannot be fetched.
        Whatever `fetch_image` raises.
    """
    params, source, mask = job.params, None, None
    if job.kind != Job.Kind.TXT2IMG:
        source = source_images.decode(_fetch_source(job, fetch_image))
        if job.kind == Job.Kind.UPSCALE:
            source = upscaler.enlarge(source, UPSCALE_FACTOR)
            params = replace(params, width=source.width, height=source.height)
        source = source_images.fit_to_size(source, params.width, params.height)
        if job.painted_area in painted_areas.VIEWS:
            source, mask = outpainting.extend(source, job.painted_area)
        elif painted_areas.is_mask(job.painted_area):
            mask = source_images.decode(fetch_image(job.painted_area)).convert("L")
            mask = mask.resize(source.size, Image.Resampling.NEAREST)
    adapters = resolve_adapters(params.loras, guild_id=job.guild_id, fetch=fetch_image)
    return GenerationRequest(
        id=job.pk, source=source, mask=mask, preview=job.guild.previews, adapters=adapters, **asdict(params)
    )


def _fetch_source(job: Job, fetch_image: Callable[[str], bytes]) -> bytes:
    if job.source_url and job.source_job_id is None:
        return source_images.fetch(
            job.source_url, hosts=settings.DISCORD_CDN_HOSTS, insecure=settings.DISCORD_CDN_INSECURE
        )
    row = None
    if job.source_job_id is not None:
        row = JobImage.objects.filter(job_id=job.source_job_id, index=job.source_index or 0).first()
    if row is None:
        raise InvalidSourceImage("source_unavailable", "the source image is no longer stored")
    return fetch_image(row.key)
