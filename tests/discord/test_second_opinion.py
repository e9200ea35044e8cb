"""Discord's own schema finds what is wrong, so that its silence means something."""

import pytest

from . import node_tools
from .payload_contract import check

pytestmark = pytest.mark.node


@pytest.fixture
def checker() -> node_tools.SchemaChecker | None:
    return node_tools.checker()


@pytest.mark.parametrize(
    ("schema", "body"),
    [
        ("MessageCreateRequest", {"content": 5}),
        ("MessageCreateRequest", {"embeds": [{"fields": [{"name": "n"}]}]}),
        ("MessageCreateRequest", {"components": [{"components": []}]}),
        ("MessageCreateRequest", {"components": [{"type": 1, "components": [{"type": 2, "style": "1"}]}]}),
        ("ApplicationCommandUpdateRequest", {"name": "x" * 33, "description": "d"}),
        ("NoSuchSchema", {}),
    ],
)
def test_the_schema_refuses(checker: node_tools.SchemaChecker, schema: str, body: object) -> None:
    assert checker.problems(schema, body)


def test_the_schema_takes_a_plain_message(checker: node_tools.SchemaChecker) -> None:
    assert checker.problems("MessageCreateRequest", {"content": "hello", "allowed_mentions": {"parse": []}}) == []


@pytest.mark.parametrize("body", [{"content": 5}, {"embeds": [{"fields": [{"name": "n"}]}]}])
def test_a_wrong_body_fails_the_test_that_sends_it(body: dict[str, object]) -> None:
    with pytest.raises(AssertionError):
        check("MessageCreateRequest", body)
