"""OpenTelemetry traces, one for each interaction, from Discord's request to the delivered images. Off by default.

OTEL_EXPORTER_OTLP_ENDPOINT names a collector that accepts OTLP over HTTP and enables tracing. The SDK's other variables
work as documented (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/). While tracing
is off, nothing of OpenTelemetry is imported.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from discord_api import snowflakes

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

Attribute = str | int | float | bool

_root_of: ContextVar[int | None] = ContextVar("_root_of", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stage from `began` to `ended`. Attributes hold ids and numbers, never a member's words."""

    name: str
    began: datetime
    ended: datetime
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    failed: bool = False


def is_enabled() -> bool:
    """Return whether an exporter is configured."""
    return bool(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))


def trace_id(interaction_id: int) -> int:
    """Return the 128-bit trace id: seconds since 1970 (AWS X-Ray requires them), zeros, the interaction's snowflake.

    The interaction determines it, so it need not be passed from the Lambda through the queue to the worker.
    """
    seconds = int(snowflakes.created_at(interaction_id).timestamp())
    return (seconds & 0xFFFFFFFF) << 96 | (interaction_id & 0xFFFFFFFFFFFFFFFF)


def record_root(interaction_id: int, span: Span) -> None:
    """Record the root span of the interaction's trace."""
    token = _root_of.set(interaction_id)
    try:
        _record(span, None)
    finally:
        _root_of.reset(token)


def record_spans(interaction_id: int, spans: Iterable[Span]) -> None:
    """Record spans below the interaction's root span, which another process records."""
    from opentelemetry import trace

    parent = trace.SpanContext(
        trace_id(interaction_id), _root_id(interaction_id), is_remote=True, trace_flags=trace.TraceFlags(1)
    )
    for span in spans:
        _record(span, parent)


def flush() -> None:
    """Export the recorded spans now. Lambda needs this: it freezes the exporter's thread between requests."""
    _provider().force_flush()


def _record(span: Span, parent: object) -> None:
    from opentelemetry import trace

    context = trace.set_span_in_context(trace.NonRecordingSpan(parent)) if parent else None  # type: ignore[arg-type]
    recorded = (
        _provider()
        .get_tracer("sparkle")
        .start_span(
            span.name,
            context=context,
            kind=trace.SpanKind.INTERNAL if parent else trace.SpanKind.SERVER,
            attributes=dict(span.attributes),
            start_time=_nanoseconds(span.began),
        )
    )
    if span.failed:
        recorded.set_status(trace.StatusCode.ERROR)
    recorded.end(_nanoseconds(span.ended))


def _root_id(interaction_id: int) -> int:
    # OpenTelemetry rejects the id 0.
    return interaction_id & 0xFFFFFFFFFFFFFFFF or 1


def _nanoseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


@functools.cache
def _provider() -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import RandomIdGenerator, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    class Ids(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            interaction_id = _root_of.get()
            return trace_id(interaction_id) if interaction_id is not None else super().generate_trace_id()

        def generate_span_id(self) -> int:
            interaction_id = _root_of.get()
            return _root_id(interaction_id) if interaction_id is not None else super().generate_span_id()

    resource = Resource.create({"service.namespace": os.environ.get("DEPLOYMENT", "sparkle")})
    provider = TracerProvider(resource=resource, id_generator=Ids())
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
