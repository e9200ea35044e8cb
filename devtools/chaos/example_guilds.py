"""Servers for single kinds of fault, beside those that the simulator starts with."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from .request_buttons import is_open

MEMBERS = 2
# Every prompt of a run begins with this. No log may contain it.
PROMPT = "a fox number"
_FIRST_ID = 1_200_000_000_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """`settings` are fields of `Guild`; `month` and `day` limit the images of a member and of the whole server."""

    id: int
    name: str
    settings: dict[str, Any]
    month: int | None = None
    day: int | None = None

    @property
    def channel_id(self) -> int:
        return self.id + 1

    @property
    def member_ids(self) -> tuple[int, ...]:
        return tuple(self.id + 10 + number for number in range(MEMBERS))


_PLENTY = {"concurrency": 16, "max_waiting": 10_000, "max_waiting_per_member": 10_000}
# Nothing can be delivered here once it is closed.
CLOSED = Server(id=_FIRST_ID, name="Closed Doors", settings=_PLENTY)
# Its time zone is changed.
LIMITED = Server(id=_FIRST_ID + 1000, name="Small Quota", settings=_PLENTY, month=12, day=20)
# Two processes decide about its requests on both sides of a month's boundary.
SINGLE = Server(id=_FIRST_ID + 2000, name="One at a Time", settings=_PLENTY | {"concurrency": 1}, month=12)
# Upkeep deletes and erases this server's requests.
OLD = Server(id=_FIRST_ID + 3000, name="Old Requests", settings=_PLENTY)
ALL = (CLOSED, LIMITED, SINGLE, OLD)
# Members send requests here during the whole run.
ASKED = (CLOSED.id, LIMITED.id)
TIME_ZONES = ("Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu", "America/New_York", "UTC")


def make_simulated() -> None:
    """Create the servers in the simulator, with one channel and two members each."""
    from devtools.simulator import permissions
    from devtools.simulator.models import SimChannel, SimGuild, SimMember, SimRole, SimUser

    for server in ALL:
        users = [
            SimUser.objects.create(pk=pk, username=f"member-{pk}", global_name=f"Member {pk}")
            for pk in server.member_ids
        ]
        guild = SimGuild.objects.create(pk=server.id, name=server.name, owner=users[0])
        SimRole.objects.create(pk=server.id, guild=guild, name="@everyone", permissions=permissions.MEMBER)
        SimChannel.objects.create(pk=server.channel_id, guild=guild, name="sparkle")
        for user in users:
            SimMember.objects.create(guild=guild, user=user, joined_at=datetime.now(UTC) - timedelta(days=200))


def ask(server: Server, number: int, *, count: int = 1) -> Any:
    """Return the request of a member who has no interaction in the simulator: its end is posted in the channel."""
    from django.conf import settings

    from devtools.simulator import snowflake_generator
    from guilds.generation_params import RequestedParams
    from jobs.submission import JobRequest

    return JobRequest(
        interaction_id=snowflake_generator.make(datetime.now(UTC)),
        application_id=int(settings.DISCORD_APPLICATION_ID),
        token="of-no-interaction",
        guild_id=server.id,
        channel_id=server.channel_id,
        user_id=server.member_ids[number % MEMBERS],
        params=RequestedParams(prompt=f"{PROMPT} {time.monotonic_ns()}", count=count, steps=2),
    )


def make_platform() -> None:
    """Create the platform's rows, and a cancelled request for upkeep to erase. Runs in a platform process."""
    from guilds.models import Guild, QuotaRule
    from jobs.submission import Accepted, submit
    from jobs.transitions import cancel

    for server in ALL:
        guild, _ = Guild.objects.update_or_create(pk=server.id, defaults={"name": server.name} | server.settings)
        QuotaRule.objects.filter(guild=guild).delete()
        for subject, window, limit in (("member", "month", server.month), ("guild", "day", server.day)):
            if limit is not None:
                QuotaRule.objects.create(guild=guild, subject=subject, window=window, metric="images", limit=limit)
    now = datetime.now(UTC)
    accepted = submit(ask(OLD, 0), now=now)
    if not isinstance(accepted, Accepted):
        raise RuntimeError(f"A request was refused: {accepted.code}")
    cancel(accepted.job.pk, by=OLD.member_ids[0], now=now)


def close() -> None:
    """Make Discord refuse posts in the closed server's channel and direct messages to its members."""
    from devtools.simulator import permissions
    from devtools.simulator.models import SimChannel, SimUser

    SimChannel.objects.filter(pk=CLOSED.channel_id).update(
        bot_permissions=permissions.BOT & ~permissions.SEND_MESSAGES & ~permissions.ATTACH_FILES
    )
    SimUser.objects.filter(pk__in=CLOSED.member_ids).update(accepts_dms=False)
    delete_open_replies()


def delete_open_replies() -> None:
    """Delete every reply in the closed server that does not show an end yet, as its moderators may."""
    from devtools.simulator.models import SimMessage

    for message in SimMessage.objects.filter(channel_id=CLOSED.channel_id, deleted_at=None):
        if is_open(message.components):
            SimMessage.objects.filter(pk=message.pk).update(deleted_at=datetime.now(UTC))
