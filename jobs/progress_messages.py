"""The Discord message of a job while it waits or runs, and when it ends without images.

The Lambda, the worker and upkeep use it. Every function returns the whole message, so an edit replaces
everything. jobs.result_messages has the images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from discord_api.custom_id import pack
from discord_api.i18n import has_translation, translate
from discord_api.markdown import code_block
from discord_api.payloads import File, Message, button, row

if TYPE_CHECKING:
    from .models import Job

_BLOCK = 1500


def submitted(
    job: Job,
    *,
    place: int,
    wait_s: float | None,
    gpu_starting: bool,
    budget_warning: bool = False,
    over_quota: bool = False,
    lowered: Mapping[str, int] | None = None,
) -> Message:
    """Return the first message: the place in the queue (1 is next, 0 unknown) and the wait in seconds, None if unknown.

    A relaxed job has neither place nor wait: the message says when it runs, and with `over_quota` why it is relaxed.
    `lowered` are the parameters ("count", "steps") that were lowered to their limits.
    """
    locale = job.locale
    lines = [translate(locale, "job.submitted")]
    if job.due_at is not None:
        if over_quota:
            lines.append(translate(locale, "job.relaxed_over_quota"))
        lines.append(translate(locale, "job.relaxed", due=f"<t:{int(job.due_at.timestamp())}:R>"))
    else:
        lines.append(_outlook(locale, place=place, wait_s=wait_s, gpu_starting=gpu_starting))
    lines += [
        translate(locale, f"job.lowered_{parameter}", limit=limit) for parameter, limit in (lowered or {}).items()
    ]
    if budget_warning:
        lines.append(translate(locale, "job.budget_warning"))
    return _open_message(job, lines)


def _outlook(locale: str, *, place: int, wait_s: float | None, gpu_starting: bool) -> str:
    outlook = []
    if place:
        outlook.append(translate(locale, "job.next") if place == 1 else translate(locale, "job.place", place=place))
    if gpu_starting:
        outlook.append(translate(locale, "job.gpu_starting"))
    if wait_s is not None:
        outlook.append(translate(locale, "job.wait", wait=duration(locale, wait_s)))
    return " ".join(outlook)


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


def ended(job: Job) -> Message:
    """Return the message of a job that ended without images: the reason, and what to do next."""
    locale = job.locale
    key = f"reason.{job.reason}"
    lines = [
        translate(locale, f"job.{job.status}"),
        translate(locale, key if job.reason and has_translation(key) else f"reason.{job.status}"),
        code_block(job.prompt, limit=_BLOCK),
    ]
    reroll = button(pack("reroll", job.pk), translate(locale, "button.again"), emoji="🔄")
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
