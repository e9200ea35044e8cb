"""Addresses of the simulator: Discord's REST API as our client calls it, and the chat page."""

from django.urls import URLPattern, URLResolver, path
from django.views.decorators.csrf import csrf_exempt

from . import oauth, page, rest
from .rest import endpoint

app_name = "simulator"

_WEBHOOK = "api/v10/webhooks/<int:application_id>/<str:token>"
_CHANNEL = "api/v10/channels/<int:channel_id>/messages"
_COMMANDS = "api/v10/applications/<int:application_id>"

_webhook_message = endpoint(
    "webhook", by_bot=False, GET=rest.webhook_get, PATCH=rest.webhook_edit, DELETE=rest.webhook_delete
)
_command = endpoint("commands", by_bot=True, GET=rest.command_get)
_commands = endpoint("commands", by_bot=True, GET=rest.commands_get, PUT=rest.commands_put)

urlpatterns: list[URLPattern | URLResolver] = [
    path(_WEBHOOK, endpoint("webhook", by_bot=False, POST=rest.webhook_post)),
    path(f"{_WEBHOOK}/messages/@original", _webhook_message),
    path(f"{_WEBHOOK}/messages/<int:message_id>", _webhook_message),
    path(_CHANNEL, endpoint("messages", by_bot=True, GET=rest.channel_messages, POST=rest.channel_post)),
    path(
        f"{_CHANNEL}/<int:message_id>",
        endpoint("messages", by_bot=True, GET=rest.message_get, PATCH=rest.message_edit, DELETE=rest.message_delete),
    ),
    path("api/v10/channels/<int:channel_id>", endpoint("other", by_bot=True, GET=rest.channel_get)),
    path("api/v10/users/<int:user_id>", endpoint("other", by_bot=True, GET=rest.user_get)),
    path("api/v10/users/@me", endpoint("other", by_bot=True, by_user={"GET": oauth.me}, GET=rest.me)),
    path(
        "api/v10/users/@me/guilds",
        endpoint("other", by_bot=True, by_user={"GET": oauth.my_guilds}, GET=rest.my_guilds),
    ),
    path("api/v10/users/@me/channels", endpoint("other", by_bot=True, POST=rest.dm_open)),
    path("api/v10/guilds/<int:guild_id>", endpoint("other", by_bot=True, GET=rest.guild_get)),
    path("api/v10/guilds/<int:guild_id>/channels", endpoint("other", by_bot=True, GET=rest.guild_channels)),
    path("api/v10/guilds/<int:guild_id>/roles", endpoint("other", by_bot=True, GET=rest.guild_roles)),
    path("api/v10/guilds/<int:guild_id>/members/<int:user_id>", endpoint("other", by_bot=True, GET=rest.guild_member)),
    path(f"{_COMMANDS}/commands", _commands),
    path(f"{_COMMANDS}/commands/<int:command_id>", _command),
    path(f"{_COMMANDS}/guilds/<int:guild_id>/commands/<int:command_id>", _command),
    path(f"{_COMMANDS}/guilds/<int:guild_id>/commands", _commands),
    path("api/oauth2/token", oauth.token),
    path("api/oauth2/token/revoke", oauth.revoke),
    # The versioned addresses are the same ones.
    path("api/v10/oauth2/token", oauth.token),
    path("api/v10/oauth2/token/revoke", oauth.revoke),
    path("oauth2/authorize", oauth.authorize, name="authorize"),
    path("api/<path:rest>", csrf_exempt(rest.unknown)),
    path("", page.chat, name="chat"),
    path("page/world", page.world),
    path("page/messages", page.messages),
    path("page/calls", page.calls),
    path("page/command", page.command),
    path("page/complete", page.complete),
    path("page/press", page.press),
    path("page/menu", page.menu),
    path("page/modal", page.modal),
    path("page/say", page.say),
    path("page/dismiss", page.dismiss),
    path("page/fault", page.fault),
    path("page/installation", page.installation),
    path("cdn/attachments/<int:channel_id>/<int:attachment_id>/<str:filename>", rest.cdn),
]
