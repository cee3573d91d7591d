"""Spans as OTLP, the OpenTelemetry protocol (protobuf over HTTP), by the SDK's data model and encoder. Pure.

Specification: opentelemetry.io/docs/specs/otlp.
"""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # its stubs are a package of their own
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

from holdfast.events.module import SpanEnded
from holdfast.telemetry import ERROR, LINK, is_trace, span_id, trace_id

SCOPE = "holdfast"
PATH = "/v1/traces"
"""Where a collector takes traces, below its endpoint."""
CONTENT_TYPE = "application/x-protobuf"
TO_BE_REPEATED = frozenset({429, 502, 503, 504})
"""Answers after which the same request may be sent again; any other refusal is final (specification, "Failures")."""


def url(endpoint: str) -> str:
    """Return where to send to, for an endpoint that may or may not name the path already."""
    base = endpoint.rstrip("/")
    return base if base.endswith(PATH) else f"{base}{PATH}"


def request(spans: Sequence[SpanEnded]) -> bytes:
    """Return the body of one request; spans that are none (ids that are not hexadecimal) are left out."""
    resources = {service: _resource(service) for service in {span.service for span in spans}}
    readable = [_span(each, resources[each.service]) for each in spans if is_trace(_traceparent(each))]
    body: bytes = encode_spans(readable).SerializeToString()
    return body


def rejected(answer: bytes) -> int:
    """Return how many spans of a request the collector did not take although it answered 200."""
    try:
        return int(ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans)
    except DecodeError:
        return 0


def _resource(service: str) -> Resource:
    node, _, name = service.partition("/")
    # An instance such as rfs@shop is the service rfs of one module.
    return Resource(
        {
            "service.name": name.partition("@")[0],
            "service.namespace": SCOPE,
            "service.instance.id": service,
            "host.name": node,
        }
    )


def _span(ended: SpanEnded, resource: Resource) -> ReadableSpan:
    attributes = dict(ended.attributes)
    link, error = attributes.pop(LINK, ""), attributes.get(ERROR)
    return ReadableSpan(
        name=ended.name,
        context=_context(ended.trace_id, ended.span_id),
        parent=_context(ended.trace_id, ended.parent_span_id) if ended.parent_span_id else None,
        resource=resource,
        attributes=attributes,
        links=[Link(_context(trace_id(link), span_id(link)))] if is_trace(link) else [],
        status=Status(StatusCode.ERROR, error) if error else Status(),
        start_time=ended.start_wall_ns,
        end_time=ended.end_wall_ns,
        instrumentation_scope=InstrumentationScope(SCOPE),
    )


def _context(trace: str, span: str) -> SpanContext:
    sampled = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(trace_id=int(trace, 16), span_id=int(span, 16), is_remote=False, trace_flags=sampled)


def _traceparent(ended: SpanEnded) -> str:
    """Its name in full, with the parent's when it has one: a text that is only usable when all ids are."""
    own = f"00-{ended.trace_id}-{ended.span_id}-01"
    parent = f"00-{ended.trace_id}-{ended.parent_span_id}-01"
    return own if not ended.parent_span_id or is_trace(parent) else ""
