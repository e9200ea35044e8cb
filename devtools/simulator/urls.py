"""Addresses of the simulator: Discord's REST API as our client calls it, and the chat page."""

from django.urls import URLPattern, URLResolver, path
from django.views.decorators.csrf import csrf_exempt

from . import application_settings, chat_page, oauth_server, rest_api
from .rest_api import endpoint

app_name = "simulator"

_WEBHOOK = "api/v10/webhooks/<int:application_id>/<str:token>"
_CHANNEL = "api/v10/channels/<int:channel_id>/messages"
_COMMANDS = "api/v10/applications/<int:application_id>"

_webhook_message = endpoint(
    "webhook", by_bot=False, GET=rest_api.webhook_get, PATCH=rest_api.webhook_edit, DELETE=rest_api.webhook_delete
)
_command = endpoint("commands", by_bot=True, GET=rest_api.command_get)
_commands = endpoint("commands", by_bot=True, GET=rest_api.commands_get, PUT=rest_api.commands_put)

urlpatterns: list[URLPattern | URLResolver] = [
    path(_WEBHOOK, endpoint("webhook", by_bot=False, POST=rest_api.webhook_post)),
    path(f"{_WEBHOOK}/messages/@original", _webhook_message),
    path(f"{_WEBHOOK}/messages/<int:message_id>", _webhook_message),
    path(_CHANNEL, endpoint("messages", by_bot=True, GET=rest_api.channel_messages, POST=rest_api.channel_post)),
    path(
        f"{_CHANNEL}/<int:message_id>",
        endpoint(
            "messages",
            by_bot=True,
            GET=rest_api.message_get,
            PATCH=rest_api.message_edit,
            DELETE=rest_api.message_delete,
        ),
    ),
    path("api/v10/channels/<int:channel_id>", endpoint("other", by_bot=True, GET=rest_api.channel_get)),
    path("api/v10/users/<int:user_id>", endpoint("other", by_bot=True, GET=rest_api.user_get)),
    path("api/v10/users/@me", endpoint("other", by_bot=True, by_user={"GET": oauth_server.me}, GET=rest_api.me)),
    path(
        "api/v10/users/@me/guilds",
        endpoint("other", by_bot=True, by_user={"GET": oauth_server.my_guilds}, GET=rest_api.my_guilds),
    ),
    path("api/v10/users/@me/channels", endpoint("other", by_bot=True, POST=rest_api.dm_open)),
    path("api/v10/guilds/<int:guild_id>", endpoint("other", by_bot=True, GET=rest_api.guild_get)),
    path("api/v10/guilds/<int:guild_id>/channels", endpoint("other", by_bot=True, GET=rest_api.guild_channels)),
    path("api/v10/guilds/<int:guild_id>/roles", endpoint("other", by_bot=True, GET=rest_api.guild_roles)),
    path(
        "api/v10/guilds/<int:guild_id>/members/search",
        endpoint("other", by_bot=True, GET=rest_api.guild_member_search),
    ),
    path(
        "api/v10/guilds/<int:guild_id>/members/<int:user_id>", endpoint("other", by_bot=True, GET=rest_api.guild_member)
    ),
    path(
        "api/v10/applications/@me",
        endpoint(
            "other",
            by_bot=True,
            GET=application_settings.application_get,
            PATCH=application_settings.application_edit,
        ),
    ),
    path(f"{_COMMANDS}/commands", _commands),
    path(f"{_COMMANDS}/commands/<int:command_id>", _command),
    path(f"{_COMMANDS}/guilds/<int:guild_id>/commands/<int:command_id>", _command),
    path(f"{_COMMANDS}/guilds/<int:guild_id>/commands", _commands),
    path("api/oauth2/token", oauth_server.token),
    path("api/oauth2/token/revoke", oauth_server.revoke),
    # The versioned addresses are the same ones.
    path("api/v10/oauth2/token", oauth_server.token),
    path("api/v10/oauth2/token/revoke", oauth_server.revoke),
    path("oauth2/authorize", oauth_server.authorize, name="authorize"),
    path("api/<path:rest>", csrf_exempt(rest_api.unknown)),
    path("", chat_page.chat, name="chat"),
    path("page/world", chat_page.world),
    path("page/messages", chat_page.messages),
    path("page/calls", chat_page.calls),
    path("page/command", chat_page.command),
    path("page/complete", chat_page.complete),
    path("page/press", chat_page.press),
    path("page/menu", chat_page.menu),
    path("page/modal", chat_page.modal),
    path("page/say", chat_page.say),
    path("page/dismiss", chat_page.dismiss),
    path("page/fault", chat_page.fault),
    path("page/installation", chat_page.installation),
    path("cdn/attachments/<int:channel_id>/<int:attachment_id>/<str:filename>", rest_api.cdn),
]
