"""The chat page: what it shows, and what a member does on it. It loads nothing from outside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

from django.conf import settings
from django.db.models import Max, Q
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_POST, require_safe

from discord_api import snowflakes

from . import client, command_registry, errors_and_rate_limits, injected_faults, message_rules, seed_data, store
from .client import Outcome, Unusable
from .models import SimCall, SimChannel, SimGuild, SimMember, SimMessage, SimRole, SimUser

SHOWN_MESSAGES = 60
SHOWN_CALLS = 60
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

# Where the demo's model brings no list of what it can draw.
PROMPTS = ("a red circle on a blue background", "a house under a rainbow", "a night sky over a lake")

View = Callable[..., HttpResponse]


@require_safe
@ensure_csrf_cookie
def chat(request: HttpRequest) -> HttpResponse:
    """The page itself; its script asks for everything else."""
    response = render(request, "simulator/chat.html")
    response["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response


# What is shown.


@require_safe
def world(request: HttpRequest) -> HttpResponse:
    """Servers with channels and members, users, roles, commands and suggested prompts."""
    guilds = [_guild(guild) for guild in SimGuild.objects.prefetch_related("channels", "members__user", "roles")]
    return JsonResponse(
        {
            "application": _user(store.bot()),
            "guilds": guilds,
            "users": [_user(user) for user in SimUser.objects.all()],
            "roles": [{"id": str(role.pk), "name": role.name, "hue": role.hue} for role in SimRole.objects.all()],
            "prompts": _suggested_prompts(),
            "faults": [{"kind": kind, "name": name} for kind, name in injected_faults.Kind.choices],
        }
    )


def _suggested_prompts() -> list[str]:
    path = settings.BASE_DIR / "demo_model" / "prompts.json"
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        found = []
    if isinstance(found, dict):
        found = found.get("prompts") or []
    return [each for each in found if isinstance(each, str)] or list(PROMPTS)


def _user(user: SimUser) -> dict[str, Any]:
    return {"id": str(user.pk), "name": user.global_name, "hue": user.hue, "bot": user.bot}


def _guild(guild: SimGuild) -> dict[str, Any]:
    roles = {role.pk: role for role in guild.roles.all()}
    return {
        "id": str(guild.pk),
        "name": guild.name,
        "hue": guild.hue,
        "installed": guild.installed,
        "channels": [
            {"id": str(channel.pk), "name": channel.name, "topic": channel.topic, "nsfw": channel.nsfw}
            for channel in guild.channels.all()
            if channel.kind == SimChannel.TEXT
        ],
        "members": [
            _user(member.user)
            | {
                "owner": member.user_id == guild.owner_id,
                "permissions": str(member.permissions),
                "roles": [{"name": roles[pk].name, "hue": roles[pk].hue} for pk in member.role_ids if pk in roles],
            }
            for member in guild.members.all()
        ],
        "commands": command_registry.offered(guild.pk) if guild.installed else [],
    }


@require_safe
def messages(request: HttpRequest) -> HttpResponse:
    """What a member sees in a channel, and the newest message of each channel that is theirs.

    With an ETag: while nothing changes the answer is 304.
    """
    now = timezone.now()
    user = get_object_or_404(SimUser, pk=_id(request.GET.get("user")))
    channel = get_object_or_404(SimChannel, pk=_id(request.GET.get("channel")))
    visible = Q(visible_to=None) | Q(visible_to=user)
    found = (
        channel.messages.filter(visible, deleted_at=None)
        .select_related("author", "interaction__user", "reply_to__author")
        .prefetch_related("attachments")
        .order_by("-pk")[:SHOWN_MESSAGES]
    )
    dm = SimChannel.objects.filter(recipient=user).first()
    own = Q(guild__members__user=user) | Q(recipient=user)
    newest = SimMessage.objects.filter(visible, deleted_at=None, channel__in=SimChannel.objects.filter(own))
    body = json.dumps(
        {
            "messages": [_message(each, viewer=user, now=now) for each in reversed(found)],
            "newest": {
                str(row["channel"]): str(row["last"])
                for row in newest.exclude(author=user).values("channel").annotate(last=Max("pk"))
            },
            "dm": str(dm.pk) if dm else None,
        }
    )
    etag = f'"{hashlib.sha256(body.encode()).hexdigest()[:24]}"'
    if request.headers.get("If-None-Match") == etag:
        return HttpResponse(status=304)
    response = HttpResponse(body, content_type="application/json")
    response["ETag"] = etag
    response["Cache-Control"] = "no-cache"
    return response


def _message(message: SimMessage, *, viewer: SimUser, now: datetime) -> dict[str, Any]:
    shown = store.message_json(message, now=now)
    spoilers = {str(each.pk) for each in message.attachments.all() if each.spoiler}
    interaction, reply_to = message.interaction, message.reply_to
    return {
        "id": shown["id"],
        "author": _user(message.author),
        "content": shown["content"],
        "at": shown["timestamp"],
        "edited": bool(message.edited_at) and interaction is None,
        "embeds": [_local_embed(embed) for embed in shown["embeds"]],
        "attachments": [
            each | {"url": _local(each["url"]), "spoiler": each["id"] in spoilers} for each in shown["attachments"]
        ],
        "components": _local_urls(shown["components"]),
        "layout": bool(message.flags & message_rules.COMPONENTS_V2),
        "loading": bool(message.flags & message_rules.LOADING),
        "ephemeral": message.visible_to_id is not None,
        "pinged": viewer.pk in message.pinged_user_ids or message.pinged_everyone,
        "used": {"user": _user(interaction.user), "command": interaction.name}
        if interaction is not None and interaction.type == client.COMMAND
        else None,
        "reply": {
            "author": _user(reply_to.author),
            "content": reply_to.content[:120],
            "deleted": reply_to.deleted_at is not None,
        }
        if reply_to is not None
        else None,
    }


def _local(url: str) -> str:
    """Addresses on the page keep the host name that it was opened with."""
    return url.removeprefix(settings.SITE_URL)


def _local_urls(part: Any) -> Any:
    if isinstance(part, list):
        return [_local_urls(each) for each in part]
    if isinstance(part, dict):
        return {key: _local_urls(value) for key, value in part.items()}
    return _local(part) if isinstance(part, str) and part.startswith(f"{settings.SITE_URL}/simulator/cdn/") else part


def _local_embed(embed: dict[str, Any]) -> dict[str, Any]:
    local = {
        part: embed[part] | {"url": _local(embed[part]["url"])} for part in ("image", "thumbnail") if part in embed
    }
    return embed | local


@require_safe
def calls(request: HttpRequest) -> HttpResponse:
    """The application's latest requests to Discord, newest first, and the faults still to come."""
    found = SimCall.objects.order_by("-pk")[:SHOWN_CALLS]
    planned = injected_faults.waiting()
    return JsonResponse(
        {
            "calls": [
                {
                    "id": call.pk,
                    "at": call.at.isoformat(),
                    "method": call.method,
                    "route": call.route,
                    "status": call.status,
                    "code": call.code,
                    "problem": call.problem,
                    "milliseconds": call.milliseconds,
                }
                for call in found
            ],
            "faults": [{"name": fault.get_kind_display(), "remaining": fault.remaining} for fault in planned],
        }
    )


# What a member does.


def action(view: Callable[[dict[str, Any], HttpRequest], dict[str, Any]]) -> View:
    """A POST of JSON (or of a form whose field `json` holds it) that answers with JSON."""

    @wraps(view)
    @require_POST
    def act(request: HttpRequest) -> HttpResponse:
        is_form = (request.content_type or "").startswith("multipart/form-data")
        try:
            body = json.loads(request.POST["json"] if is_form else request.body)
        except (KeyError, ValueError):
            return JsonResponse({"problem": "The request is not valid JSON."}, status=400)
        try:
            return JsonResponse(view(body, request))
        except Unusable as unusable:
            return JsonResponse({"problem": str(unusable)})

    return act


def _id(text: object) -> int:
    """A snowflake, which travels as text: a browser's numbers lose its last digits. Raises Http404."""
    found = snowflakes.parse(text)
    if found is None:
        raise Http404
    return found


def _place(body: dict[str, Any]) -> tuple[SimChannel, SimUser]:
    channel = get_object_or_404(SimChannel.objects.select_related("guild", "recipient"), pk=_id(body.get("channel")))
    user = get_object_or_404(SimUser, pk=_id(body.get("user")))
    if channel.guild is not None:
        get_object_or_404(SimMember, guild=channel.guild, user=user)
    return channel, user


def _seen_message(body: dict[str, Any]) -> tuple[SimMessage, SimUser]:
    message = get_object_or_404(
        SimMessage.objects.select_related("channel__guild", "channel__recipient", "author"), pk=_id(body.get("message"))
    )
    return message, get_object_or_404(SimUser, pk=_id(body.get("user")))


def _told(outcome: Outcome) -> dict[str, Any]:
    return {
        "problem": outcome.problem,
        "message": str(outcome.message.pk) if outcome.message else None,
        "modal": outcome.modal,
        "choices": list(outcome.choices),
    }


@action
def command(body: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
    """Use a slash command; files are in the form under their option's name."""
    channel, user = _place(body)
    now = timezone.now()
    options = dict(body.get("options") or {})
    for name, uploads in request.FILES.lists():
        upload = uploads[0]
        assert upload.name is not None
        if upload.size is not None and upload.size > errors_and_rate_limits.DEFAULT_FILE_LIMIT:
            raise Unusable(f"{name}: your files are too powerful. The limit is 10 MB")
        options[name] = store.attach(
            message_rules.NewFile(
                upload=message_rules.Upload(
                    index=0,
                    filename=upload.name,
                    content_type=upload.content_type or "application/octet-stream",
                    content=upload.read(),
                ),
                filename=upload.name,
                description="",
            ),
            now=now,
        )
    return _told(client.use_command(channel=channel, user=user, name=body["name"], options=options))


@action
def complete(body: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
    """Ask the application what an option could be."""
    channel, user = _place(body)
    outcome = client.complete(
        channel=channel, user=user, name=body["name"], focused=body["focused"], options=body.get("options") or {}
    )
    return _told(outcome)


@action
def press(body: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
    """Press a button or choose in a select."""
    message, user = _seen_message(body)
    outcome = client.press(message=message, user=user, custom_id=body["custom_id"], values=body.get("values"))
    return _told(outcome)


@action
def menu(body: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
    """Use a message command."""
    message, user = _seen_message(body)
    return _told(client.use_message_command(message=message, user=user, name=body["name"]))


@action
def modal(body: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
    """Send a filled form."""
    channel, user = _place(body)
    message = SimMessage.objects.filter(pk=_id(body["message"])).first() if body.get("message") else None
    outcome = client.submit_modal(
        channel=channel, user=user, modal=body["modal"], values=body["values"], message=message
    )
    return _told(outcome)


@action
def say(body: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
    """Write an ordinary message."""
    channel, user = _place(body)
    draft = message_rules.check_message({"content": body["content"]})
    if isinstance(draft, errors_and_rate_limits.Refused):
        raise Unusable(draft.message)
    message = store.post(draft, channel=channel, author=user, now=timezone.now())
    return {"problem": "", "message": str(message.pk)}


@action
def dismiss(body: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
    """Hide an ephemeral message, as its only reader can."""
    message, user = _seen_message(body)
    if message.visible_to_id == user.pk:
        store.delete(message, now=timezone.now())
    return {"problem": ""}


@action
def fault(body: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
    """Let the next requests of the application fail, or (without a kind) behave again."""
    if body.get("kind"):
        injected_faults.plan(injected_faults.Kind(body["kind"]), times=int(body.get("times") or 1), seconds=1.0)
    else:
        injected_faults.clear()
    return {"problem": ""}


@action
def installation(body: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
    """Invite the bot to a server or remove it, as the server's owner."""
    guild = get_object_or_404(SimGuild, pk=_id(body.get("guild")))
    if body["installed"]:
        seed_data.install(guild, now=timezone.now())
    else:
        seed_data.uninstall(guild, now=timezone.now())
    return {"problem": ""}
