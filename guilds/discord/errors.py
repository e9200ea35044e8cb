"""What Discord can answer instead of doing it (docs: topics/opcodes-and-status-codes)."""

from __future__ import annotations


class DiscordError(Exception):
    """Discord refused. `permanent`: the same request can never succeed.

    `status` is HTTP's (0 without an answer), `code` Discord's (0 where it named none). Carries no token.
    """

    permanent = True

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(f"{status}/{code}: {message}")
        self.status = status
        self.code = code
        self.message = message


class TokenDead(DiscordError):
    """The way by this interaction's token is closed: expired, unknown, or its message is gone."""


class Forbidden(DiscordError):
    """The bot may not do this here."""


class TooLarge(DiscordError):
    """The upload is over the limit; a smaller one may pass."""


class BadForm(DiscordError):
    """The body is wrong: a fault of ours."""


class Unavailable(DiscordError):
    """Discord is away, slow or asks to wait longer than we may; later it may work."""

    permanent = False


class CircuitOpen(DiscordError):
    """Nothing was sent: too many refused requests would have Discord bar this address."""

    permanent = False


_TOKEN_DEAD = frozenset({10015, 10062, 50027})
_UNKNOWN_MESSAGE = 10008


def from_answer(status: int, code: int, message: str, *, by_token: bool) -> DiscordError:
    """Return the error for an answer of `status` >= 400. `by_token`: it was asked with an interaction's token."""
    if code in _TOKEN_DEAD or (by_token and status in (401, 404)):
        return TokenDead(status, code, message)
    if code == 40005 or status == 413:
        return TooLarge(status, code, message)
    if status in (401, 403) or code in (50001, 50013):
        return Forbidden(status, code, message)
    if status == 429 or status >= 500:
        return Unavailable(status, code, message)
    if status == 400 or code == 50035:
        return BadForm(status, code, message)
    return DiscordError(status, code, message)


def is_webhook_gone(error: DiscordError) -> bool:
    """Whether no request with this token can succeed any more (a deleted message leaves the token alive)."""
    return isinstance(error, TokenDead) and error.code != _UNKNOWN_MESSAGE
