"""What quota rules would have refused, by replaying past requests through the same decision. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from . import quota
from .quota import GUILD_SUBJECT, Counter, Rule
from .quota_clock import WINDOWS, QuotaClock, Window

# CPU seconds after which a replay ends with the requests that it has looked at.
BUDGET_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRequest:
    """A request with what it needed, and what it used in the end: nothing if it failed or was cancelled.

    `places`: its channel, with the category or the thread's channel.
    """

    at: datetime
    user_id: int
    images: int
    gpu_ms: int
    used_images: int
    used_gpu_ms: int
    places: frozenset[int | None] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Requests looked at, requests that the rules would have refused, and the members whose requests those were."""

    requests: int
    refused: int
    members: int


def replay(
    rules: Sequence[Rule],
    requests: Iterable[PastRequest],
    *,
    clock: QuotaClock,
    cooldown_s: int = 0,
    spent_s: Callable[[], float] = time.thread_time,
) -> Replay:
    """Replay the requests, oldest first. Rules of roles are left out: which roles a member had is not kept."""
    kept = [rule for rule in rules if rule.subject != "role"]
    last_at: dict[int, datetime] = {}
    windows: dict[str, Window] = {}
    used: dict[tuple[int, str], Counter] = {}
    looked_at, refused, members, began = 0, 0, set(), spent_s()
    for request in requests:
        if spent_s() - began > BUDGET_S:
            break
        looked_at += 1
        for name in WINDOWS:
            if name not in windows or request.at >= windows[name].end:
                windows[name] = clock.window(name, request.at)
                used = {key: counter for key, counter in used.items() if key[1] != name}
        chosen = quota.applicable(kept, frozenset(), places=request.places)
        if _refused(
            chosen, used, request, windows=windows, cooldown_s=cooldown_s, last_at=last_at.get(request.user_id)
        ):
            refused += 1
            members.add(request.user_id)
            continue
        last_at[request.user_id] = request.at
        charged = Counter(images=request.used_images, gpu_ms=request.used_gpu_ms)
        counters = {(subject, name) for subject in (GUILD_SUBJECT, request.user_id) for name in WINDOWS}
        counters |= {(quota.counter_subject(rule, request.user_id), rule.window) for rule in chosen}
        for key in counters:
            used[key] = used.get(key, Counter()) + charged
    return Replay(requests=looked_at, refused=refused, members=len(members))


def _refused(
    rules: Sequence[Rule],
    used: Mapping[tuple[int, str], Counter],
    request: PastRequest,
    *,
    windows: Mapping[str, Window],
    cooldown_s: int,
    last_at: datetime | None,
) -> bool:
    statuses = quota.evaluate(rules, used, user_id=request.user_id, windows=windows)
    exceeded = quota.decide(statuses, images=request.images, gpu_ms=request.gpu_ms)
    return (
        exceeded or quota.decide_cooldown(cooldown_s, last_at=last_at, images=request.images, now=request.at)
    ) is not None
