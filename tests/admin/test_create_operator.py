"""The first operator: a command prints a link, and the link sets a password once."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.auth.tokens import default_token_generator
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

pytestmark = pytest.mark.django_db

PASSWORD = "a sentence nobody guesses"


def link(settings: Any, username: str = "operator") -> str:
    """The path of the link that the command prints; the address is the site's own."""
    out = io.StringIO()
    call_command("create_operator", username, stdout=out)
    printed = out.getvalue().strip()
    assert printed.startswith(f"{settings.SITE_URL}/accounts/set-password/")
    return printed.removeprefix(settings.SITE_URL)


def set_password(client: Client, path: str, password: str = PASSWORD) -> Any:
    opened = client.get(path)
    if opened.status_code != 302:
        return opened
    return client.post(opened["Location"], {"new_password1": password, "new_password2": password}, follow=True)


def test_the_link_sets_a_password_once_and_the_operator_signs_in(settings: Any) -> None:
    path = link(settings)
    user = User.objects.get(username="operator")
    assert (user.is_superuser, user.is_staff, user.has_usable_password()) == (True, True, False)
    client = Client()
    answer = set_password(client, path)
    assert "Your password is set" in answer.content.decode()
    signed_in = client.post("/accounts/login/", {"login": "operator", "password": PASSWORD})
    assert signed_in.status_code == 302
    again = set_password(Client(), path, "another long sentence")
    assert "This link is no longer valid" in again.content.decode()
    assert User.objects.get(username="operator").check_password(PASSWORD)


def test_a_weak_password_is_refused_with_the_reason(settings: Any) -> None:
    answer = set_password(Client(), link(settings), "short")
    assert "at least 12 characters" in answer.content.decode()
    assert not User.objects.get(username="operator").has_usable_password()


def test_the_link_ends_after_an_hour(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = link(settings)
    later = timezone.now().replace(tzinfo=None) + timedelta(hours=1, minutes=1)
    monkeypatch.setattr(default_token_generator, "_now", lambda: later)
    assert "This link is no longer valid" in Client().get(path).content.decode()


def test_an_operator_who_lost_the_password_gets_a_new_link(settings: Any) -> None:
    set_password(Client(), link(settings))
    set_password(Client(), link(settings), "a second long sentence")
    assert User.objects.get(username="operator").check_password("a second long sentence")


def test_another_account_is_not_made_an_operator() -> None:
    User.objects.create(username="discord-1")
    with pytest.raises(CommandError, match="without an operator's rights"):
        call_command("create_operator", "discord-1", stdout=io.StringIO())
    assert not User.objects.get(username="discord-1").is_superuser


def test_a_name_that_django_refuses_is_one_sentence() -> None:
    with pytest.raises(CommandError, match="valid username"):
        call_command("create_operator", "two words", stdout=io.StringIO())
    assert not User.objects.exists()
