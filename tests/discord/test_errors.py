"""What each of Discord's refusals means for the one whose message it was."""

import pytest

from discord_api import errors
from discord_api.errors import from_response


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, 50083, errors.Forbidden),  # archived thread
        (403, 50083, errors.Forbidden),
        (400, 160005, errors.Forbidden),  # locked thread
        (400, 50008, errors.Forbidden),  # a voice channel without text
        (403, 50001, errors.Forbidden),
        (403, 50013, errors.Forbidden),
        (404, 10003, errors.Forbidden),
        (404, 10008, errors.Forbidden),
        (403, 50007, errors.Forbidden),  # no direct messages
        (400, 50278, errors.Forbidden),
        (400, 20009, errors.ContentRefused),
        (400, 200000, errors.ContentRefused),
        (400, 50045, errors.TooLarge),
        (413, 40005, errors.TooLarge),
        (413, 0, errors.TooLarge),
        (400, 50035, errors.InvalidFormBody),
        (400, 50006, errors.InvalidFormBody),
        (400, 50109, errors.InvalidFormBody),
        (429, 20016, errors.TryLater),
        (429, 0, errors.TryLater),
        (500, 0, errors.Unavailable),
        (503, 130000, errors.Unavailable),
        (401, 0, errors.Unavailable),  # the bot's own token
        (403, 999999, errors.Forbidden),
        (400, 999999, errors.DiscordError),  # unknown: another route, and no fault of ours
    ],
)
def test_a_refusal_by_its_status_and_code(status: int, code: int, kind: type[errors.DiscordError]) -> None:
    error = from_response(status, code, "no", by_token=False)
    assert type(error) is kind
    assert error.permanent is not issubclass(kind, errors.TryLater)
    assert error.outage is issubclass(kind, errors.Unavailable)


@pytest.mark.parametrize(
    ("status", "code"), [(404, 10015), (404, 10062), (401, 50027), (404, 10008), (401, 0), (404, 0)]
)
def test_a_token_is_gone(status: int, code: int) -> None:
    assert isinstance(from_response(status, code, "no", by_token=True), errors.TokenExpired)


def test_a_limit_on_all_requests_is_an_outage() -> None:
    assert from_response(429, 0, "slow down", by_token=False, global_limit=True).outage
    assert not from_response(429, 0, "slow down", by_token=False).outage
