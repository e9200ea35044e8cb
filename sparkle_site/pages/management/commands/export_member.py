"""Print all that is kept about one member, a JSON record a line."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from sparkle_site import data_subject_requests


class Command(BaseCommand):
    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user_id", type=int, help="Discord's id of the member")

    def handle(self, *args: Any, user_id: int, **options: Any) -> None:
        for record in data_subject_requests.export_member(user_id):
            self.stdout.write(json.dumps(record, ensure_ascii=False))
