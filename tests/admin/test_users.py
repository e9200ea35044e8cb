"""The operator's page of user accounts."""

from __future__ import annotations

from django.test import Client


def test_an_operator_adds_an_account_and_it_has_what_was_typed(operator: Client) -> None:
    from django.contrib.auth.models import User

    page = operator.get("/admin/auth/user/add/").content.decode()
    assert all(f'name="{field}"' in page for field in ("username", "password1", "password2"))
    typed = {"username": "olga", "usable_password": "true", "password1": "a long sentence 7", "password2": ""}
    refused = operator.post("/admin/auth/user/add/", typed)
    assert refused.status_code == 200
    assert not User.objects.filter(username="olga").exists()
    added = operator.post("/admin/auth/user/add/", typed | {"password2": "a long sentence 7"})
    assert added.status_code == 302
    person = User.objects.get(username="olga")
    assert person.check_password("a long sentence 7")
    assert not person.is_staff
    assert not person.is_superuser


def test_the_list_says_what_each_person_is(operator: Client, moderator_a: Client, nobody: Client) -> None:
    page = operator.get("/admin/auth/user/").content.decode()
    assert [kind in page for kind in ("Operator", "Moderator", "Member")] == [True, True, True]
