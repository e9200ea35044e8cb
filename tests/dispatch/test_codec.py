"""The message is golden bytes."""

from __future__ import annotations

import pytest

from jobs.dispatch import codec
from jobs.dispatch.codec import BadMessage
from tests.properties import given, st


def test_the_message_is_these_bytes() -> None:
    assert codec.encode(12345) == '{"v":1,"job_id":12345}'


@given(st.integers(min_value=1, max_value=2**63 - 1))
def test_what_was_encoded_is_decoded(job_id: int) -> None:
    assert codec.decode(codec.encode(job_id)) == job_id


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "not an object of v and job_id"),
        ('{"v":2,"job_id":1}', "unknown version"),
        ('{"v":1,"job_id":0}', "job_id is not a positive 64-bit integer"),
    ],
)
def test_a_bad_message_says_what_is_wrong(body: str, reason: str) -> None:
    with pytest.raises(BadMessage) as caught:
        codec.decode(body)
    assert str(caught.value) == reason


@pytest.mark.parametrize("job_id", [1, 2**63 - 1])
def test_the_first_and_the_last_job_id(job_id: int) -> None:
    assert codec.decode(f'{{"v":1,"job_id":{job_id}}}') == job_id


@pytest.mark.parametrize(
    "body",
    [
        "",
        "12345",
        "null",
        "[]",
        "not json",
        '{"job_id":1}',
        '{"v":1}',
        '{"v":2,"job_id":1}',
        '{"v":"1","job_id":1}',
        '{"v":true,"job_id":1}',
        '{"v":1,"job_id":"1"}',
        '{"v":1,"job_id":1.0}',
        '{"v":1,"job_id":true}',
        '{"v":1,"job_id":0}',
        '{"v":1,"job_id":-4}',
        '{"v":1,"job_id":9223372036854775808}',
        '{"v":1,"job_id":1,"prompt":"a cat"}',
        "[" * 100_000,
    ],
)
def test_anything_else_is_a_bad_message(body: str) -> None:
    with pytest.raises(BadMessage):
        codec.decode(body)


@given(st.text())
def test_no_text_escapes_as_another_error(body: str) -> None:
    with pytest.raises(BadMessage):
        codec.decode(body)
