"""What a server used this month: its own month, which starts and ends hours before or after the month in UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from guilds.models import Guild, Usage
from guilds.quota_clock import window_start
from sparkle_site.admin import guild_summary, statistics

NOVEMBER = datetime(2026, 11, 15, tzinfo=UTC)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("zone", "now", "images"),
    [
        ("UTC", datetime(2026, 11, 30, 23, 59, tzinfo=UTC), 4),
        ("UTC", datetime(2026, 12, 1, tzinfo=UTC), None),
        ("America/New_York", datetime(2026, 12, 1, 3, tzinfo=UTC), 4),
        ("America/New_York", datetime(2026, 12, 1, 5, tzinfo=UTC), None),
        ("Pacific/Pago_Pago", datetime(2026, 12, 1, 10, 59, tzinfo=UTC), 4),
        ("Pacific/Kiritimati", datetime(2026, 11, 30, 9, 59, tzinfo=UTC), 4),
        ("Pacific/Kiritimati", datetime(2026, 11, 30, 10, tzinfo=UTC), None),
    ],
)
def test_a_month_ends_when_it_ends_for_the_server(make_guild, zone, now, images):
    guild = make_guild(time_zone=zone)
    Usage.objects.create(
        guild=guild, subject_id=0, window="month", starts_at=window_start("month", NOVEMBER, zone), images=4
    )
    assert guild_summary.with_month(Guild.objects.all(), now=now).get().month_images == images
    busiest = statistics.busiest_guilds(None, now=now, price=Decimal(1))
    assert [row["images"] for row in busiest] == (["4 images"] if images else [])
