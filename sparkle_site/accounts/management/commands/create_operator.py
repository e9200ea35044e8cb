"""Create an operator, or find the one of that name, and print a link that sets the password once, within an hour."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from sparkle_site.accounts import set_password


class Command(BaseCommand):
    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", help="the name to sign in with")

    def handle(self, *args: Any, username: str, **options: Any) -> None:
        user = User.objects.filter(username=username).first()
        if user is None:
            user = self._create(username)
        elif not user.is_superuser:
            raise CommandError(f"{username} is an account without an operator's rights. Choose another name.")
        self.stdout.write(f"{settings.SITE_URL}{set_password.path_for(user)}")

    def _create(self, username: str) -> User:
        user = User(username=username, is_staff=True, is_superuser=True)
        user.set_unusable_password()
        try:
            user.full_clean(exclude=["password"])
        except ValidationError as error:
            raise CommandError(f"{username}: {' '.join(error.messages)}") from error
        user.save()
        return user
