"""Each minute: resend, take back, expire, wipe, purge, tell. Safe when two run at once or one dies midway, since every
step is a compare-and-set on rows of its own.

What needs no Discord comes first, and each part has a time of its own: an outage or one server's rows cost the others
nothing. The parts are in modules by concern; `parts` has what they share.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from datetime import datetime

from discord_api.client import DiscordClient
from jobs import rollups

from .upkeep_tasks.cost_estimates import learn_speed
from .upkeep_tasks.notifications import notify_ended, refresh_channels, refresh_command_ids, save_reply_ids, sync_guilds
from .upkeep_tasks.queue import expire_old, reclaim_dead, resend_lost_messages
from .upkeep_tasks.retention import finish_erasures, forget_counters, purge_images, wipe_tokens
from .upkeep_tasks.task import Deadline, TaskRun, UpkeepTask, upkeep_task

__all__ = [
    "PARTS",
    "RUN_BUDGET_S",
    "Report",
    "expire_old",
    "finish_erasures",
    "forget_counters",
    "learn_speed",
    "notify_ended",
    "purge_images",
    "reclaim_dead",
    "refresh_channels",
    "refresh_command_ids",
    "resend_lost_messages",
    "run",
    "save_reply_ids",
    "sync_guilds",
    "wipe_tokens",
]

logger = logging.getLogger(__name__)

# The next run begins a minute after this one.
RUN_BUDGET_S = 55.0


@upkeep_task(budget_s=4)
def count_ended(work: TaskRun) -> int:
    """Count ended requests ahead, for charts."""
    rollups.refresh_rollups(now=work.now)
    return 0


PARTS: tuple[UpkeepTask, ...] = (
    resend_lost_messages,
    reclaim_dead,
    expire_old,
    wipe_tokens,
    purge_images,
    finish_erasures,
    forget_counters,
    learn_speed,
    count_ended,
    refresh_channels,
    notify_ended,
    save_reply_ids,
    refresh_command_ids,
    sync_guilds,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one run did, by part: rows changed and seconds taken.

    `failed` parts broke or have rows that failed, `unfinished` ones left rows to the next minute, `skipped` ones need
    Discord, which was away.
    """

    changed: dict[str, int]
    seconds: dict[str, float]
    failed: tuple[str, ...]
    unfinished: tuple[str, ...]
    skipped: tuple[str, ...]


def run(*, now: datetime, client: DiscordClient | None = None, budget_s: float = RUN_BUDGET_S) -> Report:
    """Do all of upkeep once. A part that fails is logged and does not keep the others from their work."""
    deadline = Deadline(budget_s)
    changed: dict[str, int] = {}
    seconds: dict[str, float] = {}
    failed, unfinished, skipped = [], [], []
    discord_away = False
    for each in PARTS:
        if each.needs_discord and discord_away:
            skipped.append(each.name)
            continue
        if deadline.passed:
            unfinished.append(each.name)
            continue
        work = each.work(now=now, client=client, within_s=deadline.left_s)
        began = time.monotonic()
        try:
            changed[each.name] = each.run(work)
        except Exception as error:
            logger.exception("upkeep_part_failed", extra={"part": each.name})
            failed.append(each.name)
            discord_away |= bool(getattr(error, "outage", False))
        else:
            discord_away |= work.discord_away
            if work.failed:
                failed.append(each.name)
            if work.unfinished:
                unfinished.append(each.name)
        seconds[each.name] = round(time.monotonic() - began, 3)
    report = Report(
        changed=changed, seconds=seconds, failed=tuple(failed), unfinished=tuple(unfinished), skipped=tuple(skipped)
    )
    logger.info("upkeep", extra=asdict(report))
    return report
