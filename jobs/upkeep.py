"""Upkeep, once a minute: resend messages, reclaim and expire jobs, delete old data, deliver late results.

Two concurrent runs, or one that dies midway, do no harm: every change is a compare-and-set. Each task has its own time
budget, and tasks that need Discord come last, so an outage or one guild's rows do not block the others.
"""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from datetime import datetime

from discord_api.client import DiscordClient
from jobs import rollups

from .upkeep_tasks.cost_estimates import learn_speed
from .upkeep_tasks.discord_tasks import (
    fetch_requested_channels,
    notify_ended,
    refresh_command_ids,
    save_reply_ids,
    sync_guilds,
)
from .upkeep_tasks.member_names import remember_members
from .upkeep_tasks.mod_log import post_mod_log
from .upkeep_tasks.queue import expire_old, reclaim_dead, resend_lost_messages, start_relaxed
from .upkeep_tasks.retention import finish_erasures, forget_counters, purge_images, wipe_tokens
from .upkeep_tasks.task import Deadline, TaskRun, UpkeepTask, upkeep_task
from .upkeep_tasks.webhooks import send_webhooks
from .upkeep_tasks.welcome import welcome_guilds

__all__ = [
    "RUN_BUDGET_S",
    "TASKS",
    "Report",
    "expire_old",
    "fetch_requested_channels",
    "finish_erasures",
    "forget_counters",
    "learn_speed",
    "notify_ended",
    "post_mod_log",
    "purge_images",
    "reclaim_dead",
    "refresh_command_ids",
    "remember_members",
    "resend_lost_messages",
    "run",
    "save_reply_ids",
    "send_webhooks",
    "start_relaxed",
    "sync_guilds",
    "welcome_guilds",
    "wipe_tokens",
]

logger = logging.getLogger(__name__)

# The next run starts a minute after this one.
RUN_BUDGET_S = 55.0


@upkeep_task(budget_s=4)
def count_ended(work: TaskRun) -> int:
    """Update the counts of ended jobs for charts."""
    rollups.refresh_rollups(now=work.now)
    return 0


TASKS: tuple[UpkeepTask, ...] = (
    resend_lost_messages,
    reclaim_dead,
    start_relaxed,
    expire_old,
    wipe_tokens,
    purge_images,
    finish_erasures,
    forget_counters,
    learn_speed,
    count_ended,
    remember_members,
    send_webhooks,
    fetch_requested_channels,
    notify_ended,
    post_mod_log,
    save_reply_ids,
    refresh_command_ids,
    sync_guilds,
    welcome_guilds,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The result of one run: rows changed and seconds taken by each task.

    `failed` tasks raised an error or have failed rows, `unfinished` ones left rows for the next run, `skipped` ones
    need Discord, which was unavailable.
    """

    changed: dict[str, int]
    seconds: dict[str, float]
    failed: tuple[str, ...]
    unfinished: tuple[str, ...]
    skipped: tuple[str, ...]


def run(*, now: datetime, client: DiscordClient | None = None, budget_s: float = RUN_BUDGET_S) -> Report:
    """Run all upkeep tasks once. An error in one task is logged and does not stop the others."""
    deadline = Deadline(budget_s)
    changed: dict[str, int] = {}
    seconds: dict[str, float] = {}
    failed, unfinished, skipped = [], [], []
    discord_away = False
    for task in TASKS:
        if task.needs_discord and discord_away:
            skipped.append(task.name)
            continue
        if deadline.passed:
            unfinished.append(task.name)
            continue
        work = task.work(now=now, client=client, within_s=deadline.left_s)
        began = time.monotonic()
        try:
            changed[task.name] = task.run(work)
        except Exception as error:
            logger.exception("upkeep_task_failed", extra={"task": task.name})
            failed.append(task.name)
            discord_away |= bool(getattr(error, "outage", False))
        else:
            discord_away |= work.discord_away
            if work.failed:
                failed.append(task.name)
            if work.unfinished:
                unfinished.append(task.name)
        seconds[task.name] = round(time.monotonic() - began, 3)
    report = Report(
        changed=changed, seconds=seconds, failed=tuple(failed), unfinished=tuple(unfinished), skipped=tuple(skipped)
    )
    logger.info("upkeep", extra=asdict(report))
    return report
