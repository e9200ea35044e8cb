"""The bodies that Discord takes, as shapes.

Sources: resources/message, components/reference, interactions/application-commands.
"""

from __future__ import annotations

from collections.abc import Mapping

from .body_validation import (
    AnyOf,
    Bitfield,
    Boolean,
    ByType,
    Choice,
    Integer,
    ListOf,
    MapOf,
    Number,
    Object,
    Shape,
    Snowflake,
    Text,
    Url,
)

ACTION_ROW, BUTTON, STRING_SELECT, TEXT_INPUT = 1, 2, 3, 4
SECTION, TEXT_DISPLAY, THUMBNAIL, MEDIA_GALLERY, FILE, SEPARATOR, CONTAINER = 9, 10, 11, 12, 13, 14, 17
LABEL, FILE_UPLOAD = 18, 19
SELECTS = frozenset({3, 5, 6, 7, 8})
# reference, "Locales".
LOCALES = frozenset(
    [
        "id",
        "da",
        "de",
        "en-GB",
        "en-US",
        "es-ES",
        "es-419",
        "fr",
        "hr",
        "it",
        "lt",
        "hu",
        "nl",
        "no",
        "pl",
        "pt-BR",
        "ro",
        "fi",
        "sv-SE",
        "vi",
        "tr",
        "cs",
        "el",
        "bg",
        "ru",
        "uk",
        "hi",
        "th",
        "zh-CN",
        "ja",
        "zh-TW",
        "ko",
    ]
)

_FLAGS = Integer(least=0)
_WEB = Url(schemes=("http", "https"))
_MEDIA = Url(schemes=("http", "https", "attachment"))
_EMOJI = Object(optional={"id": Snowflake(), "name": Text(most=100), "animated": Boolean()})

EMBED = Object(
    optional={
        "title": Text(most=256),
        "type": Text(most=100),
        "description": Text(most=4096),
        "url": _WEB,
        "timestamp": Text(most=100),
        "color": Integer(least=0, most=0xFFFFFF),
        "footer": Object(required={"text": Text(most=2048)}, optional={"icon_url": _MEDIA}),
        "image": Object(required={"url": _MEDIA}),
        "thumbnail": Object(required={"url": _MEDIA}),
        "author": Object(required={"name": Text(most=256)}, optional={"url": _WEB, "icon_url": _MEDIA}),
        "fields": ListOf(
            item=Object(
                required={"name": Text(least=1, most=256), "value": Text(least=1, most=1024)},
                optional={"inline": Boolean()},
            ),
            most=25,
        ),
    }
)
ALLOWED_MENTIONS = Object(
    optional={
        "parse": ListOf(item=Choice(("users", "roles", "everyone")), most=3),
        "users": ListOf(item=Snowflake()),
        "roles": ListOf(item=Snowflake()),
        "replied_user": Boolean(),
    }
)
ATTACHMENT = Object(
    required={"id": Snowflake()},
    optional={
        "filename": Text(most=1024),
        "description": Text(most=1024),
        "title": Text(most=1024),
        "is_spoiler": Boolean(),
    },
)

_CUSTOM_ID = Text(least=1, most=100)
_OPTION = Object(
    required={"label": Text(least=1, most=100), "value": Text(least=1, most=100)},
    optional={"description": Text(most=100), "emoji": _EMOJI, "default": Boolean()},
)
_SELECT: dict[str, Shape] = {
    "placeholder": Text(most=150),
    "min_values": Integer(least=0, most=25),
    "max_values": Integer(least=1, most=25),
    "disabled": Boolean(),
    "required": Boolean(),
}
_DEFAULT_VALUES = ListOf(
    item=Object(required={"id": Snowflake(), "type": Choice(("user", "role", "channel"))}), most=25
)
_UNFURLED = Object(required={"url": _MEDIA})


def _components() -> Mapping[int, Shape]:
    return COMPONENTS


COMPONENT = ByType(_components)
COMPONENTS: dict[int, Shape] = {
    ACTION_ROW: Object(required={"components": ListOf(item=COMPONENT, least=1, most=5)}),
    BUTTON: Object(
        required={"style": Integer(least=1, most=6)},
        optional={
            "label": Text(most=80),
            "emoji": _EMOJI,
            "custom_id": _CUSTOM_ID,
            "sku_id": Snowflake(),
            "url": Url(schemes=("http", "https", "discord"), most=512),
            "disabled": Boolean(),
        },
    ),
    STRING_SELECT: Object(
        required={"custom_id": _CUSTOM_ID, "options": ListOf(item=_OPTION, least=1, most=25)}, optional=_SELECT
    ),
    TEXT_INPUT: Object(
        required={"custom_id": _CUSTOM_ID, "style": Integer(least=1, most=2)},
        optional={
            "label": Text(least=1, most=45),
            "min_length": Integer(least=0, most=4000),
            "max_length": Integer(least=1, most=4000),
            "required": Boolean(),
            "value": Text(most=4000),
            "placeholder": Text(most=100),
        },
    ),
    **{
        kind: Object(
            required={"custom_id": _CUSTOM_ID},
            optional=_SELECT
            | {"default_values": _DEFAULT_VALUES}
            | ({"channel_types": ListOf(item=Integer(least=0, most=16))} if kind == 8 else {}),
        )
        for kind in (5, 6, 7, 8)
    },
    SECTION: Object(required={"components": ListOf(item=COMPONENT, least=1, most=3), "accessory": COMPONENT}),
    TEXT_DISPLAY: Object(required={"content": Text(least=1, most=4000)}),
    THUMBNAIL: Object(required={"media": _UNFURLED}, optional={"description": Text(most=1024), "spoiler": Boolean()}),
    MEDIA_GALLERY: Object(
        required={
            "items": ListOf(
                item=Object(
                    required={"media": _UNFURLED}, optional={"description": Text(most=1024), "spoiler": Boolean()}
                ),
                least=1,
                most=10,
            )
        }
    ),
    FILE: Object(
        required={"file": Object(required={"url": Url(schemes=("attachment",))})}, optional={"spoiler": Boolean()}
    ),
    SEPARATOR: Object(optional={"divider": Boolean(), "spacing": Integer(least=1, most=2)}),
    CONTAINER: Object(
        required={"components": ListOf(item=COMPONENT, least=1, most=40)},
        optional={"accent_color": Integer(least=0, most=0xFFFFFF), "spoiler": Boolean()},
    ),
    LABEL: Object(
        required={"label": Text(least=1, most=45), "component": COMPONENT}, optional={"description": Text(most=100)}
    ),
    FILE_UPLOAD: Object(
        required={"custom_id": _CUSTOM_ID},
        optional={
            "min_values": Integer(least=0, most=10),
            "max_values": Integer(least=1, most=10),
            "required": Boolean(),
        },
    ),
}

MESSAGE = Object(
    optional={
        "content": Text(most=2000),
        "tts": Boolean(),
        "embeds": ListOf(item=EMBED, most=10),
        "allowed_mentions": ALLOWED_MENTIONS,
        "components": ListOf(item=COMPONENT, most=40),
        "flags": _FLAGS,
        "attachments": ListOf(item=ATTACHMENT, most=100),
        "nonce": AnyOf((Text(most=25), Integer())),
        "enforce_nonce": Boolean(),
        "sticker_ids": ListOf(item=Snowflake(), most=3),
        "message_reference": Object(
            optional={
                "message_id": Snowflake(),
                "channel_id": Snowflake(),
                "guild_id": Snowflake(),
                "fail_if_not_exists": Boolean(),
                "type": Integer(least=0, most=1),
            }
        ),
        "username": Text(most=80),
        "avatar_url": _WEB,
        "thread_name": Text(most=100),
    }
)
MODAL = Object(
    required={
        "title": Text(least=1, most=45),
        "custom_id": _CUSTOM_ID,
        "components": ListOf(item=COMPONENT, least=1, most=5),
    }
)


def _localized(shape: Shape) -> MapOf:
    return MapOf(keys=LOCALES, item=shape)


_CHOICE_NAME = Text(least=1, most=100)
CHOICES = Object(
    required={
        "choices": ListOf(
            item=Object(
                required={"name": _CHOICE_NAME, "value": AnyOf((Text(most=100), Number()))},
                optional={"name_localizations": _localized(_CHOICE_NAME)},
            ),
            most=25,
        )
    }
)

_NAME, _DESCRIPTION = Text(least=1, most=32), Text(least=1, most=100)
_OPTION_FIELDS: dict[str, Shape] = {
    "name_localizations": _localized(_NAME),
    "description_localizations": _localized(_DESCRIPTION),
    "required": Boolean(),
    "autocomplete": Boolean(),
    "choices": ListOf(
        item=Object(
            required={"name": _CHOICE_NAME, "value": AnyOf((Text(most=100), Number()))},
            optional={"name_localizations": _localized(_CHOICE_NAME)},
        ),
        most=25,
    ),
    "channel_types": ListOf(item=Integer(least=0, most=16)),
    "min_value": Number(),
    "max_value": Number(),
    "min_length": Integer(least=0, most=6000),
    "max_length": Integer(least=1, most=6000),
}


def _option(depth: int) -> Object:
    """An option; a subcommand group holds subcommands, which hold options."""
    nested: dict[str, Shape] = {"options": ListOf(item=_option(depth - 1), most=25)} if depth else {}
    return Object(
        required={"type": Integer(least=1, most=11), "name": _NAME, "description": _DESCRIPTION},
        optional=_OPTION_FIELDS | nested,
    )


COMMAND = Object(
    required={"name": _NAME},
    optional={
        "id": Snowflake(),
        "type": Integer(least=1, most=4),
        "name_localizations": _localized(_NAME),
        # Required for slash commands, forbidden for the others: a rule says so.
        "description": Text(most=100),
        "description_localizations": _localized(_DESCRIPTION),
        "options": ListOf(item=_option(3), most=25),
        "default_member_permissions": Bitfield(),
        "dm_permission": Boolean(),
        "nsfw": Boolean(),
        "contexts": ListOf(item=Integer(least=0, most=2), most=3),
        "integration_types": ListOf(item=Integer(least=0, most=1), most=2),
        "handler": Integer(least=1, most=2),
    },
)
COMMANDS = ListOf(item=COMMAND, most=130)
OPEN_DM = Object(required={"recipient_id": Snowflake()})
APPLICATION = Object(
    optional={
        "description": Text(most=400),
        "interactions_endpoint_url": Url(schemes=("https", "http")),
        "event_webhooks_url": Url(schemes=("https", "http")),
        "event_webhooks_status": Integer(least=1, most=2),
        "event_webhooks_types": ListOf(item=Text(most=64), most=50),
    }
)
