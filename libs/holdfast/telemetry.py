"""Traces: spans in OpenTelemetry's model, made by hand and handed over as facts; one place exports them.

A trace context travels as a W3C traceparent text, in envelopes (`Envelope.trace`) and announcements, so that one
failover is one trace over all services of both nodes. Most services need one line: `with context.span("…", trace=…)`.

No tracing library is loaded: one that starts threads and hooks into forks cannot live in a process that forks, as the
supervisor and the runners of scripts do. Ended spans are events (`SpanEnded`) on the bus; the state machine keeps
them, and the gateway exports them (`holdfast.history.export`).
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType

from holdfast.events.module import SpanEnded

WAITING_SPANS_MAX = 512
"""Spans that wait for the bus; beyond that the oldest are given up, because a trace may never hold up a service."""
ATTRIBUTE_CHARS_MAX = 500
LINK = "link"
"""Attribute that holds the traceparent of a span in another trace that this one follows from."""
ERROR = "error"
"""Attribute that says in words what the span's work failed with."""
Attribute = str | int | float | bool
Publish = Callable[[SpanEnded], Awaitable[None]]


def new_trace() -> str:
    """Return a traceparent that begins a trace of its own."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def new_span(trace: str) -> str:
    """Return a traceparent for a new span in the same trace as `trace`, or of a new trace when that is none."""
    return f"00-{trace_id(trace)}-{secrets.token_hex(8)}-01" if is_trace(trace) else new_trace()


def is_trace(trace: str) -> bool:
    """Say whether a text is a usable traceparent (W3C Trace Context, version 00)."""
    parts = trace.split("-")
    return [len(part) for part in parts] == [2, 32, 16, 2] and _is_hex(parts[1]) and _is_hex(parts[2])


def trace_id(trace: str) -> str:
    """Return the trace's id (32 hexadecimal digits), empty when `trace` is none."""
    return trace.split("-")[1] if is_trace(trace) else ""


def span_id(trace: str) -> str:
    """Return the id of the span that a traceparent names (16 hexadecimal digits), empty when `trace` is none."""
    return trace.split("-")[2] if is_trace(trace) else ""


class Telemetry:
    """The tracer of one service. Spans go to `publish`, from whatever thread they end in; losing one breaks nothing."""

    def __init__(self, *, service: str, node: str, publish: Publish) -> None:
        self._service = f"{node}/{service}"
        self._publish = publish
        self._waiting: deque[SpanEnded] = deque(maxlen=WAITING_SPANS_MAX)
        self._flushing: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def span(
        self, name: str, *, trace: str = "", attributes: Mapping[str, Attribute] | None = None
    ) -> AbstractContextManager[str]:
        """Time a piece of work as a child of `trace` (or a new trace); gives the traceparent to hand on to others.

        An error that ends the work is noted in the span.
        """
        return _Work(self, name, trace, dict(attributes or {}))

    def record(
        self,
        name: str,
        *,
        start_wall_ns: int,
        end_wall_ns: int,
        trace: str = "",
        own: str = "",
        attributes: Mapping[str, Attribute] | None = None,
    ) -> str:
        """Report a span that is over, child of `trace`; `own`: the traceparent it already goes by. Returns that."""
        own = own or new_span(trace)
        ended = SpanEnded(
            trace_id=trace_id(own),
            span_id=span_id(own),
            parent_span_id=span_id(trace) if trace != own else "",
            name=name,
            service=self._service,
            start_wall_ns=min(start_wall_ns, end_wall_ns),
            end_wall_ns=end_wall_ns,
            attributes={key: _text(value) for key, value in (attributes or {}).items()},
        )
        self._waiting.append(ended)
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._kick)
        return own

    def _kick(self) -> None:
        if self._flushing is None or self._flushing.done():
            self._flushing = self._loop.create_task(self._flush())

    async def _flush(self) -> None:
        while self._waiting:
            await self._publish(self._waiting.popleft())


class _Work(AbstractContextManager[str]):
    """A piece of work under way."""

    def __init__(self, telemetry: Telemetry, name: str, trace: str, attributes: dict[str, Attribute]) -> None:
        self._telemetry = telemetry
        self._name = name
        self._trace = trace
        self._attributes = attributes
        self._own = new_span(trace)
        self._began_wall_ns = time.time_ns()
        self._began_mono_ns = time.monotonic_ns()

    def __enter__(self) -> str:
        return self._own

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            self._attributes[ERROR] = f"{type(error).__name__}: {error}"
        self._telemetry.record(
            self._name,
            trace=self._trace,
            own=self._own,
            start_wall_ns=self._began_wall_ns,
            # A wall clock that is stepped meanwhile must not make the work take an hour.
            end_wall_ns=self._began_wall_ns + time.monotonic_ns() - self._began_mono_ns,
            attributes=self._attributes,
        )


def _text(value: Attribute) -> str:
    # As OpenTelemetry writes values in text.
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text[:ATTRIBUTE_CHARS_MAX]


def _is_hex(text: str) -> bool:
    return all(character in "0123456789abcdef" for character in text) and text.strip("0") != ""
