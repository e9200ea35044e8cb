"""What Discord can answer instead of doing it, and what each answer means for the one who asked.

Source: docs topics/opcodes-and-status-codes. `CODES` is the one table; what it does not name is decided by the status.
"""

from __future__ import annotations


class DiscordError(Exception):
    """Discord refused. A code that is not known comes as this class: try another route.

    `permanent`: the same request can never succeed. `outage`: nobody's request can succeed now. `status` is HTTP's
    (0 without an answer), `code` Discord's (0 where it named none). Carries no token.
    """

    permanent = True
    outage = False

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(f"{status}/{code}: {message}")
        self.status = status
        self.code = code
        self.message = message


class TokenExpired(DiscordError):
    """The way by this interaction's token is closed: expired, unknown, or its message is gone."""


class Forbidden(DiscordError):
    """The bot may not do this here: the channel is gone, closed or locked, or the user takes no direct messages."""


class RouteClosed(Forbidden):
    """Nothing was sent: requests of this server were refused too often of late."""


class ContentRefused(DiscordError):
    """Discord takes messages here, but not this one: a filter found something in it."""


class TooLarge(DiscordError):
    """The upload is over the limit; a smaller one may pass."""


class InvalidFormBody(DiscordError):
    """The body is wrong: a fault of ours."""


class TryLater(DiscordError):
    """This request may succeed later; others are not concerned."""

    permanent = False


class Unavailable(TryLater):
    """Discord is away, slow, or has no time for any request of ours."""

    outage = True


class CircuitOpen(Unavailable):
    """Nothing was sent: so many requests were refused lately that Discord would bar the bot's address."""


UNKNOWN_MESSAGE = 10008
EXPIRED_TOKEN = 50027

CODES: dict[int, type[DiscordError]] = {
    10015: TokenExpired,  # unknown webhook
    10062: TokenExpired,  # unknown interaction
    EXPIRED_TOKEN: TokenExpired,  # invalid webhook token
    # The channel, the server or the user is gone or out of reach.
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
    # Faults of ours.
    50006: InvalidFormBody,  # empty message
    50035: InvalidFormBody,  # invalid form body
    50041: InvalidFormBody,  # invalid API version
    50046: InvalidFormBody,  # invalid file
    50109: InvalidFormBody,  # invalid JSON
    50146: InvalidFormBody,  # a file that was named was not uploaded
}


def from_answer(status: int, code: int, message: str, *, by_token: bool, global_limit: bool = False) -> DiscordError:
    """Return the error for an answer of `status` >= 400.

    `by_token`: it was asked with an interaction's token. `global_limit`: a 429 that holds for every route.
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
        # The bot's own token is refused: nothing will work until an operator has set the right one.
        return Unavailable
    return Forbidden if status == 403 else DiscordError


def is_webhook_gone(error: DiscordError) -> bool:
    """Whether no request with this token can succeed any more (a deleted message leaves the token alive)."""
    return isinstance(error, TokenExpired) and error.code != UNKNOWN_MESSAGE
