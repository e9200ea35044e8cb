"""Erase everything of one member or of one guild, images in storage included."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from jobs import job_erasure
from jobs.models import Job
from sparkle_site import data_subject_requests


class Command(BaseCommand):
    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--member", type=int, help="Discord's id of the member, in every server")
        whose.add_argument("--guild", type=int, help="Discord's id of the server")
        parser.add_argument("--yes", action="store_true", help="do it; without it nothing is changed")

    def handle(self, *args: Any, member: int | None, guild: int | None, yes: bool, **options: Any) -> None:
        if not yes:
            raise CommandError("Nothing was erased. Say --yes to erase; there is no way back.")
        now = timezone.now()
        erased = (
            data_subject_requests.erase_member(member, now=now)
            if member
            else data_subject_requests.erase_guild(guild or 0, now=now)
        )
        self.stdout.write(f"{erased} requests erased.")
        kept = job_erasure.with_open_report(Job.objects.filter(user_id=member)).count() if member else 0
        if kept:
            self.stdout.write(f"{kept} of them are kept, hidden, until someone decides on the reports on their images.")
