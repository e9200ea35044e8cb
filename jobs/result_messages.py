"""The message of a completed job: its images, its parameters below them, and its controls.

Used by Lambda, worker and upkeep. Every function returns the whole message, so an edit replaces everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

from discord_api import payloads
from discord_api.custom_id import pack
from discord_api.i18n import translate
from discord_api.markdown import code_block, inline
from discord_api.payloads import File, Message, Option, button, link_button, row, select
from guilds import features, prompt_language
from guilds.model_families import DEFAULT_FAMILY, FAMILIES
from guilds.models import Guild
from guilds.samplers import SAMPLERS

from . import painted_areas

if TYPE_CHECKING:
    from .models import Job

_BLURPLE = 0x5865F2
# Pixels of the longest side that enlarging may reach: by redrawing on a GPU, and without.
MAX_SIDES = {"redraw": 2048, "upscale": 4096}
# What can be done with one image, in the order of the select.
IMAGE_ACTIONS = {"vary": "🎲", "upscale": "🔍", "redraw": "🖌️", "area": "🔭", "full": "🖼️"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LateImage:
    """A PNG that is posted late. `number` of its image from 1, None for the grid."""

    content: bytes
    blurred: bool
    number: int | None = None


def completed(
    job: Job,
    files: tuple[File, ...],
    *,
    layout: str = Guild.ResultLayout.GRID,
    link: str | None = None,
    truncated_tokens: int = 0,
) -> Message:
    """Return the message with the files of the images, their parameters and controls.

    `layout` is a Guild.ResultLayout. `link` leads to images that were too large to post. The model ignored
    `truncated_tokens` tokens of the prompt.
    """
    locale = job.locale
    lines = [translate(locale, "job.completed")]
    if job.pressed_message_id is not None:
        url = f"https://discord.com/channels/{job.guild_id}/{job.channel_id}/{job.pressed_message_id}"
        lines.append(translate(locale, "job.from_message", mention=f"<@{job.user_id}>", url=url))
    if truncated_tokens > 0:
        lines.append(translate(locale, "job.truncated_tokens", n=truncated_tokens))
    if link and not files:
        lines.append(translate(locale, "job.files_elsewhere"))
    rows = result_controls(job)
    if link:
        rows = (*rows, row(link_button(link, translate(locale, "button.open"))))
    is_layout = layout == Guild.ResultLayout.GALLERY and bool(files)
    return Message(
        content="\n".join(lines),
        # Discord shows files above embeds.
        embeds=() if is_layout else (details(job),),
        details=_details_text(job) if is_layout else "",
        is_layout=is_layout,
        components=rows,
        files=files,
        ephemeral=job.ephemeral,
    )


def gallery_url(job: Job) -> str:
    """Return the address of a job's page in the gallery."""
    return f"{settings.SITE_URL}/gallery/{job.guild_id}/{job.pk}/"


def completed_late(job: Job, images: Sequence[LateImage], *, layout: str) -> Message:
    """Return the completed message for upkeep, with the images if the size limits allow them, else with a link.

    `layout` is a Guild.ResultLayout.
    """
    sizes = [len(image.content) for image in images]
    if not sizes or max(sizes) > job.attachment_size_limit or sum(sizes) > payloads.MAX_REQUEST_BYTES:
        return completed(job, (), layout=layout, link=gallery_url(job))
    files = (
        image_file(
            job, image.content, suffix="png", content_type="image/png", blurred=image.blurred, number=image.number
        )
        for image in images
    )
    return completed(job, tuple(files), layout=layout)


def image_file(
    job: Job, content: bytes, *, suffix: str, content_type: str, blurred: bool, number: int | None = None
) -> File:
    """Return the grid, or the image of that `number` from 1, as a message's file with the prompt as alt text."""
    return File(
        name=f"sparkle-{job.pk}.{suffix}" if number is None else f"sparkle-{job.pk}-{number}.{suffix}",
        content=content,
        content_type=content_type,
        description=job.prompt,
        spoiler=job.spoiler or blurred,
    )


def details(job: Job) -> dict[str, Any]:
    """Return an embed with the prompt and the parameters that reproduce the images."""
    locale = job.locale
    fields = [
        {"name": translate(locale, f"field.{key}"), "value": value or "-", "inline": True}
        for key, value in _parameters(job)
    ]
    fields += [
        {"name": translate(locale, f"field.{key}"), "value": payloads.truncate(value, 1024), "inline": False}
        for key, value in _texts(job)
    ]
    return {
        "description": code_block(job.prompt, limit=2000),
        "color": _BLURPLE,
        "fields": fields,
        "footer": {"text": f"{translate(locale, 'field.request')} #{job.pk}"},
    }


def _details_text(job: Job) -> str:
    """Return what `details` shows as text for a layout, which has no embeds."""
    locale = job.locale
    parameters = " · ".join(f"{translate(locale, f'field.{key}')} {value or '-'}" for key, value in _parameters(job))
    lines = [code_block(job.prompt, limit=1500), f"-# {parameters}"]
    lines += [f"-# {translate(locale, f'field.{key}')}: {value}" for key, value in _texts(job)]
    return "\n".join([*lines, f"-# {translate(locale, 'field.request')} #{job.pk}"])


def _parameters(job: Job) -> list[tuple[str, str]]:
    """Return the parameters as (key of its name, value)."""
    sampler = SAMPLERS.get(job.sampler)
    parameters: list[tuple[str, str]] = [
        ("seed", str(job.seed) if job.count == 1 else f"{job.seed} … {job.seeds[-1]}"),
        ("steps", str(job.steps)),
        ("sampler", sampler.label if sampler else job.sampler),
        ("size", f"{job.width}x{job.height}"),
        ("guidance", f"{job.guidance:g}"),
    ]
    if job.style:
        parameters.append(("style", inline(job.style, limit=100)))
    if job.loras:
        parameters.append(("lora", inline(job.loras.replace(",", ", "), limit=300)))
    if job.source_job_id is not None:
        parameters.append(("source", f"#{job.source_job_id} · {(job.source_index or 0) + 1}"))
    elif job.source_url:
        parameters.append(("source", translate(job.locale, "field.attached_image")))
    if job.painted_area:
        view = "edited" if painted_areas.is_mask(job.painted_area) else job.painted_area
        parameters.append(("area", translate(job.locale, f"view.{view}")))
    if job.strength:
        parameters.append(("strength", f"{job.strength:g}"))
    return parameters


def _texts(job: Job) -> list[tuple[str, str]]:
    used = inline(job.styled_prompt, limit=300) if prompt_language.has_choices(job.prompt) else ""
    texts = (("prompt_used", used), ("negative_prompt", inline(job.negative_prompt, limit=300)))
    return [(key, text) for key, text in texts if text]


def result_controls(job: Job, *, is_copy: bool = False) -> tuple[dict[str, Any], ...]:
    """Return the select of what can be done with each image, and a row of buttons.

    What the server has switched off is left out. `is_copy`: the message is a member's own copy, from which the result
    in the channel cannot be deleted.
    """
    locale, pk = job.locale, job.pk
    off = frozenset(job.guild.switched_off)
    count = min(job.count, payloads.MAX_OPTIONS // len(IMAGE_ACTIONS))
    actions = [
        action for action in IMAGE_ACTIONS if features.OF_ACTION.get(action) not in off and _is_possible(job, action)
    ]
    options = tuple(
        Option(
            value=f"{action}:{index}",
            label=translate(locale, f"image.{action}", n=index + 1),
            description=translate(locale, f"image.{action}_description"),
            emoji=IMAGE_ACTIONS[action],
        )
        for index in range(count)
        for action in actions
    )
    buttons = (
        ("again", button(pack("reroll", pk), translate(locale, "button.again"), style=1, emoji="🔄")),
        ("edit", button(pack("edit", pk), translate(locale, "button.edit"), emoji="📝")),
        ("", button(pack("more", pk, int(is_copy)), translate(locale, "button.more"), emoji="⚙️")),
    )
    placeholder = translate(locale, "image.one" if count == 1 else "image.choose", n=count)
    return (
        row(select(pack("image", pk), options, placeholder=placeholder)),
        row(*(each for feature, each in buttons if feature not in off)),
    )


def _is_possible(job: Job, action: str) -> bool:
    """Return whether an image of the job is small enough for the action, and its model can do it."""
    if action in MAX_SIDES and 2 * max(job.width, job.height) > MAX_SIDES[action]:
        return False
    family = FAMILIES[job.model.family if job.model_id is not None else DEFAULT_FAMILY]
    return action in ("upscale", "full") or family.has_image_to_image
