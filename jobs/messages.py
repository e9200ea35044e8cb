"""The text and buttons of a job's message in each status. Used by Lambda, worker and upkeep.

Every function returns the whole message, so an edit replaces everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.conf import settings

from discord_api import payloads
from discord_api.custom_id import pack
from discord_api.i18n import has_translation, translate
from discord_api.markdown import code_block, inline
from discord_api.payloads import File, Message, button, link_button, row
from guilds.samplers import SAMPLERS

if TYPE_CHECKING:
    from .models import Job

_BLURPLE = 0x5865F2
_BLOCK = 1500
MAX_SIDE = 2048


def submitted(
    job: Job,
    *,
    place: int,
    wait_s: float | None,
    gpu_starting: bool,
    budget_warning: bool = False,
    lowered: Mapping[str, int] | None = None,
) -> Message:
    """Return the first message: the place in the queue (1 is next, 0 unknown) and the wait in seconds, None if unknown.

    `lowered` are the parameters ("count", "steps") that were lowered to their limits.
    """
    locale = job.locale
    lines = [translate(locale, "job.submitted")]
    outlook = []
    if place:
        outlook.append(translate(locale, "job.next") if place == 1 else translate(locale, "job.place", place=place))
    if gpu_starting:
        outlook.append(translate(locale, "job.gpu_starting"))
    if wait_s is not None:
        outlook.append(translate(locale, "job.wait", wait=duration(locale, wait_s)))
    lines.append(" ".join(outlook))
    lines += [
        translate(locale, f"job.lowered_{parameter}", limit=limit) for parameter, limit in (lowered or {}).items()
    ]
    if budget_warning:
        lines.append(translate(locale, "job.budget_warning"))
    return _open_message(job, lines)


def processing(job: Job, *, step: int, total: int, preview: File | None = None) -> Message:
    """Return the message of a running job: a progress bar, the step of `total`, and a preview if there is one."""
    lines = [translate(job.locale, "job.processing")]
    if total > 0:
        step = min(max(step, 0), total)
        filled = round(10 * step / total)
        lines.append(f"{'▰' * filled}{'▱' * (10 - filled)} {translate(job.locale, 'job.step', step=step, total=total)}")
    return _open_message(job, lines, files=(preview,) if preview else ())


def _open_message(job: Job, lines: list[str], files: tuple[File, ...] = ()) -> Message:
    lines.append(code_block(job.prompt, limit=_BLOCK))
    return Message(content="\n".join(lines), components=cancel_button(job), files=files, ephemeral=job.ephemeral)


def cancel_button(job: Job) -> tuple[dict[str, Any], ...]:
    """Return the row with the cancel button of an open job."""
    return (row(button(pack("cancel", job.pk), translate(job.locale, "button.cancel"))),)


def stopping(job: Job) -> Message:
    """Return the message of a running job whose cancel was requested."""
    lines = [
        translate(job.locale, "job.processing"),
        translate(job.locale, "job.stopping"),
        code_block(job.prompt, limit=_BLOCK),
    ]
    return Message(content="\n".join(lines), ephemeral=job.ephemeral)


def completed(job: Job, files: tuple[File, ...], *, link: str | None = None, truncated_tokens: int = 0) -> Message:
    """Return the message with the images, their parameters and buttons. The first file is the grid.

    `link` leads to images that were too large to post. The model ignored `truncated_tokens` tokens of the prompt.
    """
    locale = job.locale
    lines = [translate(locale, "job.completed")]
    if truncated_tokens > 0:
        lines.append(translate(locale, "job.truncated_tokens", n=truncated_tokens))
    if link and not files:
        lines.append(translate(locale, "job.files_elsewhere"))
    embed = details(job)
    # An embed would show a spoiler.
    if files and not files[0].spoiler:
        embed["image"] = {"url": f"attachment://{files[0].wire_name}"}
    rows = result_buttons(job)
    if link:
        rows = (*rows, row(link_button(link, translate(locale, "button.open"))))
    return Message(
        content="\n".join(lines),
        embeds=(embed,),
        components=rows,
        files=files,
        ephemeral=job.ephemeral,
    )


def gallery_url(job: Job) -> str:
    """Return the address of a job's page in the gallery."""
    return f"{settings.SITE_URL}/gallery/{job.guild_id}/{job.pk}/"


def completed_late(job: Job, *, grid: bytes, blurred: bool) -> Message:
    """Return the completed message for upkeep, with the grid if the size limit allows it, else with a link."""
    if not grid or len(grid) > job.attachment_size_limit:
        return completed(job, (), link=gallery_url(job))
    return completed(job, (grid_file(job, grid, suffix="png", content_type="image/png", blurred=blurred),))


def grid_file(job: Job, content: bytes, *, suffix: str, content_type: str, blurred: bool) -> File:
    """Return the grid as a message's file, with the prompt as alt text."""
    return File(
        name=f"sparkle-{job.pk}.{suffix}",
        content=content,
        content_type=content_type,
        description=job.prompt,
        spoiler=job.spoiler or blurred,
    )


def details(job: Job) -> dict[str, Any]:
    """Return an embed with the prompt and the parameters that reproduce the images."""
    locale = job.locale
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
    if job.strength is not None:
        parameters.append(("strength", f"{job.strength:g}"))
    fields = [
        {"name": translate(locale, f"field.{key}"), "value": value or "-", "inline": True} for key, value in parameters
    ]
    shown = inline(job.negative_prompt, limit=300)
    if shown:
        fields.append(
            {
                "name": translate(locale, "field.negative_prompt"),
                "value": payloads.truncate(shown, 1024),
                "inline": False,
            }
        )
    return {
        "description": code_block(job.prompt, limit=2000),
        "color": _BLURPLE,
        "fields": fields,
        "footer": {"text": f"{translate(locale, 'field.request')} #{job.pk}"},
    }


def result_buttons(job: Job, *, delete: bool = True) -> tuple[dict[str, Any], ...]:
    """Return the rows of buttons: vary and enlarge each image, then reroll, edit, delete and report."""
    locale, pk = job.locale, job.pk
    numbers = range(min(job.count, 4))
    rows = [row(*(button(pack("vary", pk, n), translate(locale, "button.vary", n=n + 1), emoji="🎲") for n in numbers))]
    if max(job.width, job.height) * 2 <= MAX_SIDE:
        rows.append(
            row(
                *(
                    button(pack("enlarge", pk, n), translate(locale, "button.enlarge", n=n + 1), emoji="🔍")
                    for n in numbers
                )
            )
        )
    last = [
        button(pack("reroll", pk), translate(locale, "button.reroll"), style=1, emoji="🔄"),
        button(pack("edit", pk), translate(locale, "button.edit"), emoji="📝"),
    ]
    if delete:
        last.append(button(pack("delete", pk), translate(locale, "button.delete"), emoji="🗑️"))
    rows.append(row(*last, button(pack("report", pk), translate(locale, "button.report"), emoji="🚩")))
    return tuple(rows)


def ended(job: Job) -> Message:
    """Return the message of a job that ended without images: the reason, and what to do next."""
    locale = job.locale
    key = f"reason.{job.reason}"
    lines = [
        translate(locale, f"job.{job.status}"),
        translate(locale, key if job.reason and has_translation(key) else f"reason.{job.status}"),
        code_block(job.prompt, limit=_BLOCK),
    ]
    reroll = button(pack("reroll", job.pk), translate(locale, "button.reroll"), emoji="🔄")
    edit = button(pack("edit", job.pk), translate(locale, "button.edit"), emoji="📝")
    return Message(
        content="\n".join(lines),
        components=(row(reroll, edit),),
        ephemeral=job.ephemeral,
    )


def duration(locale: str, seconds: float) -> str:
    """Return `seconds` in words, rounded as an estimate."""
    if seconds < 90:
        return translate(locale, "unit.seconds", n=max(5, 5 * round(seconds / 5)))
    if seconds < 90 * 60:
        return translate(locale, "unit.minutes", n=round(seconds / 60))
    return translate(locale, "unit.hours", n=round(seconds / 3600))
