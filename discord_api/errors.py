"""Discord's errors as exceptions, which say whether another route or a retry can help.

Source: docs topics/opcodes-and-status-codes. `CODES` maps error codes; the HTTP status decides for other codes.
"""

from __future__ import annotations


class DiscordError(Exception):
    """Discord refused a request. Unknown codes have this class: another route may work.

    `permanent`: the same request can never succeed. `outage`: no request can succeed now. `status` is the HTTP status
    (0 without a response), `code` Discord's error code (0 if absent). Contains no token.
    """

    permanent = True
    outage = False

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(f"{status}/{code}: {message}")
        self.status = status
        self.code = code
        self.message = message


class TokenExpired(DiscordError):
    """The interaction token has expired or is unknown, or its message is deleted."""


class Forbidden(DiscordError):
    """The bot may not do this: the channel is deleted or locked, or the user accepts no direct messages."""


class RouteClosed(Forbidden):
    """Nothing was sent: Discord refused too many requests of this guild recently."""


class ContentRefused(DiscordError):
    """A content filter rejected this message; others may pass."""


class TooLarge(DiscordError):
    """The upload exceeds the size limit; a smaller one may pass."""


class InvalidFormBody(DiscordError):
    """The body is invalid: a bug in Sparkle."""


class TryLater(DiscordError):
    """This request may succeed later; others are not affected."""

    permanent = False


class Unavailable(TryLater):
    """Discord is unavailable, too slow, or limits all of the bot's requests."""

    outage = True


class CircuitOpen(Unavailable):
    """Nothing was sent: more refused requests would make Discord ban the IP address."""


UNKNOWN_MESSAGE = 10008
EXPIRED_TOKEN = 50027

CODES: dict[int, type[DiscordError]] = {
    10015: TokenExpired,  # unknown webhook
    10062: TokenExpired,  # unknown interaction
    EXPIRED_TOKEN: TokenExpired,  # invalid webhook token
    # The channel, guild or user is gone or not accessible.
    10003: Forbidden,  # unknown channel
    10004: Forbidden,  # unknown guild
    UNKNOWN_MESSAGE: Forbidden,
    10013: Forbidden,  # unknown user
    40001: Forbidden,  # unauthorized
    40058: Forbidden,  # cannot message this channel until the bot joins the guild
    40060: Forbidden,  # interaction already acknowledged
    40094: Forbidden,  # too many follow-ups of a user-installed app
    50001: Forbidden,  # missing access
    50003: Forbidden,  # not in a direct message channel
    50007: Forbidden,  # this user takes no direct messages
    50008: Forbidden,  # no messages in this kind of channel
    50009: Forbidden,  # the channel's verification level
    50013: Forbidden,  # missing permissions
    50024: Forbidden,  # not in this type of channel
    50033: Forbidden,  # invalid recipient
    50083: Forbidden,  # archived thread
    50278: Forbidden,  # no server shared with this user
    160005: Forbidden,  # locked thread
    # Filters.
    20009: ContentRefused,  # explicit content
    200000: ContentRefused,  # the server's AutoMod
    200001: ContentRefused,
    240000: ContentRefused,  # harmful link
    40005: TooLarge,
    50045: TooLarge,  # over the server's limit
    # Waits.
    20016: TryLater,  # slow mode
    20022: TryLater,  # announcement edit limit
    20028: TryLater,  # the channel's write limit
    20029: TryLater,  # the server's write limit
    40003: TryLater,  # opening direct messages too fast
    40004: Unavailable,  # sending is switched off for now
    40006: Unavailable,  # a feature is switched off for now
    40062: Unavailable,  # service resource is rate limited
    130000: Unavailable,  # API overloaded
    # Bugs in Sparkle.
    50006: InvalidFormBody,  # empty message
    50035: InvalidFormBody,  # invalid form body
    50041: InvalidFormBody,  # invalid API version
    50046: InvalidFormBody,  # invalid file
    50109: InvalidFormBody,  # invalid JSON
    50146: InvalidFormBody,  # a file that was named was not uploaded
}


def from_response(status: int, code: int, message: str, *, by_token: bool, global_limit: bool = False) -> DiscordError:
    """Return the error for a response of `status` >= 400.

    `by_token`: the request used an interaction token. `global_limit`: a 429 for all routes.
    """
    return _kind(status, code, by_token=by_token, global_limit=global_limit)(status, code, message)


def _kind(status: int, code: int, *, by_token: bool, global_limit: bool) -> type[DiscordError]:
    if status == 429:
        return Unavailable if global_limit else TryLater
    if status >= 500:
        return Unavailable
    if by_token and (status == 401 or (status == 404 and code in (0, UNKNOWN_MESSAGE))):
        return TokenExpired
    if code in CODES:
        return CODES[code]
    if status == 413:
        return TooLarge
    if status == 401:
        # The bot token is invalid: no request works until an operator fixes it.
        return Unavailable
    return Forbidden if status == 403 else DiscordError


def is_webhook_gone(error: DiscordError) -> bool:
    """Return whether the token is invalid for every request. With a deleted message it still is valid for others."""
    return isinstance(error, TokenExpired) and error.code != UNKNOWN_MESSAGE
