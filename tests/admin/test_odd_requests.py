"""No URL of the site returns 500, whatever its path, query or form contains, for any kind of user."""

from __future__ import annotations

import os
import random
import re
import sys
import traceback
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import pytest
from django.contrib import admin
from django.core.signals import got_request_exception
from django.db import transaction
from django.db.models.fields.files import FieldFile
from django.test import Client
from django.utils import timezone

from .test_tenant_isolation import World, addresses, filled, people

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

ODD_VALUES = [
    "", " ", "\x00", "a\x00b", "0", "-1", "1.5", "1e400", "NaN", "9" * 30, str(2**31), str(2**63), str(-(2**63) - 1),
    "٣", "²", "½", "True", "None", "null", "[]", "{}", "[1]", "{1,2}", "1,2", "'", '"', "%", "\\", "%s", "%00",
    "a" * 5000, "😀", "e\u0301", "\u202e", "\u200b", "\ufeff", "İ", "../../etc/passwd", "<script>", "2026-02-30",
    "0000-00-00", "0001-01-01", "9999-12-31", "2026-01-01", "24:00", "25:61", "2026-13-01T99:99:99+99:99",
    "10000-01-01", "00:00:00", "europe/berlin", "Europe/Berlin", "..", "/", "C:\\", "\r\n", "\t", "-0", "+1",
    "1_000", "0x10",
]  # fmt: skip
PARAMETERS = [
    "o", "p", "q", "all", "e", "_facets", "_popup", "_to_field", "_changelist_filters", "range", "before", "w", "next",
    "phrase", "member", "reason", "model", "state", "standing", "status__exact", "status__in", "status",
    "created_at_from_0", "created_at_from_1", "created_at_to_0", "created_at_to_1", "created_at__range",
    "created_at__gte", "created_at__year", "created_at__date", "guild__id__exact", "guild", "guild__isnull",
    "job__guild__id__exact", "guild__id__in", "id__in", "id__exact", "pk", "pk__in", "user_id", "window__exact",
    "window", "enabled__exact", "nsfw__exact", "is_superuser__exact", "is_active__exact", "term", "app_label",
    "model_name", "field_name", "no_such_parameter", "id__no_such_lookup", "prompt__regex", "encrypted_token",
    "s", "extended", "search", "code", "error", "process", "scopes", "auth_params", "action", "index",
]  # fmt: skip
T = TypeVar("T")

UNTOUCHED = {"account_logout"}
# All pairs take an hour, so a fixed sample is drawn for each URL. SPARKLE_ODD_REQUESTS draws more.
DRAWN = int(os.environ.get("SPARKLE_ODD_REQUESTS", "4"))


def drawn(cases: Iterable[T], kind: str, address: str) -> list[T]:
    """Return the cases to try of one address: fewer where little of it is shown to `kind`."""
    found = list(cases)
    share = DRAWN if kind == "operator" else -(-DRAWN // 4)
    return random.Random(f"{kind} {address}").sample(found, min(share, len(found)))


@pytest.fixture
def world(db: None) -> World:
    return World(timezone.now())


class Watched:
    """A client whose answers are judged together, each request undone after it was answered."""

    def __init__(self, client: Client) -> None:
        self.client = client
        client.raise_request_exception = False
        self.failed: list[str] = []
        self.asked = 0

    def ask(self, method: str, path: str, *args: Any, **kwargs: Any) -> int:
        errors: list[str] = []

        def note(sender: Any, request: Any, **_: Any) -> None:
            kind, error, where = sys.exc_info()
            place = traceback.extract_tb(where)[-1]
            errors.append(f"{kind.__name__ if kind else ''}: {error} at {place.filename}:{place.lineno}"[:300])

        got_request_exception.connect(note)
        self.asked += 1
        try:
            with transaction.atomic():
                answer = getattr(self.client, method)(path, *args, **kwargs)
                if answer.streaming:
                    b"".join(answer.streaming_content)
                transaction.set_rollback(True)
        finally:
            got_request_exception.disconnect(note)
        if answer.status_code >= 500 and answer.status_code != 503:
            self.failed.append(f"{answer.status_code} {method} {path[:200]} {str(args)[:300]} {errors}")
        return int(answer.status_code)


def client_of(kind: str, request: pytest.FixtureRequest) -> Watched:
    return Watched(request.getfixturevalue("operator") if kind == "operator" else people(kind))


def paths(world: World) -> list[tuple[str, str]]:
    found = {(path, name) for path, name, _ in filled(world, world.a) if name not in UNTOUCHED}
    return sorted(each for each in found if not each[0].startswith("/simulator/"))


def odd_queries(name: str) -> Iterator[str]:
    """Every parameter with every odd value where a page reads many of them, else each value once."""
    reads_many = name.endswith("_changelist") or name == "autocomplete"
    if not reads_many:
        for value in ODD_VALUES:
            yield urlencode([(each, value) for each in PARAMETERS], errors="surrogatepass")
    else:
        for at, parameter in enumerate(PARAMETERS):
            # A ninth of the values for each parameter, a different one each time.
            for value in ODD_VALUES[at % 9 :: 9]:
                yield urlencode({parameter: value}, errors="surrogatepass")
    yield from ("%00", "=", "&&&", "q", "q=%ff", "q=%f0%28%8c%28", "o=1&o=2&p=1&p=2&q=a&q=b", "%ff=%ff", "o=1.2.-3.99")
    yield "&".join("a=1" for _ in range(2000))


@pytest.mark.parametrize("kind", ["operator", "moderator", "member", "visitor"])
def test_no_query_of_any_address_breaks_it(world, kind, request):
    watched = client_of(kind, request)
    for path, name in paths(world):
        for query in drawn(odd_queries(name), kind, path):
            watched.ask("get", f"{path}?{query}")
    assert watched.failed == []
    assert watched.asked > 10


@pytest.mark.parametrize("kind", ["operator", "moderator", "member", "visitor"])
def test_no_id_in_a_path_breaks_it(world, kind, request):
    watched = client_of(kind, request)
    for route, name, _ in addresses():
        if name in UNTOUCHED or route.startswith("simulator/"):
            continue
        for value in drawn(ODD_VALUES, kind, route):
            odd = quote(value[:500], safe="", errors="surrogatepass")
            path = re.sub(r"<(?:\w+:)?(\w+)>", odd.replace("\\", r"\\"), route)
            path = re.sub(r"\(\?P<\w+>[^()]*\)", lambda _: odd, path)  # noqa: B023  # used at once
            path = path.replace("([^/]+)", odd).replace("^", "").replace("$", "").replace("\\", "").replace(".*", odd)
            if path != route:
                watched.ask("get", "/" + path)
    assert watched.failed == []
    assert watched.asked > 10


def form_of(client: Client, path: str) -> dict[str, Any] | None:
    """What a browser would send back from the page's form unchanged, its inline rows included; None without a form."""
    answer = client.get(path)
    if answer.status_code != 200 or not answer.context or "adminform" not in answer.context:
        return None
    values: dict[str, Any] = {}

    def take(form: Any) -> None:
        for name in form.fields:
            value = form[name].value()
            if value is None or value is False or (isinstance(value, FieldFile) and not value):
                value = ""
            values[form.add_prefix(name)] = "on" if value is True else value

    take(answer.context["adminform"].form)
    for inline in answer.context["inline_admin_formsets"]:
        take(inline.formset.management_form)
        for form in inline.formset.forms:
            take(form)
    return values


def odd_forms(values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in values:
        for value in ODD_VALUES:
            yield {**values, name: value}
        yield {key: value for key, value in values.items() if key != name}
        yield {**values, name: [str(value) for value in ODD_VALUES[4:8]]}
    yield {}


@pytest.mark.parametrize("kind", ["operator", "moderator"])
def test_no_form_of_the_admin_breaks_it(world, kind, request):
    watched = client_of(kind, request)
    forms = 0
    for path, name in paths(world):
        if not name.endswith(("_change", "_add")):
            continue
        values = form_of(watched.client, path)
        if values is None:
            continue
        forms += 1
        for body in drawn(odd_forms(values), kind, path):
            watched.ask("post", path, body)
    assert watched.failed == []
    assert forms >= 4


def bodies(name: str) -> Iterable[dict[str, Any]]:
    """Odd bodies for pages whose forms are no admin form: actions, dialogs, sign-in, stuck jobs."""
    fields = [
        "user_id", "action", "_selected_action", "index", "select_across", "images", "gpu_seconds", "sure",
        "login", "password", "code", "next", "username", "_form_submitted", "process", "password1", "password2", "post",
    ]  # fmt: skip
    for value in ODD_VALUES:
        yield dict.fromkeys(fields, value)
        yield {**dict.fromkeys(fields, value), "_form_submitted": "on", "action": "erase", "sure": "no"}
    if name.endswith("_changelist"):
        _, model, _ = name.split("_")
        registered = next((each for each in admin.site._registry if each._meta.model_name == model), None)
        actions = ["delete_selected", *map(str, (registered and admin.site._registry[registered].actions) or [])]
        for action in actions:
            for value in ODD_VALUES:
                yield {"action": action, "_selected_action": [value, "1"], "index": 0, "select_across": value}


@pytest.mark.parametrize("kind", ["operator", "moderator", "member", "visitor"])
def test_no_body_of_any_address_breaks_it(world, kind, request):
    watched = client_of(kind, request)
    for path, name in paths(world):
        for body in drawn(bodies(name), kind, path):
            watched.ask("post", path, body)
        for content_type in (
            "application/json",
            "multipart/form-data",
            "multipart/form-data; boundary=x",
            "text/plain",
        ):
            watched.ask("post", path, data=b"\x00\xff{", content_type=content_type)
    assert watched.failed == []
