"""Metrics in Prometheus' text format: the figures are right, and only the token's holder sees them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from jobs import submission, transitions
from jobs.models import Worker
from sparkle_site.pages import metrics
from sparkle_site.pages.metrics import Metric

pytestmark = pytest.mark.django_db
# https://prometheus.io/docs/instrumenting/exposition_formats/
SAMPLE = re.compile(
    r'[a-z_]+(\{[a-z_]+="(\\[\\"n]|[^\\"\n])*"(,[a-z_]+="(\\[\\"n]|[^\\"\n])*")*\})? [0-9.e+-]+', re.ASCII
)


def scrape(token: str) -> Any:
    return Client().get("/metrics", headers={"Authorization": f"Bearer {token}"})


def test_the_figures_are_those_of_the_database(make_guild: Any, make_ask: Any, settings: Any) -> None:
    settings.METRICS_TOKEN = "a-token"
    guild = make_guild()
    now = timezone.now()
    submission.submit(make_ask(guild), now=now)
    ended = submission.submit(make_ask(guild), now=now).job
    assert transitions.cancel(ended.pk, by=1, now=now)
    Worker.objects.create(id="w1", state="ready")
    answer = scrape("a-token")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    assert 'sparkle_open_requests{status="queued"} 1' in lines
    assert 'sparkle_requests_total{status="cancelled",reason="cancelled_by_member"} 1' in lines
    assert 'sparkle_workers{state="ready"} 1' in lines
    assert [line for line in lines if not line.startswith("#") and not SAMPLE.fullmatch(line)] == []
    assert str(guild.pk) not in answer.text


@pytest.mark.parametrize(("configured", "sent"), [("a-token", "another"), ("a-token", ""), ("", "")])
def test_without_the_token_there_is_no_such_page(configured: str, sent: str, settings: Any) -> None:
    settings.METRICS_TOKEN = configured
    assert scrape(sent).status_code == 404


def test_a_label_cannot_break_out_of_its_quotes() -> None:
    metric = Metric(name="m", kind="gauge", help="Help.", samples=(({"a": 'x"\n\\'}, 2.5),))
    assert metrics.text([metric]) == '# HELP m Help.\n# TYPE m gauge\nm{a="x\\"\\n\\\\"} 2.5\n'
