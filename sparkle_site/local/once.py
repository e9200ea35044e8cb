"""One request without a browser: a member of the simulator uses /sparkle, and what Discord got goes into a file."""

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

if TYPE_CHECKING:
    from jobs.models import Job

    from .simulator.models import SimMember, SimMessage

POLL_S = 0.1
TIMEOUT_S = 15 * 60  # As long as Discord would take the answer.
BAR_CELLS = 24
OPTIONS = ("negative_prompt", "seed", "steps", "sampler", "size", "guidance", "count", "style")


class Unusable(Exception):
    """The command line asks for something that is not there; the message is a line for a person."""


def make(options: argparse.Namespace, *, alive: Callable[[], None]) -> int:
    """Ask for pictures, follow them, save them; print the outcome as a line of JSON.

    `alive` raises when the platform has broken. Return 0 for pictures, 1 for a refusal or a failure. Raises Unusable.
    """
    from jobs.lifecycle import ENDED, Status
    from jobs.models import Job

    from .simulator import interact

    started = time.monotonic()
    member = _member(options.guild)
    channel = member.guild.channels.all()[0]
    wish = {name: getattr(options, name) for name in OPTIONS if getattr(options, name) is not None}
    try:
        outcome = interact.use_command(
            channel=channel, user=member.user, name="sparkle", options={"prompt": options.once} | wish
        )
    except interact.Unusable as error:
        return _failed(str(error))
    job = Job.objects.filter(interaction_id=outcome.interaction_id).exclude(status=Status.REFUSED).first()
    if job is None:
        return _failed(outcome.problem or (outcome.message.content if outcome.message else "no answer"))
    with Bar() as bar:
        while job.status not in ENDED or job.announced_at is None:
            alive()
            if time.monotonic() - started > TIMEOUT_S:
                return _failed("it takes too long", job)
            bar.show(job)
            time.sleep(POLL_S)
            job.refresh_from_db()
        bar.show(job)
    message = _last_message(job)
    if job.status != Status.COMPLETED or message is None:
        return _failed(message.content if message else job.reason, job)
    saved = _save(message, options.out or Path(f"sparkle-{job.pk}.png"))
    print(_line(job, seconds=time.monotonic() - started, images=saved))
    return 0


def _member(guild: str | None) -> SimMember:
    from .simulator.models import SimGuild

    guilds = {each.name: each for each in SimGuild.objects.filter(installed=True)}
    if guild is not None and guild not in guilds:
        raise Unusable(f"there is no server {guild}; there are: {', '.join(guilds)}")
    chosen = guilds[guild] if guild is not None else next(iter(guilds.values()))
    return chosen.members.select_related("user", "guild").filter(user__bot=False)[0]


def _last_message(job: Job) -> SimMessage | None:
    """The message that told the end: the reply to the command, or the post that took its place."""
    from .simulator.models import SimInteraction, SimMessage

    if job.message_id is not None:
        return SimMessage.objects.filter(pk=job.message_id).first()
    return SimInteraction.objects.get(pk=job.interaction_id).original


def _save(message: SimMessage, out: Path) -> list[Path]:
    """Write the message's pictures to `out` and, if there are more, beside it."""
    saved = []
    for number, attachment in enumerate(message.attachments.filter(content_type__startswith="image/")):
        path = out if not number else out.with_stem(f"{out.stem}-{number + 1}")
        content = bytes(attachment.content)
        if Path(attachment.filename).suffix == path.suffix:
            path.write_bytes(content)
        else:
            with Image.open(io.BytesIO(content)) as picture:
                picture.convert("RGB").save(path)
        saved.append(path)
    return saved


def check(options: argparse.Namespace) -> None:
    """Raise Unusable for what can be known to be wrong before anything is started."""
    if any("\ud800" <= character <= "\udfff" for character in options.once):
        raise Unusable("--once: the prompt is not UTF-8")
    out = options.out
    if out is None:
        return
    if out.suffix.lower() not in Image.registered_extensions():
        raise Unusable(f"--out {out}: end the name with .png or another picture's ending")
    if not out.parent.is_dir():
        raise Unusable(f"--out {out}: there is no folder {out.parent}")


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
    print(f"No pictures: {reason}", file=sys.stderr)
    if job is None:
        print(json.dumps({"job_id": None, "status": "refused", "seed": None, "seconds": 0, "images": []}))
    else:
        seconds = ((job.ended_at or job.created_at) - job.created_at).total_seconds()
        print(_line(job, seconds=seconds, images=[]))
    return 1


class Bar:
    """A job's progress on the terminal; where stderr is no terminal, a line for each status."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._shown = ""

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            print(file=sys.stderr)

    def show(self, job: Job) -> None:
        text = str(job.status)
        if self._live:
            done = 1.0 if job.made_at else job.progress_step / (job.progress_total or 1)
            cells = round(done * BAR_CELLS)
            text = f"\r{'█' * cells}{'░' * (BAR_CELLS - cells)} {done:4.0%} {job.status:<10}"
        if text != self._shown:
            print(text, end="" if self._live else "\n", file=sys.stderr, flush=True)
            self._shown = text
