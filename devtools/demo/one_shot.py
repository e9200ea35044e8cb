"""One request without a browser: a simulated member uses /sparkle, and the resulting images are saved."""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from devtools.cli.progress_bar import ProgressBar

if TYPE_CHECKING:
    from devtools.simulator.models import SimMember, SimMessage
    from jobs.models import Job

POLL_S = 0.1
TIMEOUT_S = 15 * 60  # The lifetime of an interaction token.
# Progress at these points, including the start of the platform.
SUBMITTED, GENERATED = 0.6, 0.95
OPTIONS = ("negative_prompt", "seed", "steps", "sampler", "size", "guidance", "count", "style")


def generate(options: argparse.Namespace, *, bar: ProgressBar, alive: Callable[[], None]) -> int:
    """Submit a request, wait for it and save its images; print the outcome as a line of JSON.

    `alive` raises when a process has failed. Return 0 for images, 1 for a refusal or a failure.
    """
    from devtools.simulator import client
    from interactions_lambda import snapstart
    from jobs.dispatch.message import current_dispatcher
    from jobs.job_status import ENDED, Status
    from jobs.models import Job

    # Import everything before the command: on a busy machine imports take longer than its response may.
    snapstart.prepare()
    current_dispatcher()
    started = time.monotonic()
    member = _member(options.guild)
    channel = member.guild.channels.all()[0]
    wish = {name: getattr(options, name) for name in OPTIONS if getattr(options, name) is not None}
    try:
        outcome = client.use_command(
            channel=channel, user=member.user, name="sparkle", options={"prompt": options.once} | wish
        )
    except client.Unusable as error:
        bar.end()
        return _failed(str(error))
    job = Job.objects.filter(interaction_id=outcome.interaction_id).exclude(status=Status.REFUSED).first()
    if job is None:
        bar.end()
        return _failed(outcome.problem or (outcome.message.content if outcome.message else "no response"))
    with bar:
        while job.status not in ENDED or job.notified_at is None:
            alive()
            if time.monotonic() - started > TIMEOUT_S:
                return _failed("the request took too long", job)
            _show(job, bar)
            time.sleep(POLL_S)
            job.refresh_from_db()
        if job.status == Status.COMPLETED:
            bar.show(1, str(job.status))
    message = _last_message(job)
    if job.status != Status.COMPLETED or message is None:
        return _failed(message.content if message else job.reason, job)
    saved = _save(message, options.out or Path(f"sparkle-{job.pk}.png"))
    print(_line(job, seconds=time.monotonic() - started, images=saved))
    return 0


def _show(job: Job, bar: ProgressBar) -> None:
    done = 1.0 if job.images_stored_at else job.progress_step / (job.progress_total or 1)
    bar.show(SUBMITTED + (GENERATED - SUBMITTED) * done, str(job.status))


def _member(guild: str | None) -> SimMember:
    from devtools.simulator.models import SimGuild

    guilds = {each.name: each for each in SimGuild.objects.filter(installed=True)}
    chosen = guilds[guild] if guild is not None else next(iter(guilds.values()))
    return chosen.members.select_related("user", "guild").filter(user__bot=False)[0]


def _last_message(job: Job) -> SimMessage | None:
    """Return the final message: the reply to the command, or the post that replaced it."""
    from devtools.simulator.models import SimInteraction, SimMessage

    if job.message_id is not None:
        return SimMessage.objects.filter(pk=job.message_id).first()
    return SimInteraction.objects.get(pk=job.interaction_id).original


def _save(message: SimMessage, out: Path) -> list[Path]:
    """Write the message's images to `out`; further ones go next to it."""
    saved = []
    for number, attachment in enumerate(message.attachments.filter(content_type__startswith="image/")):
        path = out if not number else out.with_stem(f"{out.stem}-{number + 1}")
        content = bytes(attachment.content)
        if Path(attachment.filename).suffix == path.suffix:
            path.write_bytes(content)
        else:
            with Image.open(io.BytesIO(content)) as image:
                image.convert("RGB").save(path)
        saved.append(path)
    return saved


def _line(job: Job, *, seconds: float, images: list[Path]) -> str:
    report: dict[str, Any] = {
        "job_id": job.pk,
        "status": str(job.status),
        "seed": job.seed,
        "seconds": round(seconds, 2),
        "images": [str(path) for path in images],
    }
    return json.dumps(report)


def _failed(reason: str, job: Job | None = None) -> int:
    print(f"No images: {reason}", file=sys.stderr)
    if job is None:
        print(json.dumps({"job_id": None, "status": "refused", "seed": None, "seconds": 0, "images": []}))
    else:
        seconds = ((job.ended_at or job.created_at) - job.created_at).total_seconds()
        print(_line(job, seconds=seconds, images=[]))
    return 1
