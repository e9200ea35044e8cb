"""What Discord accepts and how it says no. Pure: a request and the facts in, a refusal or a draft out.

Sources (Discord's developer documentation): resources/message, resources/webhook, components/reference,
interactions/receiving-and-responding, topics/rate-limits, topics/opcodes-and-status-codes, reference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

TOKEN_LIFE = timedelta(minutes=15)
ACK_LIFE = timedelta(seconds=3)
REQUEST_LIMIT = 25 * 1024 * 1024
DEFAULT_FILE_LIMIT = 10 * 1024 * 1024
MAX_ATTACHMENTS = 10
MAX_FOLLOWUPS_WITHOUT_BOT = 5

EPHEMERAL = 1 << 6
LOADING = 1 << 7
SUPPRESS_EMBEDS = 1 << 2
SUPPRESS_NOTIFICATIONS = 1 << 12
COMPONENTS_V2 = 1 << 15

ACTION_ROW, BUTTON, STRING_SELECT, TEXT_INPUT = 1, 2, 3, 4
SELECTS = frozenset({3, 5, 6, 7, 8})
LINK, PREMIUM = 5, 6

Path = tuple[str | int, ...]

_USER_AGENT = re.compile(r"^DiscordBot \(\S+, \S+\)")
_USER_MENTION = re.compile(r"<@!?(\d+)>")
_ROLE_MENTION = re.compile(r"<@&(\d+)>")
_EVERYONE = re.compile(r"@(everyone|here)\b")
_CODE = re.compile(r"```.*?```|``.*?``|`[^`]*`", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Discord's error: HTTP status, its own code (0 for plain HTTP errors), message and the form's errors."""

    status: int
    code: int
    message: str
    errors: Mapping[str, Any] | None = None
    text: str | None = None
    """What the edge answers in place of JSON, where it does."""

    def body(self) -> dict[str, Any]:
        """The JSON that Discord sends."""
        return {"message": self.message, "code": self.code} | ({"errors": self.errors} if self.errors else {})


UNKNOWN_WEBHOOK = Refused(status=404, code=10015, message="Unknown Webhook")
UNKNOWN_MESSAGE = Refused(status=404, code=10008, message="Unknown Message")
UNKNOWN_CHANNEL = Refused(status=404, code=10003, message="Unknown Channel")
UNKNOWN_GUILD = Refused(status=404, code=10004, message="Unknown Guild")
UNKNOWN_USER = Refused(status=404, code=10013, message="Unknown User")
UNKNOWN_APPLICATION = Refused(status=404, code=10002, message="Unknown Application")
NOT_FOUND = Refused(status=404, code=0, message="404: Not Found")
METHOD_NOT_ALLOWED = Refused(status=405, code=0, message="405: Method Not Allowed")
DEAD_TOKEN = Refused(status=401, code=50027, message="Invalid Webhook Token")
UNAUTHORIZED = Refused(status=401, code=0, message="401: Unauthorized")
MISSING_ACCESS = Refused(status=403, code=50001, message="Missing Access")
MISSING_PERMISSIONS = Refused(status=403, code=50013, message="Missing Permissions")
CANNOT_DM = Refused(status=403, code=50007, message="Cannot send messages to this user")
NOT_THE_AUTHOR = Refused(status=403, code=50005, message="Cannot edit a message authored by another user")
TOO_LARGE = Refused(status=413, code=40005, message="Request entity too large")
EMPTY = Refused(status=400, code=50006, message="Cannot send an empty message")
NOT_JSON = Refused(status=400, code=50109, message="The request body contains invalid JSON.")
FOLLOWUPS_SPENT = Refused(
    status=400, code=40094, message="This interaction has reached its maximum number of follow up messages"
)
MAX_FILES = Refused(status=400, code=30015, message="Maximum number of attachments in a message reached (10)")
EDGE_BLOCK = Refused(status=403, code=0, message="Forbidden", text="error code: 1010")


def check_user_agent(user_agent: str | None, *, bot: bool = True) -> Refused | None:
    """The edge turns away clients that do not name themselves; bots must do so as the reference asks."""
    named = user_agent and (_USER_AGENT.match(user_agent) or not bot)
    return None if named else EDGE_BLOCK


def check_bot_token(authorization: str | None, *, token: str) -> Refused | None:
    """Refuse unless the header reads `Bot <token>`."""
    return None if authorization == f"Bot {token}" and token else UNAUTHORIZED


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFacts:
    """The life of an interaction's token so far."""

    application_id: int
    created_at: datetime
    acked_at: datetime | None


def check_token(facts: TokenFacts | None, *, application_id: int, now: datetime) -> Refused | None:
    """Refuse a token that is unknown, not acknowledged (or too late), or older than 15 minutes."""
    if facts is None or facts.application_id != application_id:
        return UNKNOWN_WEBHOOK
    if now - facts.created_at > TOKEN_LIFE:
        return DEAD_TOKEN
    if facts.acked_at is None or facts.acked_at - facts.created_at > ACK_LIFE:
        return UNKNOWN_WEBHOOK
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A part `files[index]` of a multipart request."""

    index: int
    filename: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What the message holds that is to be edited."""

    content: str = ""
    embeds: Sequence[Any] = ()
    components: Sequence[Any] = ()
    flags: int = 0
    attachment_ids: frozenset[int] = frozenset()


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
    """A message that Discord accepts, as it will be."""

    content: str
    embeds: list[Any]
    components: list[Any]
    flags: int
    keep: frozenset[int]
    files: tuple[NewFile, ...]
    pings: Pings
    nonce: str = ""
    enforce_nonce: bool = False


@dataclass(slots=True)
class _Form:
    """Collects a form's errors under their paths."""

    errors: dict[str, Any] = field(default_factory=dict)

    def add(self, path: Iterable[str | int], code: str, message: str) -> None:
        node = self.errors
        for key in path:
            node = node.setdefault(str(key), {})
        node.setdefault("_errors", []).append({"code": code, "message": message})

    def text(self, path: Path, value: Any, *, most: int, least: int = 0, required: bool = False) -> None:
        if value is None:
            if required:
                self.add(path, "BASE_TYPE_REQUIRED", "This field is required")
        elif not isinstance(value, str):
            self.add(path, "STRING_TYPE_CONVERT", "Could not interpret as string.")
        elif len(value) > most:
            self.add(path, "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length.")
        elif len(value) < least:
            self.add(path, "BASE_TYPE_MIN_LENGTH", f"Must be {least} or more in length.")

    def refused(self) -> Refused:
        return bad_form(self.errors)


def bad_form(errors: Mapping[str, Any]) -> Refused:
    """Return the refusal of a body whose fields are wrong; `errors` nests by field name and index."""
    return Refused(status=400, code=50035, message="Invalid Form Body", errors=errors)


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
    """Judge a message that is to be posted (`before` None) or edited.

    `interaction`: it comes by an interaction's token, where mentions fall back to users alone.
    """
    if request_bytes > REQUEST_LIMIT or any(len(file.content) > file_limit for file in files):
        return TOO_LARGE
    if not isinstance(body, dict):
        return bad_form({"_errors": [{"code": "MODEL_TYPE_CONVERT", "message": "Only dictionaries may be used."}]})
    form = _Form()
    old = before or Before()
    flags = _flags(body, form, old=before, interaction=interaction)
    form.text(("content",), body.get("content"), most=2000)
    content = (body.get("content") or "") if "content" in body else old.content
    embeds = _list(body, "embeds", form, most=10) if "embeds" in body else list(old.embeds)
    _check_embeds(embeds, form)
    components = _list(body, "components", form, most=40) if "components" in body else list(old.components)
    if flags & COMPONENTS_V2:
        if content or embeds:
            form.add(
                ("content" if content else "embeds",),
                "MESSAGE_CANNOT_USE_LEGACY_FIELDS_WITH_COMPONENTS_V2",
                "The 'content' and 'embeds' fields cannot be used when using MessageFlags.IS_COMPONENTS_V2",
            )
    else:
        check_components(components, form)
    kept, new, listed_badly = _attachments(body, files=files, old=old, form=form)
    pings = _pings(body, content, form, interaction=interaction, may_ping_everyone=may_ping_everyone)
    nonce = body.get("nonce")
    if nonce is not None:
        form.text(("nonce",), str(nonce) if isinstance(nonce, int) else nonce, most=25)
    if form.errors:
        return form.refused()
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


def _list(body: Mapping[str, Any], name: str, form: _Form, *, most: int) -> list[Any]:
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        form.add((name,), "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
        return []
    if len(value) > most:
        form.add((name,), "BASE_TYPE_BAD_LENGTH", f"Must be {most} or fewer in length.")
    return value


def _flags(body: Mapping[str, Any], form: _Form, *, old: Before | None, interaction: bool) -> int:
    flags = body.get("flags") or 0
    if not isinstance(flags, int) or isinstance(flags, bool):
        form.add(("flags",), "NUMBER_TYPE_COERCE", f'Value "{flags}" is not int.')
        return 0
    settable = SUPPRESS_EMBEDS | COMPONENTS_V2
    if old is None:
        # Ephemerality is fixed by the first answer; an edit cannot change it, and says nothing about it.
        settable |= SUPPRESS_NOTIFICATIONS | (EPHEMERAL if interaction else 0)
        return flags & settable
    kept = old.flags & ~(settable | LOADING) | old.flags & COMPONENTS_V2
    return kept | flags & settable


def _check_embeds(embeds: Sequence[Any], form: _Form) -> None:
    total = 0
    for n, embed in enumerate(embeds):
        at: Path = ("embeds", n)
        if not isinstance(embed, dict):
            form.add(at, "MODEL_TYPE_CONVERT", "Only dictionaries may be used in a ModelType")
            continue
        form.text((*at, "title"), embed.get("title"), most=256)
        form.text((*at, "description"), embed.get("description"), most=4096)
        footer, author, fields = embed.get("footer") or {}, embed.get("author") or {}, embed.get("fields") or []
        if footer:
            form.text((*at, "footer", "text"), footer.get("text"), most=2048, required=True)
        if author:
            form.text((*at, "author", "name"), author.get("name"), most=256, required=True)
        if len(fields) > 25:
            form.add((*at, "fields"), "BASE_TYPE_BAD_LENGTH", "Must be 25 or fewer in length.")
        texts = [embed.get("title"), embed.get("description"), footer.get("text"), author.get("name")]
        for m, each in enumerate(fields):
            form.text((*at, "fields", m, "name"), each.get("name"), least=1, most=256, required=True)
            form.text((*at, "fields", m, "value"), each.get("value"), least=1, most=1024, required=True)
            texts += [each.get("name"), each.get("value")]
        for part in ("image", "thumbnail"):
            url = (embed.get(part) or {}).get("url")
            if url is not None and not str(url).startswith(("http://", "https://", "attachment://")):
                form.add((*at, part, "url"), "URL_TYPE_INVALID_SCHEME", "Scheme must be http, https or attachment.")
        color = embed.get("color")
        if color is not None and not (isinstance(color, int) and 0 <= color <= 0xFFFFFF):
            form.add((*at, "color"), "NUMBER_TYPE_MAX", "int value should be less than or equal to 16777215.")
        total += sum(len(text) for text in texts if isinstance(text, str))
    if total > 6000:
        form.add(("embeds",), "MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000")


def check_components(components: Sequence[Any], form: _Form, *, base: Path = ("components",)) -> None:
    """Judge a message's rows of buttons and selects (components before version 2)."""
    if len(components) > 5:
        form.add(base, "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
    seen: set[str] = set()
    for n, row in enumerate(components):
        at: Path = (*base, n)
        if not isinstance(row, dict) or row.get("type") != ACTION_ROW:
            form.add((*at, "type"), "UNION_TYPE_CHOICES", 'Value of field "type" must be one of (1,).')
            continue
        inside = row.get("components")
        if not isinstance(inside, list) or not 1 <= len(inside) <= 5:
            form.add((*at, "components"), "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
            continue
        if any(each.get("type") in SELECTS for each in inside) and len(inside) > 1:
            form.add(
                (*at, "components"),
                "COMPONENT_LAYOUT_WIDTH_EXCEEDED",
                "The specified component exceeds the maximum width",
            )
        for m, each in enumerate(inside):
            _check_component(each, form, (*at, "components", m), seen)


def _check_component(each: Mapping[str, Any], form: _Form, at: Path, seen: set[str]) -> None:
    kind = each.get("type")
    custom_id = each.get("custom_id")
    if kind == BUTTON:
        form.text((*at, "label"), each.get("label"), most=80)
        style = each.get("style")
        if style not in range(1, 7):
            form.add((*at, "style"), "BASE_TYPE_CHOICES", "Value must be one of (1, 2, 3, 4, 5, 6).")
        if not each.get("label") and not each.get("emoji") and style != PREMIUM:
            form.add(at, "BUTTON_COMPONENT_LABEL_OR_EMOJI_REQUIRED", "A button needs a label or an emoji.")
        if style == LINK:
            if custom_id is not None:
                form.add(
                    at,
                    "BUTTON_COMPONENT_CUSTOM_ID_URL_MUTUALLY_EXCLUSIVE",
                    "A custom id and url cannot both be specified",
                )
            form.text((*at, "url"), each.get("url"), least=1, most=512, required=True)
            return
    elif kind in SELECTS:
        form.text((*at, "placeholder"), each.get("placeholder"), most=150)
        options = each.get("options") or []
        if kind == STRING_SELECT and not 1 <= len(options) <= 25:
            form.add((*at, "options"), "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 25 in length.")
        for m, option in enumerate(options):
            form.text((*at, "options", m, "label"), option.get("label"), least=1, most=100, required=True)
            form.text((*at, "options", m, "value"), option.get("value"), least=1, most=100, required=True)
            form.text((*at, "options", m, "description"), option.get("description"), most=100)
        values = [option.get("value") for option in options]
        if len(set(values)) < len(values):
            form.add(
                (*at, "options"),
                "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED",
                "The value is already used",
            )
    else:
        form.add((*at, "type"), "UNION_TYPE_CHOICES", 'Value of field "type" must be one of (2, 3, 5, 6, 7, 8).')
        return
    if each.get("style") == PREMIUM and kind == BUTTON:
        return
    form.text((*at, "custom_id"), custom_id, least=1, most=100, required=True)
    if isinstance(custom_id, str):
        if custom_id in seen:
            form.add((*at, "custom_id"), "COMPONENT_CUSTOM_ID_DUPLICATED", "Component custom id cannot be duplicated")
        seen.add(custom_id)


def _attachments(
    body: Mapping[str, Any], *, files: Sequence[Upload], old: Before, form: _Form
) -> tuple[frozenset[int], tuple[NewFile, ...], bool]:
    """Which files stay, which come; True where more are named than a message holds."""
    uploads = {file.index: file for file in files}
    if "attachments" not in body:
        # Nothing said: what was there stays, what was uploaded is added.
        return old.attachment_ids, tuple(_new_file(each, {}) for each in files), False
    listed = body["attachments"] or []
    if not isinstance(listed, list):
        form.add(("attachments",), "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
        return frozenset(), (), False
    kept: set[int] = set()
    new: list[NewFile] = []
    for n, each in enumerate(listed):
        at = ("attachments", n)
        try:
            number = int(each["id"])
        except (KeyError, TypeError, ValueError):
            form.add((*at, "id"), "NUMBER_TYPE_COERCE", "An attachment is named by its id.")
            continue
        form.text((*at, "description"), each.get("description"), most=1024)
        form.text((*at, "filename"), each.get("filename"), most=1024)
        if number in uploads:
            new.append(_new_file(uploads.pop(number), each))
        elif number in old.attachment_ids:
            kept.add(number)
        else:
            form.add((*at, "id"), "ATTACHMENT_NOT_FOUND", f"No file of the request or message: {number}")
    for index in sorted(uploads):
        form.add(("attachments",), "ATTACHMENT_NOT_LISTED", f"files[{index}] is uploaded but not listed")
    return frozenset(kept), tuple(new), len(listed) > MAX_ATTACHMENTS


def _new_file(upload: Upload, listed: Mapping[str, Any]) -> NewFile:
    filename = listed.get("filename") or upload.filename
    return NewFile(
        upload=upload,
        filename=filename,
        description=listed.get("description") or "",
        spoiler=filename.startswith("SPOILER_") or listed.get("is_spoiler") is True,
    )


def _pings(body: Mapping[str, Any], content: str, form: _Form, *, interaction: bool, may_ping_everyone: bool) -> Pings:
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
    parse = allowed.get("parse") if isinstance(allowed, dict) else None
    parse = [] if parse is None else parse
    if not isinstance(allowed, dict) or not isinstance(parse, list) or set(parse) - {"users", "roles", "everyone"}:
        form.add(("allowed_mentions", "parse"), "BASE_TYPE_CHOICES", "Must be of users, roles, everyone.")
        return Pings()
    named: dict[str, set[int]] = {}
    for kind in ("users", "roles"):
        ids = allowed.get(kind) or []
        if len(ids) > 100:
            form.add(("allowed_mentions", kind), "BASE_TYPE_BAD_LENGTH", "Must be 100 or fewer in length.")
        if ids and kind in parse:
            form.add(
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


def check_modal(data: Any) -> Refused | None:
    """Judge a modal: title 1..45, custom id 1..100, one to five inputs (in rows or labels)."""
    form = _Form()
    if not isinstance(data, dict):
        form.add(("data",), "BASE_TYPE_REQUIRED", "This field is required")
        return form.refused()
    form.text(("data", "title"), data.get("title"), least=1, most=45, required=True)
    form.text(("data", "custom_id"), data.get("custom_id"), least=1, most=100, required=True)
    rows = data.get("components")
    if not isinstance(rows, list) or not 1 <= len(rows) <= 5:
        form.add(("data", "components"), "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.")
        rows = []
    for n, row in enumerate(rows):
        at = ("data", "components", n)
        inside = row.get("components") or ([row["component"]] if row.get("component") else [])
        if len(inside) != 1 and row.get("type") in {1, 18}:
            form.add((*at, "components"), "BASE_TYPE_BAD_LENGTH", "Must be 1 in length.")
        for m, each in enumerate(inside):
            here = (*at, "components", m)
            form.text((*here, "custom_id"), each.get("custom_id"), least=1, most=100, required=True)
            if each.get("type") == TEXT_INPUT:
                form.text((*here, "label"), each.get("label"), most=45, required=row.get("type") == ACTION_ROW, least=1)
                form.text((*here, "placeholder"), each.get("placeholder"), most=100)
                form.text((*here, "value"), each.get("value"), most=each.get("max_length") or 4000)
                for bound in ("min_length", "max_length"):
                    value = each.get(bound)
                    if value is not None and not 0 <= value <= 4000:
                        form.add((*here, bound), "NUMBER_TYPE_MAX", "int value should be less than or equal to 4000.")
    return form.refused() if form.errors else None


def check_choices(data: Any) -> Refused | None:
    """Judge the answer to an autocomplete: at most 25 choices, names 1..100, string values up to 100."""
    form = _Form()
    choices = data.get("choices") if isinstance(data, dict) else None
    if not isinstance(choices, list):
        form.add(("data", "choices"), "BASE_TYPE_REQUIRED", "This field is required")
        return form.refused()
    if len(choices) > 25:
        form.add(("data", "choices"), "BASE_TYPE_BAD_LENGTH", "Must be 25 or fewer in length.")
    for n, choice in enumerate(choices):
        form.text(("data", "choices", n, "name"), choice.get("name"), least=1, most=100, required=True)
        if isinstance(choice.get("value"), str):
            form.text(("data", "choices", n, "value"), choice["value"], most=100)
        elif not isinstance(choice.get("value"), int | float):
            form.add(("data", "choices", n, "value"), "BASE_TYPE_REQUIRED", "This field is required")
    return form.refused() if form.errors else None


_COMMAND_NAME = re.compile(r"^[-_'\w]{1,32}$")
_OPTION_TYPES = range(1, 12)


def check_commands(body: Any) -> Refused | None:
    """Judge a bulk registration (interactions/application-commands)."""
    form = _Form()
    if not isinstance(body, list):
        form.add((), "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
        return form.refused()
    by_type: dict[int, list[str]] = {}
    for n, command in enumerate(body):
        kind = command.get("type", 1)
        name = command.get("name")
        by_type.setdefault(kind, []).append(str(name))
        form.text((n, "name"), name, least=1, most=32, required=True)
        if kind == 1:
            if isinstance(name, str) and (not _COMMAND_NAME.match(name) or name != name.lower()):
                form.add((n, "name"), "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")
            form.text((n, "description"), command.get("description"), least=1, most=100, required=True)
            if _weight(command) > 8000:
                form.add((n,), "APPLICATION_COMMAND_TOO_LARGE", "Command exceeds maximum size (8000)")
        elif command.get("description"):
            form.add((n, "description"), "APPLICATION_COMMAND_DESCRIPTION_NOT_ALLOWED", "Not for this type of command")
        rights = command.get("default_member_permissions")
        if rights is not None and not (isinstance(rights, int) or (isinstance(rights, str) and rights.isdigit())):
            # The prose says a bit set in a string, the schema an integer; Discord takes both and returns a string.
            form.add((n, "default_member_permissions"), "BITFIELD_TYPE_CONVERT", "A set of permission bits")
        _check_options(command.get("options") or [], form, (n, "options"))
    for kind, most in ((1, 100), (2, 15), (3, 15)):
        names = by_type.get(kind, [])
        if len(names) > most:
            return Refused(status=400, code=30032, message=f"Maximum number of application commands reached ({most}).")
        if len(set(names)) < len(names):
            form.add((), "APPLICATION_COMMANDS_DUPLICATE_NAME", "Application command names must be unique")
    return form.refused() if form.errors else None


def _check_options(options: Sequence[Mapping[str, Any]], form: _Form, at: Path) -> None:
    if len(options) > 25:
        form.add(at, "BASE_TYPE_BAD_LENGTH", "Must be 25 or fewer in length.")
    optional_seen = False
    names: set[str] = set()
    for n, option in enumerate(options):
        here = (*at, n)
        name = option.get("name")
        form.text((*here, "name"), name, least=1, most=32, required=True)
        if isinstance(name, str) and (not _COMMAND_NAME.match(name) or name != name.lower()):
            form.add((*here, "name"), "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid")
        if name in names:
            form.add((*here, "name"), "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS", "Name is already used")
        names.add(str(name))
        form.text((*here, "description"), option.get("description"), least=1, most=100, required=True)
        if option.get("type") not in _OPTION_TYPES:
            form.add((*here, "type"), "BASE_TYPE_CHOICES", "Value must be one of 1..11.")
        if option.get("required"):
            if optional_seen:
                form.add(here, "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", "Required options must be placed first")
        else:
            optional_seen = True
        choices = option.get("choices") or []
        if len(choices) > 25:
            form.add((*here, "choices"), "BASE_TYPE_BAD_LENGTH", "Must be 25 or fewer in length.")
        if choices and option.get("autocomplete"):
            form.add((*here, "autocomplete"), "APPLICATION_COMMAND_AUTOCOMPLETE_WITH_CHOICES", "Not beside choices")
        for m, choice in enumerate(choices):
            form.text((*here, "choices", m, "name"), choice.get("name"), least=1, most=100, required=True)
            if option.get("type") == 3:
                form.text((*here, "choices", m, "value"), choice.get("value"), most=100, required=True)
        for bound, least, most in (("min_length", 0, 6000), ("max_length", 1, 6000)):
            value = option.get(bound)
            if value is not None and not least <= value <= most:
                form.add((*here, bound), "NUMBER_TYPE_MAX", f"int value should be between {least} and {most}.")
        for bound in ("min_value", "max_value"):
            value = option.get(bound)
            if value is not None and abs(value) > 2**53 - 1:
                form.add((*here, bound), "NUMBER_TYPE_MAX", "Beyond 2^53 - 1.")
        _check_options(option.get("options") or [], form, (*here, "options"))


def _weight(node: Mapping[str, Any]) -> int:
    """Characters of names, descriptions and values; of the localised ones the longest counts."""
    total = 0
    for key in ("name", "description"):
        texts = [str(node.get(key) or ""), *(node.get(f"{key}_localizations") or {}).values()]
        total += max(len(text) for text in texts)
    for choice in node.get("choices") or []:
        total += len(str(choice.get("name", ""))) + len(str(choice.get("value", "")))
    return total + sum(_weight(option) for option in node.get("options") or [])


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """So many requests in so many seconds."""

    requests: int
    seconds: float


# Discord publishes no numbers and tells clients to read the headers; these are near what is seen there.
LIMITS: Mapping[str, Limit] = {
    "webhook": Limit(requests=5, seconds=2),
    "messages": Limit(requests=5, seconds=5),
    "commands": Limit(requests=5, seconds=20),
    "other": Limit(requests=10, seconds=10),
}
GLOBAL_LIMIT = Limit(requests=50, seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """A bucket after a request: what is left, and when it fills again."""

    limit: Limit
    remaining: int
    reset_after: float
    exceeded: bool


def spend(limit: Limit, *, used: int, window_started_at: datetime | None, now: datetime) -> tuple[Spent, int, datetime]:
    """Count one request; return the standing, and the bucket's new count and window."""
    window = timedelta(seconds=limit.seconds)
    if window_started_at is None or now - window_started_at >= window:
        used, window_started_at = 0, now
    reset_after = (window_started_at + window - now).total_seconds()
    if used >= limit.requests:
        return Spent(limit=limit, remaining=0, reset_after=reset_after, exceeded=True), used, window_started_at
    left = limit.requests - used - 1
    return Spent(limit=limit, remaining=left, reset_after=reset_after, exceeded=False), used + 1, window_started_at
