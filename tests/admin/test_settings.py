"""An impossible or duplicate setting is an error on the form, never a 500."""

from __future__ import annotations

import pytest

from guilds.generation_limits import wrong_in_guild, wrong_in_model, wrong_size
from guilds.models import BlockedTerm, Guild, ModelProfile, QuotaRule, StylePreset
from tests.security.test_csrf_and_forms import shown_fields

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("size", ["500x500", "512x510", "8x8", "9000x9000", "512", "512X512", "512×512", "٥١٢x512", ""])
def test_a_size_that_no_model_makes_is_named(size):
    assert wrong_size(size)
    assert not wrong_size("512x768")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sampler": "Euler a"}, "default_sampler"),
        ({"sampler": "lcm", "max_steps": 51}, "max_steps"),
        ({"sampler": "lcm", "default_steps": 60, "max_steps": 60}, "default_steps"),
        ({"default_steps": 51}, "default_steps"),
        ({"sizes": []}, "sizes"),
        ({"family": "flux"}, "default_sampler"),
        ({"family": "flux", "sampler": "flow_euler", "sizes": ["520x512"]}, "sizes"),
        ({"family": "sana", "sampler": "k_lms"}, "default_sampler"),
        ({"family": "SD"}, "family"),
        ({"sizes": ["512x512", "512x512"]}, "sizes"),
    ],
)
def test_settings_of_a_model_that_cannot_be_are_named(change, field):
    right = {
        "family": "stable-diffusion",
        "sampler": "k_lms",
        "default_steps": 16,
        "max_steps": 50,
        "sizes": ["512x512"],
    }
    assert not list(wrong_in_model(**right))
    assert field in dict(wrong_in_model(**(right | change)))


def test_a_servers_settings_are_held_against_its_models(operator, guild_a):
    ModelProfile.objects.filter(is_default=True).update(max_steps=20, sizes=["512x512"])
    page = f"/admin/guilds/guild/{guild_a.pk}/change/"
    for wrong in ({"default_steps": 30}, {"allowed_sizes": "768x768"}, {"allowed_sizes": "500x500"}, {"max_steps": 0}):
        answer = operator.post(page, shown_fields(operator, page) | wrong)
        assert answer.status_code == 200, wrong
        assert answer.context["adminform"].form.errors, wrong
    assert not list(wrong_in_guild(default_steps=None, max_steps=50, allowed_sizes=(), models=()))


def test_a_zone_is_taken_in_any_case_and_an_unknown_one_refused(operator, guild_a):
    page = f"/admin/guilds/guild/{guild_a.pk}/change/"
    assert operator.post(page, shown_fields(operator, page) | {"time_zone": "europe/berlin"}).status_code == 302
    assert Guild.objects.get(pk=guild_a.pk).time_zone == "Europe/Berlin"
    for zone in ("Mars/Base", "", "../etc/passwd", "x" * 500):
        assert operator.post(page, shown_fields(operator, page) | {"time_zone": zone}).status_code == 200


@pytest.mark.parametrize("phrase", ["TOWER", "tówer", " tower ", "ｔｏｗｅｒ"])
def test_a_term_of_another_spelling_is_refused(moderator_a, guild_a, phrase):
    add = "/admin/guilds/blockedterm/add/"
    assert moderator_a.post(add, {"guild": guild_a.pk, "phrase": "tower"}).status_code == 302
    answer = moderator_a.post(add, {"guild": guild_a.pk, "phrase": phrase})
    assert answer.status_code == 200
    assert "blocked already" in answer.text
    other = BlockedTerm.objects.create(guild=guild_a, phrase="castle")
    assert moderator_a.post(f"/admin/guilds/blockedterm/{other.pk}/change/", {"phrase": phrase}).status_code == 200
    for wrong in ("", "x" * 101, "\u200b", "!!!"):
        assert moderator_a.post(add, {"guild": guild_a.pk, "phrase": wrong}).status_code == 200


def test_a_slug_twice_is_refused_in_any_case(moderator_a, guild_a):
    add = "/admin/guilds/stylepreset/add/"
    right = {"guild": guild_a.pk, "name": "Ink", "slug": "ink", "template": "{prompt}"}
    assert moderator_a.post(add, right).status_code == 302
    for slug in ("ink", "INK"):
        assert moderator_a.post(add, right | {"slug": slug}).status_code == 200
    other = StylePreset.objects.create(guild=guild_a, slug="oil", name="Oil")
    assert moderator_a.post(f"/admin/guilds/stylepreset/{other.pk}/change/", right).status_code == 200


def rules(page_fields, *rows, initial=0):
    sent = page_fields | {"quota_rules-TOTAL_FORMS": len(rows), "quota_rules-INITIAL_FORMS": initial}
    for at, row in enumerate(rows):
        sent |= {f"quota_rules-{at}-{name}": value for name, value in row.items()}
    return sent


def test_two_equal_rules_are_refused_and_two_may_change_places(operator, guild_a):
    page = f"/admin/guilds/guild/{guild_a.pk}/change/"
    one = {"subject": "guild", "role_id": "", "metric": "images", "window": "day", "limit": 5, "guild": guild_a.pk}
    fields = shown_fields(operator, page)
    assert operator.post(page, rules(fields, one, one | {"limit": 6})).status_code == 200
    assert operator.post(page, rules(fields, one, one | {"window": "hour"})).status_code == 302
    day, hour = QuotaRule.objects.order_by("pk")
    swapped = (one | {"id": day.pk, "window": "hour"}, one | {"id": hour.pk, "window": "day"})
    fields = shown_fields(operator, page)
    assert operator.post(page, rules(fields, *swapped, initial=2)).status_code == 302
    day.refresh_from_db()
    assert day.window == "hour"
    assert operator.post(page, rules(fields, swapped[0], swapped[1] | {"window": "hour"}, initial=2)).status_code == 200


@pytest.mark.django_db
@pytest.mark.parametrize("value", ["1.5", "x", "NaN", "9" * 30, "-1", "²"])
def test_a_server_that_is_no_id_is_an_error_on_the_page(operator, value):
    for model in ("ban", "blockedterm", "stylepreset"):
        answer = operator.post(f"/admin/guilds/{model}/add/", {"guild": value})
        assert answer.status_code == 200
        assert answer.context["adminform"].form.errors["guild"]
