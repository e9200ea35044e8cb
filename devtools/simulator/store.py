"""Reads and writes the simulator's data, in Discord's own terms."""

from __future__ import annotations

import hashlib
import hmac
import io
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from PIL import Image, UnidentifiedImageError

from discord_api import snowflakes

from . import component_rules, message_rules, snowflake_generator
from .models import (
    SimAttachment,
    SimChannel,
    SimEdit,
    SimGuild,
    SimInteraction,
    SimMember,
    SimMessage,
    SimUser,
)

CDN_LINK_LIFE = timedelta(hours=24)


def bot() -> SimUser:
    """The application's own account."""
    user, _ = SimUser.objects.get_or_create(
        pk=settings.DISCORD_APPLICATION_ID,
        defaults={"username": "sparkle", "global_name": "Sparkle", "hue": 268, "bot": True},
    )
    return user


def before(message: SimMessage) -> message_rules.Before:
    """Return what the rules need to know about a message to edit."""
    return message_rules.Before(
        content=message.content,
        embeds=message.embeds,
        components=message.components,
        flags=message.flags,
        attachment_ids=frozenset(message.attachments.values_list("pk", flat=True)),
        filenames=frozenset(message.attachments.values_list("filename", flat=True)),
    )


def post(
    draft: message_rules.Draft,
    *,
    channel: SimChannel,
    author: SimUser,
    now: datetime,
    interaction: SimInteraction | None = None,
    kind: int = 0,
    visible_to: SimUser | None = None,
    reply_to: SimMessage | None = None,
) -> SimMessage:
    """Post the message; return it."""
    with transaction.atomic():
        message = SimMessage.objects.create(
            pk=snowflake_generator.make(now),
            channel=channel,
            author=author,
            interaction=interaction,
            kind=kind,
            content=draft.content,
            embeds=draft.embeds,
            components=_numbered(draft.components),
            flags=draft.flags,
            visible_to=visible_to,
            reply_to=reply_to,
            nonce=draft.nonce,
            **_pinged(draft.pings),
        )
        for new in draft.files:
            attach(new, message=message, now=now)
        _remember(message, at=now)
    return message


def edit(message: SimMessage, draft: message_rules.Draft, *, now: datetime) -> SimMessage:
    """Replace the message by the draft; attachments that it does not keep are deleted."""
    with transaction.atomic():
        message.attachments.exclude(pk__in=draft.keep).delete()
        for new in draft.files:
            attach(new, message=message, now=now)
        message.content = draft.content
        message.embeds = draft.embeds
        message.components = _numbered(draft.components)
        message.flags = draft.flags
        message.edited_at = now
        # A later edit does not take a notification back.
        message.pinged_user_ids = sorted({*message.pinged_user_ids, *draft.pings.user_ids})
        message.pinged_role_ids = sorted({*message.pinged_role_ids, *draft.pings.role_ids})
        message.pinged_everyone = message.pinged_everyone or draft.pings.everyone
        message.save()
        _remember(message, at=now)
    return message


def delete(message: SimMessage, *, now: datetime) -> None:
    """Delete the message's content and files; its row stays."""
    with transaction.atomic():
        message.attachments.all().delete()
        message.deleted_at = now
        message.save(update_fields=["deleted_at"])


def attach(new: message_rules.NewFile, *, now: datetime, message: SimMessage | None = None) -> SimAttachment:
    """Keep an uploaded file."""
    width, height = _measure(new.upload.content)
    return SimAttachment.objects.create(
        pk=snowflake_generator.make(now),
        message=message,
        filename=new.filename,
        content_type=new.upload.content_type,
        size=len(new.upload.content),
        description=new.description,
        spoiler=new.spoiler,
        width=width,
        height=height,
        content=new.upload.content,
    )


def _measure(content: bytes) -> tuple[int | None, int | None]:
    try:
        with Image.open(io.BytesIO(content)) as image:
            return image.size
    except (UnidentifiedImageError, OSError):
        return None, None


def _pinged(pings: message_rules.Pings) -> dict[str, Any]:
    return {
        "pinged_user_ids": sorted(pings.user_ids),
        "pinged_role_ids": sorted(pings.role_ids),
        "pinged_everyone": pings.everyone,
    }


def _numbered(components: list[Any]) -> list[Any]:
    """Discord gives each component an id of its own."""
    number = 0

    def walk(component: Any) -> Any:
        nonlocal number
        number += 1
        numbered = {"id": number} | component
        if "components" in component:
            numbered["components"] = [walk(each) for each in component["components"]]
        if "accessory" in component:
            numbered["accessory"] = walk(component["accessory"])
        return numbered

    return [walk(each) for each in components]


def _remember(message: SimMessage, *, at: datetime) -> None:
    SimEdit.objects.create(
        message=message,
        at=at,
        content=message.content,
        embeds=message.embeds,
        components=message.components,
        attachments=list(message.attachments.values_list("filename", flat=True)),
    )


# As JSON, as Discord writes it.


def cdn_path(attachment: SimAttachment, *, now: datetime) -> str:
    """Return a signed, expiring path of the file. Within an hour it stays the same, so that browsers can cache it."""
    expires = int((now + CDN_LINK_LIFE).timestamp()) // 3600 * 3600
    folder = attachment.message.channel_id if attachment.message else 0
    return (
        f"/simulator/cdn/attachments/{folder}/{attachment.pk}/{attachment.filename}"
        f"?ex={expires:x}&hm={cdn_signature(attachment.pk, expires)}"
    )


def cdn_signature(attachment_id: int, expires: int) -> str:
    """Sign a link to a file that is valid until `expires` (seconds of the epoch)."""
    key = settings.SIMULATOR_SIGNING_KEY.encode()
    return hmac.new(key, f"{attachment_id}:{expires}".encode(), hashlib.sha256).hexdigest()


def user_json(user: SimUser) -> dict[str, Any]:
    return {
        "id": str(user.pk),
        "username": user.username,
        "global_name": user.global_name,
        "avatar": None,
        "discriminator": "0",
        "public_flags": 0,
        "flags": 0,
        "bot": user.bot,
        "avatar_decoration_data": None,
        "collectibles": None,
        "clan": None,
        "primary_guild": None,
        "display_name_styles": None,
    }


def member_json(member: SimMember) -> dict[str, Any]:
    """A member as an interaction carries it: with the permissions in the channel."""
    return {
        "user": user_json(member.user),
        "roles": [str(role) for role in member.role_ids],
        "permissions": str(member.permissions),
        "joined_at": member.joined_at.isoformat(),
        "nick": None,
        "avatar": None,
        "banner": None,
        "deaf": False,
        "mute": False,
        "flags": 0,
        "pending": False,
        "premium_since": None,
        "communication_disabled_until": None,
        "unusual_dm_activity_until": None,
        "avatar_decoration_data": None,
        "collectibles": None,
        "display_name_styles": None,
    }


def channel_json(channel: SimChannel) -> dict[str, Any]:
    if channel.guild_id is None:
        assert channel.recipient is not None
        return {
            "id": str(channel.pk),
            "type": 1,
            "flags": 0,
            "last_message_id": None,
            "recipients": [user_json(channel.recipient)],
        }
    return {
        "id": str(channel.pk),
        "type": channel.kind,
        "guild_id": str(channel.guild_id),
        "name": channel.name,
        "topic": channel.topic or None,
        "nsfw": channel.nsfw,
        "position": channel.position,
        "parent_id": str(channel.parent_id) if channel.parent_id else None,
        "rate_limit_per_user": 0,
        "flags": 0,
        "last_message_id": None,
    }


def guild_json(guild: SimGuild) -> dict[str, Any]:
    return {
        "id": str(guild.pk),
        "name": guild.name,
        "icon": None,
        "owner_id": str(guild.owner_id),
        "features": [],
        "preferred_locale": "en-US",
        "system_channel_id": next((str(channel.pk) for channel in guild.channels.order_by("position", "pk")), None),
        "roles": [
            {"id": str(role.pk), "name": role.name, "permissions": str(role.permissions), "position": role.position}
            for role in guild.roles.all()
        ],
    }


def guild_counts(guild: SimGuild) -> dict[str, int]:
    """What `with_counts` adds."""
    members = guild.members.count()
    return {"approximate_member_count": members, "approximate_presence_count": members}


def attachment_json(attachment: SimAttachment, *, now: datetime) -> dict[str, Any]:
    url = settings.SITE_URL + cdn_path(attachment, now=now)
    found: dict[str, Any] = {
        "id": str(attachment.pk),
        "filename": attachment.filename,
        "size": attachment.size,
        "url": url,
        "proxy_url": url,
        "content_type": attachment.content_type,
    }
    if attachment.description:
        found["description"] = attachment.description
    if attachment.width:
        found |= {"width": attachment.width, "height": attachment.height}
    return found


def message_json(message: SimMessage, *, now: datetime) -> dict[str, Any]:
    """The message as Discord's API returns it."""
    mentions = SimUser.objects.filter(pk__in=message.pinged_user_ids)
    attachments = list(message.attachments.all())
    by_name = {f"attachment://{each.filename}": attachment_json(each, now=now) for each in attachments}
    embeds = [_embed_json(embed, by_name) for embed in message.embeds]
    shown_elsewhere = {
        (embed.get(part) or {}).get("url") for embed in message.embeds for part in ("image", "thumbnail")
    } | set(component_rules.media_urls(message.components))
    found: dict[str, Any] = {
        "id": str(message.pk),
        "channel_id": str(message.channel_id),
        "type": message.kind,
        "author": user_json(message.author),
        "content": message.content,
        "timestamp": snowflakes.created_at(message.pk).isoformat(),
        "edited_timestamp": message.edited_at.isoformat() if message.edited_at else None,
        "tts": False,
        "mention_everyone": message.pinged_everyone,
        "mentions": [user_json(user) for user in mentions],
        "mention_roles": [str(role) for role in message.pinged_role_ids],
        # A file that an embed or a component shows is not shown a second time.
        "attachments": [
            attachment_json(each, now=now)
            for each in attachments
            if f"attachment://{each.filename}" not in shown_elsewhere
        ],
        "embeds": embeds,
        "components": _components_json(message.components, by_name),
        "pinned": False,
        "flags": message.flags,
    }
    if message.nonce:
        found["nonce"] = message.nonce
    if message.interaction_id is not None:
        found |= {"webhook_id": str(settings.DISCORD_APPLICATION_ID), "application_id": found["author"]["id"]}
    return found


def _components_json(part: Any, by_name: dict[str, dict[str, Any]]) -> Any:
    """Resolve the files that components show."""
    if isinstance(part, list):
        return [_components_json(each, by_name) for each in part]
    if not isinstance(part, dict):
        return part
    file = by_name.get(part["url"]) if isinstance(part.get("url"), str) else None
    told = ("url", "proxy_url", "width", "height", "content_type")
    resolved = {key: file[key] for key in told if key in file} | {"attachment_id": file["id"]} if file else {}
    return {key: _components_json(value, by_name) for key, value in part.items()} | resolved


def _embed_json(embed: dict[str, Any], by_name: dict[str, dict[str, Any]]) -> dict[str, Any]:
    shown = {"type": "rich"} | embed
    for part in ("image", "thumbnail"):
        file = by_name.get((embed.get(part) or {}).get("url", ""))
        if file:
            told = ("url", "proxy_url", "width", "height", "content_type", "description")
            shown[part] = embed[part] | {key: file[key] for key in told if key in file}
    return shown
