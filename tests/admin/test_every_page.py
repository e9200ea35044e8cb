import pytest
from django.urls import reverse

pytestmark = pytest.mark.django_db

LISTS = [
    "index",
    "jobs_job_changelist",
    "jobs_jobimage_changelist",
    "jobs_worker_changelist",
    "guilds_guild_changelist",
    "guilds_usage_changelist",
    "guilds_ban_changelist",
    "guilds_blockedterm_changelist",
    "guilds_stylepreset_changelist",
    "guilds_platform_changelist",
    "jobs_apikey_changelist",
    "guilds_modelprofile_changelist",
    "guilds_staff_changelist",
    "auth_user_changelist",
]


@pytest.mark.parametrize("name", LISTS)
def test_an_operator_opens_every_list(operator, guild_a, name):
    assert operator.get(reverse(f"admin:{name}")).status_code in (200, 302)


def test_a_moderator_opens_their_own_server_and_no_other(moderator_a, guild_a, guild_b):
    assert moderator_a.get(reverse("admin:guilds_guild_change", args=[guild_a.pk])).status_code == 200
    assert moderator_a.get(reverse("admin:guilds_guild_change", args=[guild_b.pk])).status_code == 404
    listed = moderator_a.get(reverse("admin:guilds_guild_changelist"))
    assert guild_a.name in listed.text
    assert guild_b.name not in listed.text


@pytest.mark.parametrize("named", ["", "no_such_field", "password", "id__exact", "9"])
def test_a_field_that_an_address_names_wrongly_is_no_error(operator, guild_a, named):
    for page in (
        f"/admin/guilds/guild/{guild_a.pk}/change/",
        "/admin/auth/user/1/change/",
        "/admin/auth/user/1/delete/",
    ):
        assert operator.get(page, {"_to_field": named}).status_code in (200, 302, 400, 404)
