"""Discord's REST API, as far as the application speaks it, and the stand-in for its CDN.

Every request passes the same gates in Discord's order: the edge's check of the User-Agent, planned faults, rate
limits, authorization, the route itself; and is logged without its token.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.csrf import csrf_exempt

from . import (
    body_schemas,
    command_registry,
    errors_and_rate_limits,
    injected_faults,
    message_rules,
    permissions,
    snowflake_generator,
    store,
)
from .body_validation import FormErrors, errors_of
from .body_validation import snowflake as snowflake_of
from .errors_and_rate_limits import Refused, Spent
from .message_rules import Draft, Upload
from .models import (
    SimAttachment,
    SimBucket,
    SimCall,
    SimChannel,
    SimGuild,
    SimInteraction,
    SimMember,
    SimMessage,
    SimUser,
)

_FILE_FIELD = re.compile(r"^files\[(\d+)\]$")
KEPT_CALLS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request as the routes see it."""

    request: HttpRequest
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A request's JSON and its files; `size` in bytes, of the whole request."""

    json: Any
    files: tuple[Upload, ...]
    size: int


Result = Refused | tuple[int, Any]
# Called with each accepted body, by the name of its schema in Discord's document; tests inspect them.
ACCEPTED: list[Callable[[str, Any], None]] = []
Route = Callable[..., Result]


def _accept(schema: str, body: Any) -> None:
    for observer in ACCEPTED:
        observer(schema, body)


def endpoint(
    bucket: str, *, by_bot: bool, by_user: Mapping[str, Route] | None = None, **methods: Route
) -> Callable[..., HttpResponse]:
    """Return a view that calls each HTTP method's route after all checks.

    `by_user` are the routes for a user's own token (OAuth2); they check it themselves.
    """
    bot_routes, user_routes, is_bots = methods, by_user or {}, by_bot

    @csrf_exempt
    def view(request: HttpRequest, **ids: Any) -> HttpResponse:
        started, now = time.monotonic(), timezone.now()
        of_user = request.headers.get("Authorization", "").startswith("Bearer ") and request.method in user_routes
        methods, by_bot = (user_routes, False) if of_user else (bot_routes, is_bots)
        response, refused = _pass(request, ids, bucket=bucket, by_bot=by_bot, methods=methods, now=now)
        _log(request, response, refused, ids=ids, now=now, milliseconds=int((time.monotonic() - started) * 1000))
        return response

    return view


def _pass(
    request: HttpRequest,
    ids: Mapping[str, Any],
    *,
    bucket: str,
    by_bot: bool,
    methods: Mapping[str, Route],
    now: datetime,
) -> tuple[HttpResponse, Refused | None]:
    refused = errors_and_rate_limits.check_user_agent(request.headers.get("User-Agent"), bot=by_bot or "token" in ids)
    if refused:
        return _refusal(refused), refused
    fault = injected_faults.take(request.method or "", request.path)
    if fault is not None and fault.kind not in {injected_faults.Kind.DELAY, injected_faults.Kind.LOST_ANSWER}:
        return _faulty(fault), None
    if fault is not None and fault.kind == injected_faults.Kind.DELAY:
        time.sleep(fault.seconds)
    major = ids.get("token") or ids.get("channel_id") or ids.get("guild_id") or ""
    spent = _spend(bucket, f"{request.method}:{major}" if bucket != "webhook" else str(major), now=now)
    exceeded = spent.exceeded
    everywhere = None
    if by_bot and not exceeded:
        everywhere = _spend("global", "", now=now)
        exceeded = everywhere.exceeded
    if exceeded:
        response = _limited(
            (everywhere if everywhere and everywhere.exceeded else spent).reset_after,
            scope="global" if everywhere and everywhere.exceeded else "user",
        )
        return _with_limits(response, spent, bucket, now=now), None
    result = _route(request, ids, by_bot=by_bot, methods=methods, now=now)
    if isinstance(result, Refused):
        return _with_limits(_refusal(result), spent, bucket, now=now), result
    if fault is not None and fault.kind == injected_faults.Kind.LOST_ANSWER:
        return JsonResponse({"message": "500: Internal Server Error", "code": 0}, status=500), None
    status, body = result
    response = HttpResponse(status=204) if body is None else JsonResponse(body, status=status, safe=False)
    return _with_limits(response, spent, bucket, now=now), None


def _route(
    request: HttpRequest, ids: Mapping[str, Any], *, by_bot: bool, methods: Mapping[str, Route], now: datetime
) -> Result:
    route = methods.get(request.method or "")
    if route is None:
        return errors_and_rate_limits.METHOD_NOT_ALLOWED
    if by_bot:
        refused = errors_and_rate_limits.check_bot_token(
            request.headers.get("Authorization"), token=settings.DISCORD_BOT_TOKEN
        )
        if refused:
            return refused
    with transaction.atomic():
        return route(Call(request=request, now=now), **ids)


def _refusal(refused: Refused) -> HttpResponse:
    if refused.text is not None:
        return HttpResponse(refused.text, status=refused.status, content_type="text/plain")
    return JsonResponse(refused.body(), status=refused.status)


def _limited(seconds: float, *, scope: str) -> HttpResponse:
    body = {"message": "You are being rate limited.", "retry_after": round(seconds, 3), "global": scope == "global"}
    response = JsonResponse(body, status=429)
    # The header has whole seconds, the body a fraction.
    response["Retry-After"] = str(math.ceil(seconds))
    response["X-RateLimit-Scope"] = scope
    if scope == "global":
        response["X-RateLimit-Global"] = "true"
    return response


def _faulty(fault: Any) -> HttpResponse:
    kind = injected_faults.Kind(fault.kind)
    if kind == injected_faults.Kind.BAD_GATEWAY:
        return HttpResponse("<html><title>502 Bad Gateway</title></html>", status=502, content_type="text/html")
    if kind == injected_faults.Kind.SERVER_ERROR:
        return JsonResponse({"message": "500: Internal Server Error", "code": 0}, status=500)
    if kind == injected_faults.Kind.UNKNOWN_WEBHOOK:
        return _refusal(errors_and_rate_limits.UNKNOWN_WEBHOOK)
    if kind == injected_faults.Kind.FORBIDDEN:
        return _refusal(errors_and_rate_limits.MISSING_PERMISSIONS)
    if kind == injected_faults.Kind.TOO_LARGE:
        return _refusal(errors_and_rate_limits.TOO_LARGE)
    scopes = {injected_faults.Kind.RATE_LIMITED_GLOBAL: "global", injected_faults.Kind.RATE_LIMITED_SHARED: "shared"}
    response = _limited(fault.seconds, scope=scopes.get(kind, "user"))
    response["X-RateLimit-Remaining"] = "0"
    response["X-RateLimit-Reset-After"] = f"{fault.seconds:.3f}"
    return response


def _spend(bucket: str, major: str, *, now: datetime) -> Spent:
    limit = errors_and_rate_limits.GLOBAL_LIMIT if bucket == "global" else errors_and_rate_limits.LIMITS[bucket]
    # The token is part of the key, so it is kept as a digest.
    key = f"{bucket}:{hashlib.sha256(major.encode()).hexdigest()[:32]}"
    with transaction.atomic():
        row, made = SimBucket.objects.select_for_update().get_or_create(pk=key, defaults={"window_started_at": now})
        spent, row.used, row.window_started_at = errors_and_rate_limits.spend(
            limit, used=row.used, window_started_at=None if made else row.window_started_at, now=now
        )
        row.save()
    return spent


def _with_limits(response: HttpResponse, spent: Spent, bucket: str, *, now: datetime) -> HttpResponse:
    response["X-RateLimit-Limit"] = str(spent.limit.requests)
    response["X-RateLimit-Remaining"] = str(spent.remaining)
    response["X-RateLimit-Reset"] = f"{now.timestamp() + spent.reset_after:.3f}"
    response["X-RateLimit-Reset-After"] = f"{spent.reset_after:.3f}"
    response["X-RateLimit-Bucket"] = hashlib.sha256(bucket.encode()).hexdigest()[:32]
    return response


def _log(
    request: HttpRequest,
    response: HttpResponse,
    refused: Refused | None,
    *,
    ids: Mapping[str, Any],
    now: datetime,
    milliseconds: int,
) -> None:
    route = request.path.split("/api/v10", 1)[-1]
    if "token" in ids:
        route = route.replace(ids["token"], "{token}")
    route = route.replace(f"/{settings.DISCORD_APPLICATION_ID}", "/{application}")
    problem = json.dumps(refused.errors)[:500] if refused and refused.errors else ""
    call = SimCall.objects.create(
        at=now,
        method=request.method or "",
        route=route[:200],
        status=response.status_code,
        code=refused.code if refused else 0,
        problem=problem or (refused.message if refused else ""),
        milliseconds=milliseconds,
    )
    if call.pk % 100 == 0:
        SimCall.objects.filter(pk__lte=call.pk - KEPT_CALLS).delete()


def read_body(request: HttpRequest) -> Body | Refused:
    """Read JSON, or a form of payload_json and files[n]."""
    if request.headers.get("Transfer-Encoding", "").lower() == "chunked" and not _buffer_chunks(request):
        return errors_and_rate_limits.TOO_LARGE
    size = int(request.META.get("CONTENT_LENGTH") or 0)
    if size > errors_and_rate_limits.REQUEST_LIMIT:
        return errors_and_rate_limits.TOO_LARGE
    try:
        if (request.content_type or "").startswith("multipart/form-data"):
            # Django itself reads forms of POST requests alone.
            form, uploads = MultiPartParser(
                request.META, request, request.upload_handlers, request.encoding or "utf-8"
            ).parse()
            raw = form.get("payload_json") or "{}"
            files = []
            for name in uploads:
                upload, match = uploads[name], _FILE_FIELD.match(name)
                if match and isinstance(upload, UploadedFile):
                    kind = upload.content_type or "application/octet-stream"
                    files.append(
                        Upload(
                            index=int(match[1]), filename=upload.name or name, content_type=kind, content=upload.read()
                        )
                    )
        else:
            raw, files = request.body.decode() or "{}", []
        return Body(json=_storable(json.loads(raw, parse_constant=_no_constant)), files=tuple(files), size=size)
    except RequestDataTooBig:
        return errors_and_rate_limits.TOO_LARGE
    except (MultiPartParserError, SuspiciousOperation, ValueError, RecursionError):
        return errors_and_rate_limits.NOT_JSON


def _buffer_chunks(request: HttpRequest) -> bool:
    """Read a chunked body, which the server has assembled, instead of Content-Length bytes; False if it is too large.

    Django reads as many bytes as Content-Length says, which are none here.
    """
    raw = request.META["wsgi.input"].read(errors_and_rate_limits.REQUEST_LIMIT + 1)
    request.META["CONTENT_LENGTH"] = str(len(raw))
    request._stream = io.BytesIO(raw)  # type: ignore[attr-defined]
    return len(raw) <= errors_and_rate_limits.REQUEST_LIMIT


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _storable(value: Any) -> Any:
    """Replace what PostgreSQL cannot keep in a text: NUL, and halves of surrogate pairs."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_storable(each) for each in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(each) for key, each in value.items()}
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The requested part of a list; ids are exclusive."""

    limit: int
    before: int | None
    after: int | None
    around: int | None


def _page(call: Call, *, default: int, most: int) -> Page | Refused:
    """Read `limit`, `before`, `after` and `around` from the query."""
    errors, ids = FormErrors(), dict[str, int | None]()
    for name in ("before", "after", "around"):
        text = call.request.GET.get(name)
        ids[name] = snowflake_of(text)
        if text is not None and ids[name] is None:
            errors.add((name,), "NUMBER_TYPE_COERCE", f'Value "{text[:50]}" is not snowflake.')
    text = call.request.GET.get("limit", str(default))
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
    if limit is None:
        errors.add(("limit",), "NUMBER_TYPE_COERCE", f'Value "{text[:50]}" is not int.')
    elif not 1 <= limit <= most:
        code = "NUMBER_TYPE_MAX" if limit > most else "NUMBER_TYPE_MIN"
        errors.add(("limit",), code, f"int value should be between 1 and {most}.")
    if sum(value is not None for value in ids.values()) > 1:
        errors.add((), "BASE_TYPE_CHOICES", "Only one of before, after and around may be given.")
    if errors.tree:
        return errors_and_rate_limits.bad_form(errors.tree)
    return Page(limit=limit or default, **ids)


def _part(found: QuerySet[Any], page: Page) -> list[Any]:
    """Return the rows of a page, by id; the newest rows where nothing else is said."""
    if page.after is not None:
        return list(found.filter(pk__gt=page.after).order_by("pk")[: page.limit])
    if page.around is not None:
        half = page.limit // 2
        older = list(found.filter(pk__lte=page.around).order_by("-pk")[: page.limit - half])
        newer = list(found.filter(pk__gt=page.around).order_by("pk")[:half])
        return older + newer
    if page.before is not None:
        found = found.filter(pk__lt=page.before)
    return list(found.order_by("-pk")[: page.limit])


# By an interaction's token.


def _interaction(call: Call, application_id: int, token: str) -> SimInteraction | Refused:
    found = SimInteraction.objects.select_for_update(of=("self",)).filter(token=token).first()
    facts = (
        errors_and_rate_limits.TokenFacts(
            application_id=found.application_id, created_at=found.created_at, acked_at=found.acked_at
        )
        if found
        else None
    )
    refused = errors_and_rate_limits.check_token(facts, application_id=application_id, now=call.now)
    if refused or found is None:
        return refused or errors_and_rate_limits.UNKNOWN_WEBHOOK
    return found


def _webhook_message(
    call: Call, application_id: int, token: str, message_id: int | None
) -> tuple[SimInteraction, SimMessage] | Refused:
    interaction = _interaction(call, application_id, token)
    if isinstance(interaction, Refused):
        return interaction
    wanted = message_id or interaction.original_id or 0
    message = SimMessage.objects.select_for_update(of=("self",)).filter(pk=wanted, deleted_at=None).first()
    own = message and (message.pk == interaction.original_id or message.interaction_id == interaction.pk)
    if message is None or not own:
        return errors_and_rate_limits.UNKNOWN_MESSAGE
    return interaction, message


def webhook_get(call: Call, application_id: int, token: str, message_id: int | None = None) -> Result:
    found = _webhook_message(call, application_id, token, message_id)
    return found if isinstance(found, Refused) else (200, store.message_json(found[1], now=call.now))


def webhook_edit(call: Call, application_id: int, token: str, message_id: int | None = None) -> Result:
    body = read_body(call.request)
    if isinstance(body, Refused):
        return body
    found = _webhook_message(call, application_id, token, message_id)
    if isinstance(found, Refused):
        return found
    interaction, message = found
    return _edit(call, message, body, interaction=interaction)


def webhook_delete(call: Call, application_id: int, token: str, message_id: int | None = None) -> Result:
    found = _webhook_message(call, application_id, token, message_id)
    if isinstance(found, Refused):
        return found
    store.delete(found[1], now=call.now)
    return 204, None


def webhook_post(call: Call, application_id: int, token: str) -> Result:
    """A follow-up. The first one after a deferred answer fills that answer in."""
    body = read_body(call.request)
    if isinstance(body, Refused):
        return body
    interaction = _interaction(call, application_id, token)
    if isinstance(interaction, Refused):
        return interaction
    original = interaction.original
    if original is not None and original.flags & message_rules.LOADING:
        return _edit(call, original, body, interaction=interaction)
    if interaction.user_install_only and interaction.followups >= errors_and_rate_limits.MAX_FOLLOWUPS_WITHOUT_BOT:
        return errors_and_rate_limits.FOLLOWUPS_SPENT
    draft = message_rules.check_message(
        body.json,
        files=body.files,
        file_limit=interaction.attachment_size_limit,
        request_bytes=body.size,
        interaction=True,
    )
    if isinstance(draft, Refused):
        return draft
    _accept("IncomingWebhookInteractionRequest", body.json)
    interaction.followups += 1
    interaction.save(update_fields=["followups"])
    message = store.post(
        draft,
        channel=interaction.channel,
        author=store.bot(),
        interaction=interaction,
        kind=19,
        visible_to=interaction.user if draft.flags & message_rules.EPHEMERAL else None,
        reply_to=original,
        now=call.now,
    )
    return 200, store.message_json(message, now=call.now)


def _edit(call: Call, message: SimMessage, body: Body, *, interaction: SimInteraction | None = None) -> Result:
    draft: Draft | Refused = message_rules.check_message(
        body.json,
        files=body.files,
        before=store.before(message),
        file_limit=interaction.attachment_size_limit if interaction else errors_and_rate_limits.DEFAULT_FILE_LIMIT,
        request_bytes=body.size,
        interaction=interaction is not None,
    )
    if isinstance(draft, Refused):
        return draft
    _accept("IncomingWebhookUpdateRequestPartial" if interaction else "MessageEditRequestPartial", body.json)
    return 200, store.message_json(store.edit(message, draft, now=call.now), now=call.now)


# As the bot.


def _reachable(channel_id: int) -> SimChannel | Refused:
    channel = SimChannel.objects.select_related("guild", "recipient").filter(pk=channel_id).first()
    if channel is None:
        return errors_and_rate_limits.UNKNOWN_CHANNEL
    if channel.guild is not None and not (
        channel.guild.installed and permissions.may(channel.bot_permissions, permissions.VIEW_CHANNEL)
    ):
        return errors_and_rate_limits.MISSING_ACCESS
    return channel


def channel_post(call: Call, channel_id: int) -> Result:
    body = read_body(call.request)
    if isinstance(body, Refused):
        return body
    channel = _reachable(channel_id)
    if isinstance(channel, Refused):
        return channel
    bits = channel.bot_permissions
    if channel.recipient is not None and not channel.recipient.accepts_dms:
        return errors_and_rate_limits.CANNOT_DM
    if not permissions.may(bits, permissions.SEND_MESSAGES):
        return errors_and_rate_limits.MISSING_PERMISSIONS
    if body.files and not permissions.may(bits, permissions.ATTACH_FILES):
        return errors_and_rate_limits.MISSING_PERMISSIONS
    draft = message_rules.check_message(
        body.json,
        files=body.files,
        request_bytes=body.size,
        may_ping_everyone=permissions.may(bits, permissions.MENTION_EVERYONE),
    )
    if isinstance(draft, Refused):
        return draft
    _accept("MessageCreateRequest", body.json)
    if draft.enforce_nonce and draft.nonce:
        SimChannel.objects.select_for_update(of=("self",)).get(pk=channel.pk)
        # "a recent message": the documentation says a few minutes.
        earliest = snowflake_generator.make(call.now) - (300_000 << 22)
        same = channel.messages.filter(nonce=draft.nonce, pk__gte=earliest, deleted_at=None).first()
        if same is not None:
            return 200, store.message_json(same, now=call.now)
    message = store.post(draft, channel=channel, author=store.bot(), now=call.now)
    return 200, store.message_json(message, now=call.now)


def channel_messages(call: Call, channel_id: int) -> Result:
    channel = _reachable(channel_id)
    if isinstance(channel, Refused):
        return channel
    page = _page(call, default=50, most=100)
    if isinstance(page, Refused):
        return page
    found = _part(channel.messages.filter(deleted_at=None, visible_to=None), page)
    # Always the newest first, also after an id.
    return 200, [store.message_json(each, now=call.now) for each in sorted(found, key=lambda each: -each.pk)]


def channel_get(call: Call, channel_id: int) -> Result:
    channel = _reachable(channel_id)
    return channel if isinstance(channel, Refused) else (200, store.channel_json(channel))


def _channel_message(channel_id: int, message_id: int) -> SimMessage | Refused:
    channel = _reachable(channel_id)
    if isinstance(channel, Refused):
        return channel
    found = (
        SimMessage.objects.select_for_update(of=("self",))
        # An ephemeral message is not in the channel: only its interaction's token reaches it.
        .filter(pk=message_id, channel=channel, deleted_at=None, visible_to=None)
        .first()
    )
    return found or errors_and_rate_limits.UNKNOWN_MESSAGE


def message_get(call: Call, channel_id: int, message_id: int) -> Result:
    message = _channel_message(channel_id, message_id)
    return message if isinstance(message, Refused) else (200, store.message_json(message, now=call.now))


def message_edit(call: Call, channel_id: int, message_id: int) -> Result:
    body = read_body(call.request)
    if isinstance(body, Refused):
        return body
    message = _channel_message(channel_id, message_id)
    if isinstance(message, Refused):
        return message
    if message.author_id != settings.DISCORD_APPLICATION_ID:
        return errors_and_rate_limits.NOT_THE_AUTHOR
    return _edit(call, message, body)


def message_delete(call: Call, channel_id: int, message_id: int) -> Result:
    message = _channel_message(channel_id, message_id)
    if isinstance(message, Refused):
        return message
    own = message.author_id == settings.DISCORD_APPLICATION_ID
    if not own and not permissions.may(message.channel.bot_permissions, permissions.MANAGE_MESSAGES):
        return errors_and_rate_limits.MISSING_PERMISSIONS
    store.delete(message, now=call.now)
    return 204, None


def dm_open(call: Call) -> Result:
    body = read_body(call.request)
    if isinstance(body, Refused):
        return body
    errors = errors_of(body_schemas.OPEN_DM, body.json)
    if errors.tree:
        return errors_and_rate_limits.bad_form(errors.tree)
    _accept("CreatePrivateChannelRequest", body.json)
    user = SimUser.objects.filter(pk=int(body.json["recipient_id"])).first()
    if user is None:
        return errors_and_rate_limits.UNKNOWN_USER
    if user.bot:
        return errors_and_rate_limits.CANNOT_DM
    return 200, store.channel_json(open_dm(user, now=call.now))


def open_dm(user: SimUser, *, now: datetime) -> SimChannel:
    """Return the channel of direct messages between a user and the bot."""
    channel, _ = SimChannel.objects.get_or_create(recipient=user, defaults={"pk": snowflake_generator.make(now)})
    return channel


def me(call: Call) -> Result:
    return 200, store.user_json(store.bot()) | {"verified": True, "mfa_enabled": False, "locale": "en-US"}


def my_guilds(call: Call) -> Result:
    """The servers that the bot is in, by id, `limit` from `after` on."""
    page = _page(call, default=200, most=200)
    if isinstance(page, Refused):
        return page
    with_counts = call.request.GET.get("with_counts", "").lower() in {"true", "1"}
    found = SimGuild.objects.filter(installed=True)
    if page.before is not None:
        found = found.filter(pk__lt=page.before)
    found = found.filter(pk__gt=page.after or 0).order_by("pk")
    return 200, [
        {
            "id": str(guild.pk),
            "name": guild.name,
            "icon": None,
            "banner": None,
            "owner": False,
            "permissions": str(permissions.BOT),
            "features": [],
        }
        | (store.guild_counts(guild) if with_counts else {})
        for guild in found[: page.limit]
    ]


def guild_get(call: Call, guild_id: int) -> Result:
    guild = SimGuild.objects.filter(pk=guild_id).first()
    if guild is None:
        return errors_and_rate_limits.UNKNOWN_GUILD
    if not guild.installed:
        return errors_and_rate_limits.MISSING_ACCESS
    with_counts = call.request.GET.get("with_counts", "").lower() in {"true", "1"}
    return 200, store.guild_json(guild) | (store.guild_counts(guild) if with_counts else {})


def _installed_guild(guild_id: int) -> SimGuild | Refused:
    guild = SimGuild.objects.filter(pk=guild_id).first()
    if guild is None:
        return errors_and_rate_limits.UNKNOWN_GUILD
    return guild if guild.installed else errors_and_rate_limits.MISSING_ACCESS


def guild_channels(call: Call, guild_id: int) -> Result:
    guild = _installed_guild(guild_id)
    if isinstance(guild, Refused):
        return guild
    return 200, [store.channel_json(channel) for channel in guild.channels.order_by("position", "pk")]


def guild_roles(call: Call, guild_id: int) -> Result:
    guild = _installed_guild(guild_id)
    return guild if isinstance(guild, Refused) else (200, store.guild_json(guild)["roles"])


def guild_member(call: Call, guild_id: int, user_id: int) -> Result:
    guild = _installed_guild(guild_id)
    if isinstance(guild, Refused):
        return guild
    member = SimMember.objects.filter(guild=guild, user_id=user_id).select_related("user", "guild").first()
    if member is None:
        return errors_and_rate_limits.UNKNOWN_MEMBER
    # Permissions depend on a channel: only interactions carry them.
    return 200, {key: value for key, value in store.member_json(member).items() if key != "permissions"}


def guild_member_search(call: Call, guild_id: int) -> Result:
    """The members whose user name or nickname starts with the query, which Discord requires."""
    guild = _installed_guild(guild_id)
    if isinstance(guild, Refused):
        return guild
    page = _page(call, default=1, most=1000)
    if isinstance(page, Refused):
        return page
    text = call.request.GET.get("query", "")
    if not text:
        errors = FormErrors()
        errors.add(("query",), "BASE_TYPE_REQUIRED", "This field is required")
        return errors_and_rate_limits.bad_form(errors.tree)
    named = Q(user__username__istartswith=text) | Q(user__global_name__istartswith=text)
    found = SimMember.objects.filter(named, guild=guild).select_related("user", "guild")[: page.limit]
    return 200, [
        {key: value for key, value in store.member_json(each).items() if key != "permissions"} for each in found
    ]


def user_get(call: Call, user_id: int) -> Result:
    user = SimUser.objects.filter(pk=user_id).first()
    return (200, store.user_json(user)) if user else errors_and_rate_limits.UNKNOWN_USER


def command_get(call: Call, application_id: int, command_id: int, guild_id: int | None = None) -> Result:
    if application_id != settings.DISCORD_APPLICATION_ID:
        return errors_and_rate_limits.MISSING_ACCESS
    found = [each for each in command_registry.registered(guild_id) if each["id"] == str(command_id)]
    return (200, found[0]) if found else errors_and_rate_limits.UNKNOWN_COMMAND


def commands_get(call: Call, application_id: int, guild_id: int | None = None) -> Result:
    if application_id != settings.DISCORD_APPLICATION_ID:
        return errors_and_rate_limits.MISSING_ACCESS
    found = command_registry.registered(guild_id)
    if call.request.GET.get("with_localizations") == "true":
        return 200, found
    return 200, [command_registry.without_localizations(command) for command in found]


def commands_put(call: Call, application_id: int, guild_id: int | None = None) -> Result:
    if application_id != settings.DISCORD_APPLICATION_ID:
        return errors_and_rate_limits.MISSING_ACCESS
    if guild_id is not None and not SimGuild.objects.filter(pk=guild_id, installed=True).exists():
        return errors_and_rate_limits.MISSING_ACCESS
    body = read_body(call.request)
    if isinstance(body, Refused):
        return body
    result = command_registry.overwrite(body.json, guild_id=guild_id, now=call.now)
    if isinstance(result, Refused):
        return result
    for command in body.json:
        _accept("ApplicationCommandUpdateRequest", command)
    return 200, result


# The stand-in for the CDN.


def cdn(request: HttpRequest, channel_id: int, attachment_id: int, filename: str) -> HttpResponse:
    """Serve a file while its signed link is valid."""
    try:
        expires = int(request.GET.get("ex", ""), 16)
    except ValueError:
        expires = 0
    valid = expires > timezone.now().timestamp() and constant_time_compare(
        request.GET.get("hm", ""), store.cdn_signature(attachment_id, expires)
    )
    found = SimAttachment.objects.filter(pk=attachment_id, filename=filename).first() if valid else None
    if found is None:
        return HttpResponse("This content is no longer available.", status=404, content_type="text/plain")
    response = HttpResponse(bytes(found.content), content_type=found.content_type)
    response["Cache-Control"] = "private, max-age=3600, immutable"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    return response


def unknown(request: HttpRequest, rest: str = "") -> HttpResponse:
    """Answer for routes that the simulator does not have."""
    return _refusal(errors_and_rate_limits.NOT_FOUND)
