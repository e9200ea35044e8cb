"""Which messages Discord accepts. Pure: takes a body and facts, returns an error or a draft.

Sources (Discord's developer documentation): resources/message, resources/webhook, reference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import body_schemas
from .body_validation import FormErrors, errors_of
from .component_rules import check_layout, check_rows, texts
from .errors_and_rate_limits import (
    DEFAULT_FILE_LIMIT,
    EMPTY,
    MAX_ATTACHMENTS,
    MAX_FILES,
    REQUEST_LIMIT,
    TOO_LARGE,
    Refused,
    bad_form,
)

EPHEMERAL = 1 << 6
LOADING = 1 << 7
SUPPRESS_EMBEDS = 1 << 2
SUPPRESS_NOTIFICATIONS = 1 << 12
COMPONENTS_V2 = 1 << 15
MAX_EMBED_CHARACTERS = 6000

_USER_MENTION = re.compile(r"<@!?(\d{1,19})>")
_ROLE_MENTION = re.compile(r"<@&(\d{1,19})>")
_EVERYONE = re.compile(r"@(everyone|here)\b")
_CODE = re.compile(r"```.*?```|``.*?``|`[^`]*`", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A part `files[index]` of a multipart request."""

    index: int
    filename: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """The content of the message to edit."""

    content: str = ""
    embeds: Sequence[Any] = ()
    components: Sequence[Any] = ()
    flags: int = 0
    attachment_ids: frozenset[int] = frozenset()
    filenames: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    upload: Upload
    filename: str
    description: str
    spoiler: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pings:
    """Who a message notifies."""

    user_ids: frozenset[int] = frozenset()
    role_ids: frozenset[int] = frozenset()
    everyone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message that Discord accepts, in its final form."""

    content: str
    embeds: list[Any]
    components: list[Any]
    flags: int
    keep: frozenset[int]
    files: tuple[NewFile, ...]
    pings: Pings
    nonce: str = ""
    enforce_nonce: bool = False


def check_message(
    body: Any,
    *,
    files: Sequence[Upload] = (),
    before: Before | None = None,
    file_limit: int = DEFAULT_FILE_LIMIT,
    request_bytes: int = 0,
    interaction: bool = False,
    may_ping_everyone: bool = False,
) -> Draft | Refused:
    """Check a message to post (`before` is None) or to edit.

    `interaction`: it comes by an interaction's token, where mentions fall back to users alone.
    """
    if request_bytes > REQUEST_LIMIT or any(len(file.content) > file_limit for file in files):
        return TOO_LARGE
    errors = errors_of(body_schemas.MESSAGE, body)
    if errors.tree:
        return bad_form(errors.tree)
    old = before or Before()
    flags = _flags(body, old=before, interaction=interaction)
    content = (body.get("content") or "") if "content" in body else old.content
    embeds = (body.get("embeds") or []) if "embeds" in body else list(old.embeds)
    _check_embed_size(embeds, errors)
    components = (body.get("components") or []) if "components" in body else list(old.components)
    if flags & COMPONENTS_V2 and (content or embeds):
        errors.add(
            ("content" if content else "embeds",),
            "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
            "The 'content' and 'embeds' fields cannot be used when using MessageFlags.IS_COMPONENTS_V2",
        )
    kept, new, listed_badly = _attachments(body, files=files, old=old, errors=errors)
    if flags & COMPONENTS_V2:
        check_layout(components, errors, filenames=frozenset({file.filename for file in new} | old.filenames))
    else:
        check_rows(components, errors)
    text = "\n".join([content, *texts(components)]) if flags & COMPONENTS_V2 else content
    pings = _pings(body, text, errors, interaction=interaction, may_ping_everyone=may_ping_everyone)
    nonce = body.get("nonce")
    if errors.tree:
        return bad_form(errors.tree)
    if len(kept) + len(new) > MAX_ATTACHMENTS or listed_badly:
        return MAX_FILES
    shown = content.strip() or embeds or kept or new or (flags & COMPONENTS_V2 and components)
    if not shown:
        return EMPTY
    return Draft(
        content=content,
        embeds=embeds,
        components=components,
        flags=flags,
        keep=kept,
        files=new,
        pings=pings,
        nonce=str(nonce) if nonce is not None else "",
        enforce_nonce=body.get("enforce_nonce") is True,
    )


def _flags(body: Mapping[str, Any], *, old: Before | None, interaction: bool) -> int:
    flags = body.get("flags") or 0
    settable = SUPPRESS_EMBEDS | COMPONENTS_V2
    if old is None:
        # Ephemerality is fixed by the first answer; an edit cannot change it, and says nothing about it.
        settable |= SUPPRESS_NOTIFICATIONS | (EPHEMERAL if interaction else 0)
        return flags & settable
    kept = old.flags & ~(settable | LOADING) | old.flags & COMPONENTS_V2
    return kept | flags & settable


def _check_embed_size(embeds: Sequence[Mapping[str, Any]], errors: FormErrors) -> None:
    total = 0
    for embed in embeds:
        texts = [embed.get("title"), embed.get("description")]
        texts += [(embed.get("footer") or {}).get("text"), (embed.get("author") or {}).get("name")]
        texts += [text for each in embed.get("fields") or [] for text in (each["name"], each["value"])]
        total += sum(len(text) for text in texts if text)
    if total > MAX_EMBED_CHARACTERS:
        errors.add(("embeds",), "MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000")


def _attachments(
    body: Mapping[str, Any], *, files: Sequence[Upload], old: Before, errors: FormErrors
) -> tuple[frozenset[int], tuple[NewFile, ...], bool]:
    """Which files stay, which come; True where more are named than a message holds."""
    uploads = {file.index: file for file in files}
    if "attachments" not in body:
        # Without the field, old attachments stay and uploads are added.
        return old.attachment_ids, tuple(_new_file(each, {}) for each in files), False
    listed = body["attachments"] or []
    kept: set[int] = set()
    new: list[NewFile] = []
    for n, each in enumerate(listed):
        at = ("attachments", n)
        number = int(each["id"])
        if number in uploads:
            new.append(_new_file(uploads.pop(number), each))
        elif number in old.attachment_ids:
            kept.add(number)
        else:
            errors.add((*at, "id"), "ATTACHMENT_NOT_FOUND", f"No file of the request or message: {number}")
    for index in sorted(uploads):
        errors.add(("attachments",), "ATTACHMENT_NOT_LISTED", f"files[{index}] is uploaded but not listed")
    return frozenset(kept), tuple(new), len(listed) > MAX_ATTACHMENTS


def _new_file(upload: Upload, listed: Mapping[str, Any]) -> NewFile:
    filename = listed.get("filename") or upload.filename
    return NewFile(
        upload=upload,
        filename=filename,
        description=listed.get("description") or "",
        spoiler=filename.startswith("SPOILER_") or listed.get("is_spoiler") is True,
    )


def _pings(
    body: Mapping[str, Any], content: str, errors: FormErrors, *, interaction: bool, may_ping_everyone: bool
) -> Pings:
    text = _CODE.sub("", content)
    users = {int(each) for each in _USER_MENTION.findall(text)}
    roles = {int(each) for each in _ROLE_MENTION.findall(text)}
    everyone = bool(_EVERYONE.search(text))
    allowed = body.get("allowed_mentions")
    if allowed is None:
        # resources/message: an interaction's default is users; an edit without the field falls back to it.
        if interaction:
            return Pings(user_ids=frozenset(users))
        return Pings(user_ids=frozenset(users), role_ids=frozenset(roles), everyone=everyone and may_ping_everyone)
    parse = allowed.get("parse") or []
    named: dict[str, set[int]] = {}
    for kind in ("users", "roles"):
        ids = allowed.get(kind) or []
        if ids and kind in parse:
            errors.add(
                ("allowed_mentions",),
                "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE",
                f'parse:["{kind}"] and {kind}: [ids...] are mutually exclusive.',
            )
        named[kind] = {int(each) for each in ids}
    return Pings(
        user_ids=frozenset(users if "users" in parse else users & named["users"]),
        role_ids=frozenset(roles if "roles" in parse else roles & named["roles"]),
        everyone=everyone and "everyone" in parse and may_ping_everyone,
    )
