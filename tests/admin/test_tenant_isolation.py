"""Every kind of user requests every URL with ids of a foreign server and sees and changes nothing of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.core import serializers
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from guilds.adapter_models import Adapter
from guilds.models import Ban, BlockedTerm, Guild, ModelProfile, QuotaRule, Staff, StylePreset, Usage
from guilds.prompt_models import PromptList
from jobs import storage
from jobs.models import Job, JobEvent, JobImage, Worker

from .conftest import discord_user, signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

MODERATOR, FORMER, MEMBER = 900000000000000011, 900000000000000012, 900000000000000013
B_MEMBER = 900000000000000099
ACTIONS_OF_DJANGO = ["delete_selected"]


class World:
    """Two servers with one row of each model. The texts of B's rows are marked, so that a leak is recognised."""

    def __init__(self, now: Any) -> None:
        self.now = now
        self.a = self._server(1_200_000_000_000_100_000, "Apple Orchard", "apple", B_MEMBER + 1)
        self.b = self._server(1_200_000_000_000_200_000, "Banana Boat", "banana", B_MEMBER)
        Staff.objects.create(guild_id=self.a["guild"].pk, user_id=MODERATOR, role="manager", synced_at=now)
        # A former moderator of B: the last sync with Discord is an hour old.
        Staff.objects.create(
            guild_id=self.b["guild"].pk, user_id=FORMER, role="owner", synced_at=now - timedelta(hours=1)
        )

    def _server(self, pk: int, name: str, word: str, member: int) -> dict[str, Any]:
        guild = Guild.objects.create(pk=pk, name=name)
        guild.default_negative_prompt = f"{word}-negative"
        guild.save()
        job = Job.objects.create(
            interaction_id=pk + 1, application_id=1, guild=guild, channel_id=pk + 2, user_id=member,
            member_name=f"{word}-member", reply_deadline=self.now, seed=1, steps=4,
            prompt=f"{word}-prompt, a lighthouse",
            sampler="k_lms", width=64, height=64, guidance=7, count=1, model=ModelProfile.objects.get(is_default=True),
            status="completed", created_at=self.now - timedelta(minutes=9), started_at=self.now - timedelta(minutes=8),
            ended_at=self.now - timedelta(minutes=7), settled_at=self.now, grid_key="g", detail=f"{word}-detail",
        )  # fmt: skip
        waiting = Job.objects.create(
            interaction_id=pk + 3, application_id=1, guild=guild, channel_id=pk + 2, user_id=member,
            member_name=f"{word}-member", reply_deadline=self.now, prompt=f"{word}-waiting", seed=1, steps=4,
            sampler="k_lms", width=64, height=64, guidance=7, count=1, model=job.model, status="waiting",
            created_at=self.now - timedelta(hours=1),
        )  # fmt: skip
        JobEvent.objects.create(job=job, at=self.now, kind="completed", detail={"note": f"{word}-event"})
        key = storage.image_key(pk, job.pk, 0)
        storage.store(key, b"not really an image")
        image = JobImage.objects.create(job=job, index=0, key=key, seed=1, width=64, height=64, reported_at=self.now)
        style = StylePreset.objects.create(guild=guild, slug=f"{word}-style", name=f"{word}-style")
        style.template = f"{word}-template {{prompt}}"
        style.save()
        adapter = Adapter.objects.create(slug=f"{word}-lora", name=f"{word}-lora", source="a/b", enabled=True)
        adapter.guilds.add(guild)
        guild.loras_offered.add(adapter)
        return {
            "guild": guild,
            "adapter": adapter,
            "job": job,
            "waiting": waiting,
            "jobimage": image,
            "ban": Ban.objects.create(guild=guild, user_id=member, reason=f"{word}-reason"),
            "blockedterm": BlockedTerm.objects.create(guild=guild, phrase=f"{word} phrase"),
            "stylepreset": style,
            "promptlist": PromptList.objects.create(guild=guild, name=f"{word}-list", entries=f"{word}-entry"),
            "usage": Usage.objects.create(
                guild=guild, subject_id=member, window="day", starts_at=self.now, images=4, gpu_ms=400
            ),
            "quotarule": QuotaRule.objects.create(guild=guild, subject="guild", limit=77),
            "staff": Staff.objects.create(guild=guild, user_id=member + 5, role="owner", synced_at=self.now),
        }

    def id_for(self, model: str, which: dict[str, Any]) -> Any:
        row = which.get(model)
        return row.pk if row is not None else None

    def rows_of_b(self) -> str:
        """Return all rows of B as text."""
        guild = self.b["guild"]
        rows: list[Any] = [Guild.objects.get(pk=guild.pk)]
        for model in (Job, Ban, BlockedTerm, StylePreset, PromptList, Usage, QuotaRule, Staff):
            rows += model.objects.filter(guild=guild).order_by("pk")
        rows += Adapter.objects.filter(guilds=guild).order_by("pk")
        rows += JobImage.objects.filter(job__guild=guild).order_by("pk")
        rows += JobEvent.objects.filter(job__guild=guild).order_by("pk")
        return str(serializers.serialize("json", rows, indent=0))


# A match in a response is a leak. Ids are not marks: our own requests contain them.
MARKS = re.compile(r"banana", re.IGNORECASE)


@pytest.fixture
def world(db: None) -> World:
    Worker.objects.create(id="worker-1", state="ready")
    return World(timezone.now())


def people(kind: str) -> Client:
    if kind == "visitor":
        return Client()
    return signed_in(discord_user({"moderator": MODERATOR, "former": FORMER, "member": MEMBER}[kind]))


def addresses(resolver: Any = None, before: str = "") -> Iterator[tuple[str, str, list[str]]]:
    """(pattern as text, name, names of its parameters) of all that the resolver lists, the simulator's excepted."""
    for each in (resolver or get_resolver()).url_patterns:
        route = before + str(each.pattern)
        if isinstance(each, URLResolver):
            if not route.startswith("simulator/"):
                yield from addresses(each, route)
        elif isinstance(each, URLPattern):
            yield route, each.name or "", list(each.pattern.converters) + list(_groups(each))


def _groups(pattern: URLPattern) -> Iterator[str]:
    regex = getattr(pattern.pattern, "_regex", None)
    if regex and not pattern.pattern.converters:
        yield from ("group" for _ in range(re.compile(regex).groups))


def model_of(name: str) -> str:
    """guilds_ban_change -> ban."""
    parts = name.split("_")
    return parts[1] if len(parts) > 2 and parts[0] in ("guilds", "jobs", "auth") else ""


def filled(world: World, which: dict[str, Any]) -> Iterator[tuple[str, str, bool]]:
    """(path, name, whether an id of a server stands in it) for every address, with the ids of one server's rows."""
    for route, name, _ in addresses():
        model = model_of(name)
        own = world.id_for(model, which)
        values = {
            "object_id": own if own is not None else 1,
            "guild_id": which["guild"].pk,
            "job_id": which["job"].pk,
            "image_id": which["jobimage"].pk,
            "pk": which["stylepreset"].pk,
            "kind": "guilds_stylepreset",
            "signed": f"{which['jobimage'].pk}:tampered:with",
            "app_label": "guilds",
            "url": "no-such-page",
            "id": 1,
        }
        named = bool(own is not None and "object_id" in route) or "guild_id" in route or "image_id" in route
        path = re.sub(r"<(?:\w+:)?(\w+)>", lambda found, values=values: str(values.get(found[1], 1)), route)  # type: ignore[misc]
        if "(?P<" in path or "([^/]+)" in path or "^" in path:
            path = re.sub(r"\(\?P<\w+>[^()]*\)", "guilds", path)
            path = path.replace("([^/]+)", str(own or 1), 1)
            path = path.replace("^", "").replace("$", "").replace("\\", "").replace(".*", "no-such-page")
            named = own is not None
        yield "/" + path, name, named


def queries(world: World, path: str, name: str) -> Iterator[str]:
    """Addresses that name B in their query; words are cut so that an echo of them is no mark."""
    b, guild = world.b, world.b["guild"].pk
    if name.endswith("_changelist"):
        yield from (
            f"{path}?guild__id__exact={guild}",
            f"{path}?job__guild__id__exact={guild}",
            f"{path}?q=anana",
            f"{path}?q=lighthouse",
            f"{path}?q=Ban",
            f"{path}?q={guild}",
            f"{path}?q={b['job'].pk}",
            f"{path}?member={B_MEMBER}",
            f"{path}?guild__name__startswith=Ban",
            f"{path}?id__exact={b['job'].pk}",
            f"{path}?p=1&o=1&all=",
        )
    if name.endswith("_add"):
        yield f"{path}?guild={guild}&user_id={B_MEMBER}"
    if name == "autocomplete":
        for app, model, field in (
            ("guilds", "ban", "guild"),
            ("guilds", "blockedterm", "guild"),
            ("guilds", "stylepreset", "guild"),
            ("jobs", "job", "guild"),
            ("jobs", "jobimage", "job"),
        ):
            yield f"{path}?app_label={app}&model_name={model}&field_name={field}&term="
            yield f"{path}?app_label={app}&model_name={model}&field_name={field}&term=Ban"
            yield f"{path}?app_label={app}&model_name={model}&field_name={field}&term={guild}"
    if name == "guilds_blockedterm_dry_run":
        yield f"{path}?phrase=lighthouse"
        yield f"{path}?phrase=anana"
    if name.endswith("_export_all"):
        yield f"{path}?guild__id__exact={guild}"
        yield f"{path}?q=lighthouse"
    if name in ("index", "dashboard"):
        yield from (f"{path}?range={each}&guild={guild}" for each in ("24h", "7d", "90d", "x"))
    if name == "search":
        yield f"{path}?s=anana"
        yield f"{path}?s=anana&extended=1"


def forms(world: World, path: str, name: str) -> Iterator[dict[str, Any]]:
    """Bodies that try to change B's rows, or to move one of A's there."""
    b = world.b
    everything = {
        "guild": b["guild"].pk,
        "user_id": B_MEMBER,
        "phrase": "a new phrase",
        "name": "a new name",
        "slug": "a-new-slug",
        "template": "{prompt}",
        "reason": "changed",
        "limit": 1,
        "enabled": "",
        "sure": "yes",
        "post": "yes",
        "images": 50,
        "gpu_seconds": 5,
        "_form_submitted": "on",
        "action": "erase",
        "next": "/admin/",
        "password": "x",
        "username": "x",
        "login": "x",
    }
    yield everything
    model = model_of(name)
    if name.endswith("_changelist"):
        registered = next((each for each in admin.site._registry if each._meta.model_name == model), None)
        chosen = [b[model].pk] if model in b else [1]
        if model == "job":
            chosen += [b["waiting"].pk]
        actions = [] if registered is None else [*map(str, admin.site._registry[registered].actions or [])]
        for each in [*actions, *ACTIONS_OF_DJANGO]:
            yield {"action": each, "_selected_action": chosen, "index": 0, "select_across": 0, "post": "yes"}
            yield {"action": each, "_selected_action": chosen, "index": 0, "select_across": 1, "post": "yes"}


def visible(response: Any) -> str:
    content = b"".join(response.streaming_content) if response.streaming else response.content
    headers = " ".join(f"{key}: {value}" for key, value in response.headers.items())
    return content.decode("utf-8", "replace") + headers


@pytest.mark.parametrize("kind", ["visitor", "member", "former", "moderator"])
def test_nothing_of_another_server_is_seen(world, kind):
    client = people(kind)
    walked = 0
    for path, name, named in filled(world, world.b):
        for address in [path, *queries(world, path, name)]:
            response = client.get(address)
            walked += 1
            seen = visible(response)
            assert not MARKS.search(seen), (kind, address, MARKS.search(seen))
            assert response.status_code < 500, (kind, address)
            if named and kind == "moderator":
                assert response.status_code == 404, (kind, address, response.status_code)
            if named and kind in ("visitor", "former", "member"):
                assert response.status_code in (302, 403, 404, 405), (kind, address, response.status_code)
    assert walked > 150


@pytest.mark.parametrize("kind", ["visitor", "member", "former", "moderator"])
def test_nothing_of_another_server_is_touched(world, kind):
    client = people(kind)
    before = world.rows_of_b()
    counts = {model: model.objects.count() for model in (Ban, BlockedTerm, StylePreset, Guild, Job)}
    for path, name, named in filled(world, world.b):
        if name in ("account_logout", "delete_everything", "account_login", "discord_login"):
            continue
        for body in forms(world, path, name):
            response = client.post(path, body)
            assert response.status_code < 500, (kind, path, body)
            assert not MARKS.search(visible(response)), (kind, path, body)
            if named and kind == "moderator":
                assert response.status_code in (404, 405), (kind, path, response.status_code)
    # The forms may have added rows to the own server, but not to B.
    assert world.rows_of_b() == before
    if kind != "moderator":
        assert counts == {model: model.objects.count() for model in counts}


def test_a_moderator_sees_the_same_pages_of_their_own_server(world):
    client = people("moderator")
    seen = 0
    for path, name, named in filled(world, world.a):
        if not named or model_of(name) == "staff" or name.endswith(("_delete", "_permission_add")):
            continue
        response = client.get(path)
        assert response.status_code < 500, path
        seen += response.status_code == 200 and "apple" in visible(response).lower()
    assert seen >= 12


def test_an_operator_opens_every_address_without_an_error(world, operator):
    for path, name, _ in filled(world, world.b):
        if name in ("account_logout", "jsi18n"):
            continue
        for address in [path, *queries(world, path, name)]:
            assert operator.get(address).status_code < 500, address


def test_an_observer_sees_everything_and_changes_nothing(world, observer):
    from jobs.models import RollupCursor  # counted at the first visit

    observer.get("/admin/")
    before = world.rows_of_b()
    assert "Banana Boat" in observer.get("/admin/guilds/guild/").text
    for path, name, _ in filled(world, world.b):
        if name in ("account_logout", "account_login", "discord_login"):
            continue
        assert observer.get(path).status_code < 500, path
        for body in forms(world, path, name):
            assert observer.post(path, body).status_code < 500, path
    assert world.rows_of_b() == before
    assert RollupCursor.objects.exists()


def test_a_moderator_cannot_move_a_row_into_another_server(world):
    client = people("moderator")
    ban = world.a["ban"]
    client.post(
        f"/admin/guilds/ban/{ban.pk}/change/", {"guild": world.b["guild"].pk, "user_id": ban.user_id, "reason": "x"}
    )
    ban.refresh_from_db()
    assert ban.guild_id == world.a["guild"].pk
    response = client.post("/admin/guilds/blockedterm/add/", {"guild": world.b["guild"].pk, "phrase": "new"})
    assert response.status_code == 200, "the form is shown again, with the choice refused"
    assert not BlockedTerm.objects.filter(phrase="new").exists()
    everywhere = client.post("/admin/guilds/blockedterm/add/", {"guild": "", "phrase": "new"})
    assert everywhere.status_code == 200
    assert not BlockedTerm.objects.filter(phrase="new").exists()
    assert (
        client.post("/admin/guilds/blockedterm/add/", {"guild": world.a["guild"].pk, "phrase": "new"}).status_code
        == 302
    )
    assert BlockedTerm.objects.filter(phrase="new", guild=world.a["guild"]).exists()


def test_rights_that_discord_took_away_end_at_once(world):
    client = people("moderator")
    page = f"/admin/guilds/guild/{world.a['guild'].pk}/change/"
    assert client.get(page).status_code == 200
    Staff.objects.filter(user_id=MODERATOR).delete()
    assert client.get(page).status_code == 302
    assert client.post(page, {"enabled": ""}).status_code == 302
    assert Guild.objects.get(pk=world.a["guild"].pk).enabled
