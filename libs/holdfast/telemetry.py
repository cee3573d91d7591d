"""Traces: OpenTelemetry spans of one service, exported by OTLP when configured, else published for the local store.

A trace context travels as a W3C traceparent text, in envelopes (`Envelope.trace`) and announcements, so that one
failover is one trace over all services of both nodes. Most services need one line: `with context.span("…", trace=…)`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager

from opentelemetry.context import Context as SpanParent
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.trace import SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from holdfast.events.module import SpanEnded

WAITING_SPANS_MAX = 512
"""Spans that wait for the bus; beyond that the oldest are given up, because a trace may never hold up a service."""
ATTRIBUTE_CHARS_MAX = 500
EXPORT_TIMEOUT_S = 5
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
SCOPE = "holdfast"
Publish = Callable[[SpanEnded], Awaitable[None]]


def new_trace() -> str:
    """Return a traceparent that begins a trace of its own."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def new_span(trace: str) -> str:
    """Return a traceparent for a new span in the same trace as `trace`, or of a new trace when that is none."""
    parts = trace.split("-")
    return f"00-{parts[1]}-{secrets.token_hex(8)}-01" if is_trace(trace) else new_trace()


def is_trace(trace: str) -> bool:
    """Say whether a text is a usable traceparent (W3C Trace Context, version 00)."""
    parts = trace.split("-")
    return [len(part) for part in parts] == [2, 32, 16, 2] and _is_hex(parts[1]) and _is_hex(parts[2])


def trace_id(trace: str) -> str:
    """Return the trace's id (32 hexadecimal digits), empty when `trace` is none."""
    return trace.split("-")[1] if is_trace(trace) else ""


class Telemetry:
    """The tracer of one service. Spans go to `publish` or to the OTLP endpoint; losing one breaks nothing."""

    def __init__(self, *, service: str, node: str, publish: Publish, otlp_endpoint: str = "") -> None:
        self._resource = Resource({"service.name": service, "host.name": node, "service.namespace": SCOPE})
        self._provider = _ForkedProvider(resource=self._resource, shutdown_on_exit=False)
        self._sink = _otlp(otlp_endpoint) if otlp_endpoint else _LocalSink(f"{node}/{service}", publish)
        self._provider.add_span_processor(self._sink)
        self._tracer = self._provider.get_tracer(SCOPE)

    @contextmanager
    def span(
        self, name: str, *, trace: str = "", attributes: Mapping[str, AttributeValue] | None = None
    ) -> Iterator[str]:
        """Time a piece of work as a child of `trace` (or a new trace); gives the traceparent to hand on to others."""
        with self._tracer.start_as_current_span(name, context=_parent(trace), attributes=attributes) as span:
            yield _traceparent(span.get_span_context())

    def record(
        self,
        name: str,
        *,
        start_wall_ns: int,
        end_wall_ns: int,
        trace: str = "",
        own: str = "",
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> str:
        """Report a span that is over, child of `trace`; `own`: the traceparent it already goes by. Returns that."""
        own = own or new_span(trace)
        span = ReadableSpan(
            name=name,
            context=_span_context(own),
            parent=_span_context(trace) if is_trace(trace) and trace != own else None,
            resource=self._resource,
            attributes=attributes,
            start_time=min(start_wall_ns, end_wall_ns),
            end_time=end_wall_ns,
        )
        self._sink.on_end(span)
        return own

    def close(self) -> None:
        """Hand over what waits and stop exporting."""
        self._provider.shutdown()


class _ForkedProvider(TracerProvider):
    """A provider in a process that forks runners of scripts.

    In a forked child the SDK (1.45) looks up its resource again with a thread pool, which waits for ever for a thread
    that a fork does not copy. Our children execute a script and trace nothing, so there is nothing to renew in them.
    """

    def _handle_fork(self) -> None:
        return


class _LocalSink(SpanProcessor):
    """Publishes ended spans as events, from whatever thread they end in."""

    def __init__(self, service: str, publish: Publish) -> None:
        self._service = service
        self._publish = publish
        self._waiting: deque[SpanEnded] = deque(maxlen=WAITING_SPANS_MAX)
        self._flushing: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def on_end(self, span: ReadableSpan) -> None:
        self._waiting.append(_span_ended(span, self._service))
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._kick)

    def _kick(self) -> None:
        if self._flushing is None or self._flushing.done():
            self._flushing = self._loop.create_task(self._flush())

    async def _flush(self) -> None:
        while self._waiting:
            await self._publish(self._waiting.popleft())


def _otlp(endpoint: str) -> SpanProcessor:
    # Imported here because it brings an HTTP client and protobuf along, which few nodes need.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    url = endpoint if endpoint.endswith("/v1/traces") else f"{endpoint.rstrip('/')}/v1/traces"
    return BatchSpanProcessor(
        OTLPSpanExporter(endpoint=url, timeout=EXPORT_TIMEOUT_S), max_queue_size=WAITING_SPANS_MAX
    )


def _parent(trace: str) -> SpanParent:
    return TraceContextTextMapPropagator().extract({"traceparent": trace} if is_trace(trace) else {}, SpanParent())


def _traceparent(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


def _span_context(trace: str) -> SpanContext:
    _, trace_number, span_number, _ = trace.split("-")
    return SpanContext(int(trace_number, 16), int(span_number, 16), is_remote=False, trace_flags=SAMPLED)


def _span_ended(span: ReadableSpan, service: str) -> SpanEnded:
    context = span.get_span_context()
    assert context is not None, "an ended span has a context"
    attributes = {key: str(value)[:ATTRIBUTE_CHARS_MAX] for key, value in (span.attributes or {}).items()}
    return SpanEnded(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_span_id=f"{span.parent.span_id:016x}" if span.parent else "",
        name=span.name,
        service=service,
        start_wall_ns=span.start_time or 0,
        end_wall_ns=span.end_time or 0,
        attributes=attributes,
    )


def _is_hex(text: str) -> bool:
    return all(character in "0123456789abcdef" for character in text) and text.strip("0") != ""
