"""`./dev chaos`: inject random faults while requests come in, then check that nothing was lost."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from devtools import run_directory
from devtools.cli import arguments
from devtools.embedded_postgres import DatabaseUnavailable
from devtools.hardware import describe
from devtools.processes import ChildFailed, interrupt_on_termination

from . import example_guilds, fault_plan
from .environment import BROKEN_MODEL, ChaosEnvironment, StartFailed, make_http_handler, say
from .example_guilds import PROMPT
from .failing_engine import Poison
from .fault_plan import Fault, Kind
from .invariants import Observed, check_environment, platform_rows
from .request_buttons import is_open

SENDERS = 4
MOST_WORKERS = 64  # Each is a separate process.
DRAIN_S = 240.0
POISON_TRIES = 20
POISONS = {
    Kind.HANG_ENGINE: (Poison.STEP_HANGS, Poison.DECODING_HANGS),
    Kind.POISON_JOB: (Poison.STEP_RAISES, Poison.CARD_BREAKS),
    Kind.LOADER_RAISES: (Poison.LOADER_RAISES,),
}
# Faults that an earlier version may not survive.
RECENT = {*POISONS, Kind.MONTH_BOUNDARY, Kind.CHANGE_TIME_ZONE, Kind.CLOSE_SERVER, Kind.DISCORD_DOWN}
BOUNDARY_ASKS = 12
# Requests of four images for each member: more than the quota.
QUOTA_ASKS = 4
CLOSED_ASKS = 6


class Run:
    """One run: threads send requests, faults are injected by the plan, then everything drains."""

    def __init__(
        self,
        environment: ChaosEnvironment,
        *,
        jobs: int,
        faults: tuple[Fault, ...],
        seed: int,
        rate: float,
        discord_down_s: float,
    ) -> None:
        self.environment = environment
        self.jobs = jobs
        self.faults = faults
        self.rate = rate
        self.discord_down_s = discord_down_s
        self.observed = Observed()
        # Must repeat with the same seed; no secret.
        self.chance = random.Random(seed)  # nosec B311
        self.accepted: set[int] = set()
        self.answers: Counter[str] = Counter()
        self.slowest_s = 0.0
        self.struck: Counter[str] = Counter()
        self._sent = 0
        self._lock = threading.Lock()
        self._settled = threading.Semaphore(0)

    # -- requests

    @cached_property
    def channels(self) -> list[Any]:
        """The channels where the bot may post and members send requests, as they were before any fault."""
        from devtools.simulator import permissions
        from devtools.simulator.models import SimChannel

        return [
            channel
            for channel in SimChannel.objects.filter(guild__isnull=False).select_related("guild")
            if permissions.may(channel.bot_permissions, permissions.BOT)
            and (
                channel.guild_id in example_guilds.ASKED
                or channel.guild_id not in {server.id for server in example_guilds.ALL}
            )
        ]

    def send_all(self) -> None:
        from devtools.simulator.models import SimMember

        channels = self.channels
        members = {channel.pk: list(SimMember.objects.filter(guild=channel.guild)) for channel in channels}
        began = time.monotonic()

        def work() -> None:
            from django.db import connections

            while True:
                with self._lock:
                    number = self._sent
                    if number >= self.jobs:
                        break
                    self._sent += 1
                    channel = self.chance.choice(channels)
                    user = self.chance.choice(members[channel.pk]).user
                    count, steps = self.chance.randrange(1, 5), self.chance.randrange(1, 12)
                    port = self.environment.ingress_ports[number % len(self.environment.ingress_ports)]
                time.sleep(max(0.0, began + number / self.rate - time.monotonic()))
                try:
                    self._send(channel, user, count=count, steps=steps, port=port)
                except Exception as error:
                    self._note(f"sender: {type(error).__name__}: {error}"[:120])
            connections.close_all()

        threads = [threading.Thread(target=work) for _ in range(SENDERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _send(self, channel: Any, user: Any, *, count: int, steps: int, port: int, poison: str = "") -> bool:
        """Send one request; return whether it was accepted. `poison` is put into the prompt, or names the model."""
        from devtools.simulator import client

        began = time.monotonic()
        outcome = client.use_command(
            channel=channel,
            user=user,
            name="sparkle",
            options={"prompt": f"{PROMPT} {time.monotonic_ns()} {poison}".strip(), "count": count, "steps": steps}
            | ({"model": BROKEN_MODEL} if poison == Poison.LOADER_RAISES else {}),
            handler=make_http_handler(port),
        )
        with self._lock:
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        if outcome.problem:
            self._note("no answer")
            return False
        elif outcome.message is not None and is_open(outcome.message.components):
            with self._lock:
                self.accepted.add(outcome.interaction_id)
            self._note("accepted")
            if channel.guild_id == example_guilds.CLOSED.id and self.observed.closed_at is not None:
                example_guilds.delete_open_replies()
            return True
        else:
            said = outcome.message.content if outcome.message is not None else str(outcome.callback_type)
            self._note(f"said no: {said[:60]}")
        return False

    def _note(self, what: str) -> None:
        with self._lock:
            self.answers[what] += 1

    @property
    def sent(self) -> int:
        return self._sent

    # -- faults

    def strike_all(self) -> None:
        for fault in self.faults:
            while self.sent < min(fault.at_job, self.jobs):
                time.sleep(0.05)
            self.environment.revive()
            say(f"{self.sent:5d} sent  {fault.kind}  {fault.target if 'worker' in fault.kind else ''}")
            self.struck[fault.kind] += 1
            try:
                self._strike(fault)
            except (StartFailed, ChildFailed):
                raise
            except Exception as error:
                say(f"            {fault.kind} could not be injected: {type(error).__name__}: {error}")

    def _strike(self, fault: Fault) -> None:
        environment = self.environment
        worker = environment.workers[fault.target % len(environment.workers)]
        ingress = environment.ingresses[fault.target % len(environment.ingresses)]
        match fault.kind:
            case Kind.KILL_WORKER:
                worker.end()
                worker.start()
            case Kind.STOP_WORKER:
                worker.end(signal.SIGTERM)
                worker.start()
            case Kind.SKEW_CLOCK:
                worker.end()
                plain = worker.arguments
                worker.arguments = ["-m", "devtools.chaos.skewed_clock", str(round(fault.seconds * 2 - 2.5, 1))]
                worker.start()
                worker.arguments = plain
            case Kind.KILL_INGRESS:
                ingress.end()
                ingress.start()
            case Kind.KILL_UPKEEP:
                environment.upkeep.end()
                environment.upkeep.start()
            case Kind.KILL_DISCORD:
                environment.discord.end()
                time.sleep(fault.seconds)
                environment.start_discord()
            case Kind.KILL_DATABASE:
                environment.platform_db.crash_and_recover()
            case Kind.KILL_QUEUE:
                environment.queue.end()
                environment.start_queue()
            case Kind.CUT_DATABASE:
                self._for_a_while(fault, environment.platform_db.proxy.cut, environment.platform_db.proxy.restore)
            case Kind.SLOW_DATABASE:
                self._slow(fault, environment.platform_db.proxy, 0.05)
            case Kind.CUT_QUEUE:
                self._for_a_while(fault, environment.queue_proxy.cut, environment.queue_proxy.restore)
            case Kind.SLOW_QUEUE:
                self._slow(fault, environment.queue_proxy, 0.3)
            case Kind.CUT_DISCORD:
                self._for_a_while(fault, environment.discord_proxy.cut, environment.discord_proxy.restore)
            case Kind.DISCORD_429 | Kind.DISCORD_500 | Kind.DISCORD_404:
                self._misbehave(fault)
            case Kind.DOUBLE_MESSAGES | Kind.REORDER_MESSAGES:
                self._extra_messages(newest_first=fault.kind == Kind.REORDER_MESSAGES)
            case Kind.REDELIVER:
                self._redeliver()
            case _:
                self._strike_outside(fault)

    def _strike_outside(self, fault: Fault) -> None:
        """Faults that come from what members ask for, what moderators change, and what Discord refuses."""
        match fault.kind:
            case Kind.HANG_ENGINE | Kind.POISON_JOB | Kind.LOADER_RAISES:
                self._poison(fault)
            case Kind.MONTH_BOUNDARY:
                self._decide_at_boundary()
            case Kind.CHANGE_TIME_ZONE:
                self._change_time_zone(fault)
            case Kind.CLOSE_SERVER:
                self._close_server()
            case Kind.DISCORD_DOWN:
                self._take_discord_down()
            case _:
                raise ValueError(f"No implementation of the fault {fault.kind}.")

    def _decide_at_boundary(self) -> None:
        decided = self.environment.decide_at_boundary(BOUNDARY_ASKS)
        for error in decided["errors"]:
            self._note(f"decider: {error}"[:120])
        with self._lock:
            self.accepted.update(decided["accepted"])
        self.observed.most_active.append(decided["most_active"])

    def _change_time_zone(self, fault: Fault) -> None:
        """Let every member use up the quota, before and after the change of time zone."""
        zones = itertools.islice(itertools.cycle(example_guilds.TIME_ZONES), fault.target * 2, fault.target * 2 + 2)
        self._ask_often(example_guilds.LIMITED, QUOTA_ASKS)
        for zone in zones:
            self.environment.change_time_zone(zone)
            self._ask_often(example_guilds.LIMITED, QUOTA_ASKS)

    def _close_server(self) -> None:
        if self.observed.closed_at is None:
            example_guilds.close()
            self.observed.closed_at = datetime.now(UTC)
        self._ask_often(example_guilds.CLOSED, CLOSED_ASKS // example_guilds.MEMBERS)

    def _take_discord_down(self) -> None:
        """Disconnect Discord, and check that upkeep erases what is due before Discord is back."""
        proxy = self.environment.discord_proxy
        proxy.cut_for(self.discord_down_s)
        aged = erased = False
        while proxy.down_s and not erased:
            aged = aged or self.environment.age_request()
            erased = aged and self.environment.old_is_erased()
            time.sleep(0.2)
        self.observed.erased_in_outage.append(erased)

    def _ask_often(self, server: example_guilds.Server, times: int) -> None:
        from devtools.simulator.models import SimUser

        channel = next(each for each in self.channels if each.pk == server.channel_id)
        for user in SimUser.objects.filter(pk__in=server.member_ids):
            for _ in range(times):
                self._send(channel, user, count=4, steps=2, port=self.chance.choice(self.environment.ingress_ports))

    def _poison(self, fault: Fault) -> None:
        """Send a request that no worker can complete, until it is accepted: other faults may be active."""
        from devtools.simulator.models import SimMember

        channel = self.channels[fault.target % len(self.channels)]
        user = SimMember.objects.filter(guild=channel.guild).select_related("user")[0].user
        poison = POISONS[fault.kind][fault.target % len(POISONS[fault.kind])]
        for _ in range(POISON_TRIES):
            port = self.chance.choice(self.environment.ingress_ports)
            if self._send(channel, user, count=1, steps=4, port=port, poison=poison):
                return
            time.sleep(0.5)

    def _for_a_while(self, fault: Fault, begin: Callable[[], None], end: Callable[[], None]) -> None:
        begin()
        time.sleep(fault.seconds)
        end()

    def _slow(self, fault: Fault, proxy: Any, delay_s: float) -> None:
        proxy.delay_s = delay_s
        time.sleep(fault.seconds)
        proxy.restore()

    def _misbehave(self, fault: Fault) -> None:
        from devtools.simulator import injected_faults

        kinds = {
            Kind.DISCORD_429: injected_faults.Kind.RATE_LIMITED,
            Kind.DISCORD_500: injected_faults.Kind.SERVER_ERROR,
            Kind.DISCORD_404: injected_faults.Kind.UNKNOWN_WEBHOOK,
        }
        injected_faults.plan(
            kinds[fault.kind], path="webhooks", times=1 + fault.target, seconds=round(fault.seconds / 4, 2)
        )

    def _extra_messages(self, *, newest_first: bool) -> None:
        import psycopg

        from jobs.dispatch import codec

        with psycopg.connect(self.environment.platform_db.direct, connect_timeout=5) as connection:
            order = "DESC" if newest_first else "ASC"
            rows = connection.execute(
                f"SELECT id FROM jobs_job WHERE status IN ('waiting', 'queued', 'running') ORDER BY id {order} LIMIT 10"
            ).fetchall()
        for (job_id,) in rows:
            self.environment.sqs().send_message(
                QueueUrl=self.environment.queue_url(),
                MessageBody=codec.encode(job_id),
                MessageGroupId=f"chaos-{job_id % 3}",
                MessageDeduplicationId=f"chaos-{job_id}-{time.monotonic_ns()}",
            )

    def _redeliver(self) -> None:
        # Received and not deleted: the messages are delivered again after a second, in any order.
        self.environment.sqs().receive_message(
            QueueUrl=self.environment.queue_url(), MaxNumberOfMessages=10, VisibilityTimeout=1, WaitTimeSeconds=0
        )


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = arguments.Parser(prog="./dev chaos", description=(__doc__ or "").split(": ", 1)[1])
    parser.add_argument("--jobs", type=arguments.whole(1), default=300, help="number of requests (default: 300)")
    parser.add_argument(
        "--seed", type=arguments.whole(0), default=1, help="the same seed plans the same faults (default: 1)"
    )
    parser.add_argument(
        "--faults",
        type=arguments.whole(0),
        help="number of faults (default: one per 15 requests, at least one per kind)",
    )
    parser.add_argument(
        "--rate", type=arguments.number(0, 10_000, above=True), default=10.0, help="requests per second (default: 10)"
    )
    parser.add_argument(
        "--workers",
        type=arguments.whole(1, MOST_WORKERS),
        default=2,
        help="number of workers, with the noise engine (default: 2)",
    )
    parser.add_argument(
        "--discord-down",
        metavar="SECONDS",
        type=arguments.number(0, 3600, above=True),
        default=600.0,
        help="length of the one Discord outage (default: 600)",
    )
    parser.add_argument(
        "--release", type=arguments.checkout, help="checkout of an earlier version, which half of the processes run"
    )
    parser.add_argument("--json", type=arguments.file_to_write, help="file for the result")
    parser.add_argument("--logs", type=arguments.folder_to_write, help="folder to keep the logs of all processes in")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    options = read_arguments(argv)
    faults = fault_plan.draw(
        options.seed,
        jobs=options.jobs,
        faults=options.faults if options.faults is not None else max(len(Kind), options.jobs // 15),
        workers=options.workers,
        # Workers of an earlier version run their own engine.
        kinds=[kind for kind in Kind if kind not in RECENT] if options.release else list(Kind),
    )
    interrupt_on_termination()
    with run_directory.run_folder("chaos") as folder:
        environment: ChaosEnvironment | None = None
        try:
            environment = ChaosEnvironment(folder, workers=options.workers, ingresses=2, release=options.release)
            result = _run(environment, options, faults)
        except (StartFailed, ChildFailed, DatabaseUnavailable) as error:
            say(f"chaos: {error}")
            for log in sorted((folder / "logs").glob("*.log")):
                say(f"--- {log.name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-5:]))
            return 2
        except KeyboardInterrupt:
            say("chaos: stopped")
            return 130
        finally:
            if environment is not None:
                environment.stop()
                if options.logs:
                    shutil.copytree(environment.logs, options.logs, dirs_exist_ok=True)
    text = json.dumps(result, indent=2)
    if options.json:
        options.json.write_text(text + "\n")
    print(text)
    return 0 if result["holds"] else 1


def _run(environment: ChaosEnvironment, options: argparse.Namespace, faults: tuple[Fault, ...]) -> dict[str, Any]:
    say(f"{options.jobs} requests, {len(faults)} faults, seed {options.seed}: starting all processes")
    machine = describe()
    os.environ.update(environment.discord.variables)
    environment.start()
    import django

    django.setup()
    from devtools.simulator import seed_data
    from devtools.simulator.models import SimGuild

    seed_data.run()
    example_guilds.make_simulated()
    own = [server.id for server in example_guilds.ALL]
    environment.install_guilds([(guild.pk, guild.name) for guild in SimGuild.objects.exclude(pk__in=own)])
    run = Run(
        environment,
        jobs=options.jobs,
        faults=faults,
        seed=options.seed,
        rate=options.rate,
        discord_down_s=options.discord_down,
    )
    began = time.monotonic()
    senders = threading.Thread(target=run.send_all, daemon=True)
    senders.start()
    # On this thread: the kernel ends a child with the thread that started it (PR_SET_PDEATHSIG).
    run.strike_all()
    senders.join()
    drained_s = environment.drain()
    took_s = time.monotonic() - began
    platform = platform_rows(environment.platform_db.direct)
    invariants = check_environment(environment, accepted=run.accepted, platform=platform, observed=run.observed)
    statuses = Counter(job["status"] for job in platform["jobs"])
    return {
        "machine": machine,
        "at": f"{datetime.now(UTC):%Y-%m-%d}",
        "jobs": options.jobs,
        "seed": options.seed,
        "workers": options.workers,
        "faults": dict(run.struck),
        "answers": dict(run.answers),
        "slowest_answer_s": round(run.slowest_s, 2),
        "ended": dict(statuses),
        "seconds": round(took_s, 1),
        "drained_in_s": round(drained_s, 1),
        "restarts": sum(part.starts - 1 for part in environment.parts),
        "invariants": [asdict(invariant) | {"holds": invariant.holds} for invariant in invariants],
        "holds": all(invariant.holds for invariant in invariants),
    }


if __name__ == "__main__":
    sys.exit(main())
