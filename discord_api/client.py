"""Discord's REST API: rate limits by the response headers, bounded retries, and a circuit breaker.

Threads may share a client. Errors and log lines never contain a URL with a token.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import httpx

from . import errors, payloads
from .payloads import Message

logger = logging.getLogger(__name__)

ATTEMPTS = 4
# Discord bans an IP address, which workers may share, after 10,000 invalid requests in 10 minutes. One guild may cause
# only a few of them, so that its closed channels do not block other deliveries.
INVALID_WINDOW_S = 600.0
MAX_INVALID = 4000
MAX_INVALID_OF_GUILD = 40
MAX_RETRY_AFTER_S = 60.0
_REMEMBERED = 2048
# A token is unknown until Discord has the first response, which a fast worker may precede. Later it has expired.
OPENING_S = 10.0


@dataclass(frozen=True, slots=True)
class _Route:
    """A request's route. `bucket` identifies its rate limit until Discord names one.

    Without `may_wait` the request is sent at once or not at all: a delayed edit would be stale.
    """

    method: str
    path: str
    bucket: str
    token_key: str | None = None
    idempotent: bool = True
    may_wait: bool = True

    @property
    def by_token(self) -> bool:
        return self.token_key is not None


class DiscordClient:
    """The endpoints of Discord's REST API that Sparkle uses. All methods raise errors.DiscordError."""

    def __init__(
        self,
        base: str,
        *,
        application_id: int,
        bot_token: str | Callable[[], str],
        timeout_s: float = 10,
        attempts: int = ATTEMPTS,
        max_wait_s: float = MAX_RETRY_AFTER_S,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        user_agent: str = "DiscordBot (https://discord.com, 1)",
    ) -> None:
        """Make at most `attempts` of each request; wait at most `max_wait_s` for a rate limit."""
        self._application_id = application_id
        self._attempts = attempts
        self._max_wait_s = max_wait_s
        self._guild_id: int | None = None
        self._bot_token = bot_token
        self._sleep = sleep
        self._clock = clock
        self._http = httpx.Client(
            base_url=base.rstrip("/"), timeout=timeout_s, transport=transport, headers={"User-Agent": user_agent}
        )
        self._lock = threading.Lock()
        self._buckets: OrderedDict[str, str] = OrderedDict()
        self._exhausted_until: dict[str, float] = {}
        # By guild; None for requests without a guild.
        self._invalid: dict[int | None, deque[float]] = {}
        self._unknown_since: OrderedDict[str, float] = OrderedDict()

    def close(self) -> None:
        self._http.close()

    def for_guild(self, guild_id: int) -> DiscordClient:
        """Return this client with invalid requests counted against one guild's budget."""
        scoped = copy.copy(self)
        scoped._guild_id = guild_id
        return scoped

    # With an interaction token.

    def edit_original(self, token: str, message: Message, *, may_wait: bool = True) -> dict[str, Any]:
        """Edit the original response; return the message. Without `may_wait`: one attempt, at once."""
        route = self._webhook("PATCH", token, "/messages/@original")
        return self._message(replace(route, may_wait=may_wait), message, edit=True)

    def original(self, token: str) -> dict[str, Any]:
        """Return the original response of an interaction, a message."""
        answer: dict[str, Any] = self._send(self._webhook("GET", token, "/messages/@original"))
        return answer

    # As the bot.

    def create_message(self, channel_id: int, message: Message) -> dict[str, Any]:
        """Post in a channel; return the message. With a known nonce, return the message posted before."""
        route = _Route(
            "POST",
            f"/channels/{channel_id:d}/messages",
            f"POST channel {channel_id:d}",
            idempotent=message.nonce is not None,
        )
        return self._message(route, message, edit=False)

    def delete_message(self, channel_id: int, message_id: int) -> None:
        """Delete a message."""
        path = f"/channels/{channel_id:d}/messages/{message_id:d}"
        self._send(_Route("DELETE", path, f"DELETE channel {channel_id:d}"))

    def open_dm(self, user_id: int) -> int:
        """Return the id of the DM channel with a user."""
        answer = self._send(_Route("POST", "/users/@me/channels", "POST dm"), json_body={"recipient_id": str(user_id)})
        return int(answer["id"])

    def message(self, channel_id: int, message_id: int) -> dict[str, Any]:
        """Return a message in a channel that the bot can read."""
        path = f"/channels/{channel_id:d}/messages/{message_id:d}"
        answer: dict[str, Any] = self._send(_Route("GET", path, f"GET message {channel_id:d}"))
        return answer

    def keep_attachments(self, channel_id: int, message_id: int, attachment_ids: Sequence[int]) -> dict[str, Any]:
        """Delete a message's other attachments and leave the rest of it unchanged; return the message."""
        path = f"/channels/{channel_id:d}/messages/{message_id:d}"
        body = {"attachments": [{"id": str(attachment_id)} for attachment_id in attachment_ids]}
        answer: dict[str, Any] = self._send(_Route("PATCH", path, f"PATCH channel {channel_id:d}"), json_body=body)
        return answer

    def channel(self, channel_id: int) -> dict[str, Any]:
        """Return a channel or thread that the bot can see."""
        answer: dict[str, Any] = self._send(
            _Route("GET", f"/channels/{channel_id:d}", f"GET channel {channel_id:d}", may_wait=False)
        )
        return answer

    def guilds(self) -> list[dict[str, Any]]:
        """Return every guild that the bot is in (id, name, icon, ...)."""
        guilds: list[dict[str, Any]] = []
        after = "0"
        while True:
            page = self._send(_Route("GET", f"/users/@me/guilds?limit=200&after={after}", "GET guilds"))
            guilds += page
            if len(page) < 200:
                return guilds
            after = page[-1]["id"]

    def guild(self, guild_id: int) -> dict[str, Any]:
        """Return a guild that the bot is in."""
        answer: dict[str, Any] = self._send(_Route("GET", f"/guilds/{guild_id:d}", f"GET guild {guild_id:d}"))
        return answer

    def guild_channels(self, guild_id: int) -> list[dict[str, Any]]:
        """Return a guild's channels and categories, without threads."""
        return self._list(f"/guilds/{guild_id:d}/channels", f"GET guild {guild_id:d} channels")

    def guild_roles(self, guild_id: int) -> list[dict[str, Any]]:
        """Return a guild's roles, @everyone included."""
        return self._list(f"/guilds/{guild_id:d}/roles", f"GET guild {guild_id:d} roles")

    def search_members(self, guild_id: int, text: str, *, limit: int = 25) -> list[dict[str, Any]]:
        """Return the members whose user name or nickname starts with `text`."""
        query = urlencode({"query": text, "limit": limit})
        return self._list(f"/guilds/{guild_id:d}/members/search?{query}", f"GET guild {guild_id:d} members")

    def member(self, guild_id: int, user_id: int) -> dict[str, Any]:
        """Return a member of a guild."""
        path = f"/guilds/{guild_id:d}/members/{user_id:d}"
        answer: dict[str, Any] = self._send(_Route("GET", path, f"GET guild {guild_id:d} member"))
        return answer

    def commands(self, guild_id: int | None = None) -> list[dict[str, Any]]:
        """Return the registered commands with all localizations, the global ones or a guild's."""
        path = self._commands_path(guild_id) + "?with_localizations=true"
        answer: list[dict[str, Any]] = self._send(_Route("GET", path, "GET commands"))
        return answer

    def overwrite_commands(self, commands: list[dict[str, Any]], guild_id: int | None = None) -> list[dict[str, Any]]:
        """Replace all registered commands in one request; return them."""
        route = _Route("PUT", self._commands_path(guild_id), "PUT commands")
        answer: list[dict[str, Any]] = self._send(route, json_body=commands)
        return answer

    def application(self) -> dict[str, Any]:
        """Return the bot's own application (id, verify_key, interactions_endpoint_url, ...)."""
        answer: dict[str, Any] = self._send(_Route("GET", "/applications/@me", "GET application"))
        return answer

    def edit_application(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Change settings of the bot's own application; return it.

        Before Discord saves an endpoint, it sends a PING and a forged request there: InvalidFormBody if the endpoint
        does not answer both as it should.
        """
        route = _Route("PATCH", "/applications/@me", "PATCH application")
        answer: dict[str, Any] = self._send(route, json_body=changes)
        return answer

    # Internals.

    def _list(self, path: str, bucket: str) -> list[dict[str, Any]]:
        answer = self._send(_Route("GET", path, bucket))
        return [item for item in answer if isinstance(item, dict)] if isinstance(answer, list) else []

    def _commands_path(self, guild_id: int | None) -> str:
        scope = "" if guild_id is None else f"/guilds/{guild_id:d}"
        return f"/applications/{self._application_id:d}{scope}/commands"

    def _webhook(self, method: str, token: str, rest: str) -> _Route:
        # A digest, so that debuggers and error reports show no token as a dictionary key.
        key = hashlib.sha256(token.encode()).hexdigest()[:32]
        path = f"/webhooks/{self._application_id:d}/{token}{rest}"
        return _Route(method, path, f"webhook {key}", token_key=key)

    def _message(self, route: _Route, message: Message, *, edit: bool) -> dict[str, Any]:
        answer: dict[str, Any] = self._send(route, **payloads.multipart(message, edit=edit))
        return answer

    def _send(self, route: _Route, *, json_body: Any = None, **kwargs: Any) -> Any:
        if json_body is not None:
            kwargs["content"] = json.dumps(json_body, ensure_ascii=False).encode()
            kwargs["headers"] = {"Content-Type": "application/json"}
        kwargs["headers"] = dict(kwargs.get("headers") or {})
        if not route.by_token:
            token = self._bot_token if isinstance(self._bot_token, str) else self._bot_token()
            kwargs["headers"]["Authorization"] = f"Bot {token}"
        attempts = self._attempts if route.may_wait else 1
        for attempt in range(1, attempts + 1):
            self._wait_for_bucket(route)
            last = attempt == attempts
            try:
                answer = self._http.request(route.method, route.path, **kwargs)
            except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as exc:
                # The request did not reach Discord, so even a non-idempotent one may be repeated.
                if last:
                    raise errors.Unavailable(0, 0, type(exc).__name__) from None
                self._sleep(_back_off(attempt))
                continue
            except httpx.HTTPError as exc:
                if last or not route.idempotent:
                    raise errors.Unavailable(0, 0, type(exc).__name__) from None
                self._sleep(_back_off(attempt))
                continue
            self._record_limits(route, answer)
            if answer.status_code < 400:
                if route.token_key:
                    with self._lock:
                        self._unknown_since.pop(route.token_key, None)
                return self._body(answer)
            error = self._error(route, answer)
            if answer.status_code == 429:
                wait = _retry_after(answer)
                if last or wait > self._max_wait_s:
                    raise error
                self._sleep(wait)
            elif answer.status_code >= 500 and route.idempotent and not last:
                self._sleep(_back_off(attempt))
            else:
                raise error
        raise AssertionError("unreachable")

    def _wait_for_bucket(self, route: _Route) -> None:
        """Wait while the route's bucket is exhausted. Raises DiscordError if that takes too long."""
        with self._lock:
            now = self._clock()
            since = self._unknown_since.get(route.token_key or "")
            if since is not None and now - since >= OPENING_S:
                raise errors.TokenExpired(404, 10015, "Discord refused this token before")
            self._check_budget(now)
            bucket = self._buckets.get(route.bucket, route.bucket)
            everywhere = self._exhausted_until.get("global", 0.0) - now
            wait = max(self._exhausted_until.get(bucket, 0.0) - now, everywhere)
        longest = self._max_wait_s if route.may_wait else 0
        if wait > longest:
            kind = errors.Unavailable if everywhere > longest else errors.TryLater
            raise kind(429, 0, f"rate limited for {wait:.0f} s more")
        if wait > 0:
            self._sleep(wait)

    def _check_budget(self, now: float) -> None:
        for guild_id, refused in list(self._invalid.items()):
            while refused and refused[0] < now - INVALID_WINDOW_S:
                refused.popleft()
            if not refused:
                del self._invalid[guild_id]
        if self._guild_id is not None and len(self._invalid.get(self._guild_id, ())) >= MAX_INVALID_OF_GUILD:
            raise errors.RouteClosed(403, 0, "too many invalid requests of this guild in 10 minutes")
        total = sum(map(len, self._invalid.values()))
        if total >= MAX_INVALID:
            raise errors.CircuitOpen(0, 0, f"{total} invalid requests in 10 minutes")

    def _record_limits(self, route: _Route, answer: httpx.Response) -> None:
        """Record the rate limit headers, and count invalid requests."""
        headers = answer.headers
        now = self._clock()
        with self._lock:
            named = headers.get("X-RateLimit-Bucket")
            if named:
                # Routes share Discord's bucket, but it is counted for each channel or webhook.
                major = route.token_key or "".join(char for char in route.bucket if char.isdigit())
                self._buckets[route.bucket] = f"{named}:{major}"
                if len(self._buckets) > _REMEMBERED:
                    self._buckets.popitem(last=False)
            bucket = self._buckets.get(route.bucket, route.bucket)
            if answer.status_code == 429:
                key = "global" if headers.get("X-RateLimit-Global") else bucket
                self._exhausted_until[key] = now + _retry_after(answer)
            elif headers.get("X-RateLimit-Remaining") == "0":
                self._exhausted_until[bucket] = now + _seconds(headers.get("X-RateLimit-Reset-After"), 0.0)
            else:
                self._exhausted_until.pop(bucket, None)
            if len(self._exhausted_until) > _REMEMBERED:
                # In place: the clients of for_guild share it.
                for key in [key for key, at in self._exhausted_until.items() if at <= now]:
                    del self._exhausted_until[key]
            shared = headers.get("X-RateLimit-Scope") == "shared"
            if answer.status_code in (401, 403) or (answer.status_code == 429 and not shared):
                self._invalid.setdefault(self._guild_id, deque()).append(now)

    def _error(self, route: _Route, answer: httpx.Response) -> errors.DiscordError:
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            body = {}
        code = body.get("code", 0)
        error = errors.from_response(
            answer.status_code,
            code if isinstance(code, int) else 0,
            str(body.get("message", ""))[:200],
            by_token=route.by_token,
            global_limit=bool(answer.headers.get("X-RateLimit-Global")) or body.get("global") is True,
        )
        if route.token_key and errors.is_webhook_gone(error):
            with self._lock:
                dead = -OPENING_S if error.code == errors.EXPIRED_TOKEN else 0.0
                self._unknown_since.setdefault(route.token_key, self._clock() + dead)
                if len(self._unknown_since) > _REMEMBERED:
                    self._unknown_since.popitem(last=False)
        logger.info("discord_refused", extra={"status": error.status, "code": error.code, "method": route.method})
        return error

    @staticmethod
    def _body(answer: httpx.Response) -> Any:
        if not answer.content:
            return {}
        try:
            return answer.json()
        except ValueError:
            raise errors.Unavailable(answer.status_code, 0, "the response is not JSON") from None


def _back_off(attempt: int) -> float:
    return float(0.5 * 2 ** (attempt - 1))


def _seconds(text: str | None, default: float) -> float:
    try:
        return max(0.0, float(text)) if text else default
    except ValueError:
        return default


def _retry_after(answer: httpx.Response) -> float:
    """Return the seconds to wait after a 429. The header Retry-After comes last: it has whole seconds only."""
    try:
        return max(0.0, float(answer.json()["retry_after"]))
    except (ValueError, KeyError, TypeError):
        return _seconds(answer.headers.get("X-RateLimit-Reset-After") or answer.headers.get("Retry-After"), 1.0)
