"""Traces as a collector receives them: OTLP over HTTP, decoded by OpenTelemetry's own protobuf classes."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from telemetry import tracing
from telemetry.tracing import Span
from tests.worker.conftest import Place, place, running

__all__ = ["place"]

INTERACTION = 1442000000000000123
BEGAN = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.fixture
def collector(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ExportTraceServiceRequest]]:
    """What a collector was sent, while the environment names it."""
    received: list[ExportTraceServiceRequest] = []

    def receive(request: Request) -> Response:
        body = request.data
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        received.append(ExportTraceServiceRequest.FromString(body))
        return Response(ExportTraceServiceResponse().SerializeToString(), content_type="application/x-protobuf")

    httpserver.expect_request("/v1/traces", method="POST").respond_with_handler(receive)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", httpserver.url_for("").rstrip("/"))
    tracing._provider.cache_clear()
    yield received
    tracing._provider().shutdown()
    tracing._provider.cache_clear()


def spans(received: list[ExportTraceServiceRequest]) -> list[tuple[Any, Any]]:
    return [
        (resource.resource, span)
        for request in received
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def test_one_trace_leads_from_the_command_to_the_image(
    place: Place, collector: list[ExportTraceServiceRequest]
) -> None:
    from devtools.simulator import client, seed_data
    from devtools.simulator.models import SimMember
    from gpu_worker.active_job import Outcome
    from jobs.models import Job

    seed_data.register_commands(now=datetime.now(UTC))
    channel, member = place.channel, place.user
    SimMember.objects.create(guild=channel.guild, user=member, joined_at=datetime.now(UTC))
    asked = client.use_command(
        channel=channel, user=member, name="sparkle", options={"prompt": "a planted secret", "count": 1}
    )
    job = Job.objects.get(interaction_id=asked.interaction_id)
    with running() as runner:
        assert runner.run([job.pk]) == [Outcome.ENDED]
    tracing.flush()

    told = [span for _, span in spans(collector)]
    assert [span.name for span in told] == [
        "interaction sparkle",
        "wait for a turn",
        "wait for a worker",
        "generate images",
        "deliver",
    ]
    assert {span.trace_id for span in told} == {tracing.trace_id(job.interaction_id).to_bytes(16, "big")}
    assert {span.parent_span_id for span in told[1:]} == {told[0].span_id}
    stages = told[1:]
    assert [span.start_time_unix_nano for span in stages[1:]] == [span.end_time_unix_nano for span in stages[:-1]]
    whole = str(collector)
    assert "planted" not in whole
    assert job.token not in whole
    assert member.username not in whole


def test_the_worker_continues_the_lambdas_trace_though_nothing_carried_it_over(
    collector: list[ExportTraceServiceRequest],
) -> None:
    tracing.record_root(
        INTERACTION, Span(name="interaction sparkle", began=BEGAN, ended=BEGAN + timedelta(milliseconds=40))
    )
    later = Span(
        name="generate images",
        began=BEGAN + timedelta(seconds=1),
        ended=BEGAN + timedelta(seconds=5),
        attributes={"sparkle.job_id": 7},
        failed=True,
    )
    tracing.record_spans(INTERACTION, [later])
    tracing.flush()

    (_, root), (_, child) = spans(collector)
    assert root.name == "interaction sparkle"
    assert root.trace_id == child.trace_id == tracing.trace_id(INTERACTION).to_bytes(16, "big")
    assert root.parent_span_id == b""
    assert child.parent_span_id == root.span_id != child.span_id
    assert child.end_time_unix_nano - child.start_time_unix_nano == 4_000_000_000
    assert [(each.key, each.value.int_value) for each in child.attributes] == [("sparkle.job_id", 7)]
    assert child.status.code == child.status.STATUS_CODE_ERROR


def test_a_trace_begins_with_the_second_in_which_discord_made_the_interaction() -> None:
    # Discord's own example of a snowflake: 2016-04-30 11:18:25.796 UTC.
    made = datetime(2016, 4, 30, 11, 18, 25, tzinfo=UTC)
    assert tracing.trace_id(175928847299117063) >> 96 == int(made.timestamp())
    assert tracing.trace_id(175928847299117063) & (1 << 64) - 1 == 175928847299117063


@pytest.mark.processes
def test_nothing_of_it_is_loaded_where_no_exporter_is_named() -> None:
    code = (
        "import sys, json; from telemetry import tracing; import interactions_lambda.router; "
        "assert not tracing.is_enabled(); "
        "print(json.dumps([name for name in sys.modules if name.split('.')[0] in ('opentelemetry', 'requests')]))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
