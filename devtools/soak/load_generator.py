"""Mixed load at a steady rate, whether or not the answers keep up: what members do, and what strangers try."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from devtools.chaos.environment import PROMPT, make_http_handler
from devtools.chaos.request_buttons import is_open
from discord_api import custom_id

SENDERS = 24
# Chosen in the select of a result.
_IMAGE_CHOICES = {"vary": "vary:0", "upscale": "upscale:0"}
# How often each comes in a hundred.
MIX = {
    "sparkle": 10,
    "reroll": 2,
    "vary": 1,
    "upscale": 1,
    "edit": 2,
    "cancel": 4,
    "autocomplete": 26,
    "quota": 8,
    "history": 8,
    "help": 6,
    "show": 4,
    "ping": 16,
    "forged": 6,
    "replayed": 6,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One request to be sent at `at` (time.monotonic)."""

    number: int
    at: float
    kind: str
    chance: random.Random


class Load:
    """`run` it once; then the fields say what came of it. Django must be set up as the simulator."""

    def __init__(self, ports: Sequence[int], *, rate: float, seconds: float, seed: int) -> None:
        from devtools.simulator import permissions
        from devtools.simulator.models import SimChannel, SimMember

        self._ports = ports
        self._rate = rate
        self._seconds = seconds
        self._chance = random.Random(seed)  # nosec B311  # chance that must repeat, not secrets
        self._places = [
            (channel, [member.user for member in SimMember.objects.filter(guild=channel.guild).select_related("user")])
            for channel in SimChannel.objects.filter(guild__isnull=False).select_related("guild")
            if permissions.may(channel.bot_permissions, permissions.BOT)
        ]
        self._lock = threading.Lock()
        self._messages: deque[tuple[Any, Any]] = deque(maxlen=400)
        self.accepted: set[int] = set()
        self.sent: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.times_s: list[float] = []
        self.late_s: list[float] = []

    def run(self) -> None:
        kinds, weights = list(MIX), list(MIX.values())
        began = time.monotonic() + 0.5
        with ThreadPoolExecutor(max_workers=SENDERS) as pool:
            for number in range(round(self._rate * self._seconds)):
                due = Due(
                    number=number,
                    at=began + number / self._rate,
                    kind=self._chance.choices(kinds, weights)[0],
                    chance=random.Random(self._chance.random()),  # nosec B311
                )
                time.sleep(max(0.0, due.at - time.monotonic()))
                pool.submit(self._one, due)

    def _one(self, due: Due) -> None:
        from django.db import connections

        try:
            self._send(due)
        except Exception as error:
            self._note(self.wrong, f"{due.kind}: {type(error).__name__}: {error}"[:160])
        finally:
            connections.close_all()

    # -- sending

    def _send(self, due: Due) -> None:
        with self._lock:
            self.late_s.append(time.monotonic() - due.at)
        channel, users = due.chance.choice(self._places)
        user = due.chance.choice(users)
        match due.kind:
            case "ping" | "forged" | "replayed":
                self._raw(due)
            case "sparkle":
                self._command(due, channel, user, "sparkle", self._wish(due))
            case "autocomplete":
                self._autocomplete(due, channel, user)
            case "quota" | "history" | "help":
                self._command(due, channel, user, f"sparkle-{due.kind}", {})
            case "show":
                self._show(due, channel, user)
            case _:
                self._press(due, channel, user)

    def _wish(self, due: Due) -> dict[str, Any]:
        count, steps = due.chance.randrange(1, 5), due.chance.randrange(1, 12)
        return {"prompt": f"{PROMPT} {due.number}", "count": count, "steps": steps}

    def _handler(self, due: Due) -> Any:
        """The ingress process whose turn it is; what it takes to answer is noted."""
        send = make_http_handler(self._ports[due.number % len(self._ports)])

        def timed(event: dict[str, Any], context: object) -> dict[str, Any]:
            began = time.monotonic()
            answer = send(event, context)
            with self._lock:
                self.sent[due.kind] += 1
                self.times_s.append(time.monotonic() - began)
            return answer

        return timed

    def _raw(self, due: Due) -> None:
        from django.utils import timezone

        from devtools.simulator import client

        age = timedelta(hours=1) if due.kind == "replayed" else timedelta(0)
        # A PING asks for nothing and is answered however old it is; a command is not.
        kind = 2 if due.kind == "replayed" else 1
        event = client.signed_event({"id": str(due.number), "type": kind, "version": 1}, now=timezone.now() - age)
        if due.kind == "forged":
            event["headers"]["x-signature-ed25519"] = f"{due.chance.getrandbits(512):0128x}"
        answer = self._handler(due)(event, None)
        status, body = answer["statusCode"], answer["body"]
        if due.kind == "ping" and (status != 200 or json.loads(body) != {"type": 1}):
            self._note(self.wrong, f"ping: status {status}")
        if due.kind != "ping" and status != 401:
            self._note(self.wrong, f"{due.kind}: status {status}")

    def _command(self, due: Due, channel: Any, user: Any, name: str, options: dict[str, Any]) -> None:
        from devtools.simulator import client

        outcome = client.use_command(channel=channel, user=user, name=name, options=options, handler=self._handler(due))
        self._look(due, outcome, channel=channel, user=user)

    def _autocomplete(self, due: Due, channel: Any, user: Any) -> None:
        from devtools.simulator import client

        focused = due.chance.choice(["size", "style", "model"])
        outcome = client.complete(
            channel=channel,
            user=user,
            name="sparkle",
            focused=focused,
            options={"prompt": PROMPT, focused: due.chance.choice(["", "5", "s", "no such thing"])},
            handler=self._handler(due),
        )
        self._look(due, outcome, channel=channel, user=user)

    def _show(self, due: Due, channel: Any, user: Any) -> None:
        self._command(due, channel, user, "sparkle-show", {"id": str(due.chance.randrange(1, due.number + 2))})

    def _press(self, due: Due, channel: Any, user: Any) -> None:
        """Press a button of an earlier message; without such a button, send a request."""
        from devtools.simulator import client
        from devtools.simulator.models import SimMessage

        with self._lock:
            known = list(self._messages)
        known = known[-12:] if due.kind == "cancel" else known[:-12]
        for pk, requester in due.chance.sample(known, k=min(4, len(known))):
            message = SimMessage.objects.select_related("channel__guild").get(pk=pk)
            choice = _IMAGE_CHOICES.get(due.kind)
            action = "image" if choice else due.kind
            pressed = next((each for each in _buttons(message) if _name(each) == action), None)
            if pressed is None or message.deleted_at is not None:
                continue
            outcome = client.press(
                message=message,
                user=requester,
                custom_id=pressed,
                values=[choice] if choice else None,
                handler=self._handler(due),
            )
            self._look(due, outcome, channel=message.channel, user=requester)
            if outcome.modal is not None:
                filled = client.submit_modal(
                    channel=message.channel,
                    user=requester,
                    modal=outcome.modal,
                    values={"prompt": f"{PROMPT} {due.number}, edited"},
                    message=message,
                    handler=self._handler(due),
                )
                self._look(due, filled, channel=message.channel, user=requester)
            return
        self._command(due, channel, user, "sparkle", self._wish(due))

    # -- what was answered

    def _look(self, due: Due, outcome: Any, *, channel: Any, user: Any) -> None:
        if outcome.problem:
            self._note(self.wrong, f"{due.kind}: {outcome.problem}"[:160])
        elif outcome.callback_type == 4 and outcome.message is not None:
            if is_open(outcome.message.components):
                with self._lock:
                    self.accepted.add(outcome.interaction_id)
                    self._messages.append((outcome.message.pk, user))
            elif due.kind in {"sparkle", "reroll", "vary", "upscale", "edit"}:
                self._note(self.refused, outcome.message.content[:60])

    def _note(self, counter: Counter[str], what: str) -> None:
        with self._lock:
            counter[what] += 1


def _buttons(message: Any) -> list[str]:
    return [
        each["custom_id"]
        for row in message.components
        for each in row.get("components", [])
        if "custom_id" in each and not each.get("disabled")
    ]


def _name(identity: str) -> str | None:
    action = custom_id.parse(identity)
    return action.name if action is not None else None
