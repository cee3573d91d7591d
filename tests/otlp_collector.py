"""A collector of traces: a real OTLP/HTTP receiver that decodes what it gets, and that can be told to misbehave.

In a test: `with Collector() as collector: …`. As a program, for the lab: `python -m tests.otlp_collector ADDRESS PORT
FILE` appends one line of JSON per span to FILE.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

WAIT_S_MAX = 60.0
BODY_BYTES_MAX = 16 << 20


@dataclass(frozen=True, kw_only=True)
class Received:
    """One span as it came. links: ids of the traces that it links to."""

    trace_id: str
    span_id: str
    parent_span_id: str
    name: str
    service: str
    node: str
    links: list[str]
    attributes: dict[str, str]
    failed: str


class Collector:
    """`answer`: the HTTP status that is answered; 0: none, the connection hangs until the collector is closed.
    headers: of the last request, names in small letters."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0, *, answer: int = 200) -> None:
        self.answer = answer
        self.spans: list[Received] = []
        self.requests = 0
        self.headers: dict[str, str] = {}
        self.on_received: Callable[[Received], None] = lambda span: None
        self._news = threading.Condition()
        self._closing = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(min(int(self.headers["content-length"]), BODY_BYTES_MAX))
                assert (self.path, self.headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
                collector.headers = {name.lower(): text for name, text in self.headers.items()}
                status = collector.receive(body)
                answer = ExportTraceServiceResponse().SerializeToString()
                # Whoever was kept waiting may have gone.
                with suppress(ConnectionError):
                    self.send_response(status)
                    self.send_header("content-length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)

            def log_message(self, *words: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer((address, port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever)

    @property
    def endpoint(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def receive(self, body: bytes) -> int:
        """Take one request; return the status to answer with, in time or when the collector is closed."""
        answer = self.answer
        found = decoded(body) if answer == 200 else []
        with self._news:
            self.requests += 1
            self.spans += found
            self._news.notify_all()
        for span in found:
            self.on_received(span)
        if answer == 0:
            self._closing.wait()
        return answer or 503

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for requests until the condition holds; raise TimeoutError when it does not in time."""
        with self._news:
            if not self._news.wait_for(condition, WAIT_S_MAX):
                raise TimeoutError(f"after {self.requests} requests: {self.spans}")


def decoded(body: bytes) -> list[Received]:
    """Return the spans in an ExportTraceServiceRequest."""
    request = ExportTraceServiceRequest.FromString(body)
    return [
        _received(of_service, span)
        for of_service in request.resource_spans
        for of_scope in of_service.scope_spans
        for span in of_scope.spans
    ]


def _received(of_service: ResourceSpans, span: Span) -> Received:
    facts = {item.key: item.value.string_value for item in of_service.resource.attributes}
    return Received(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex(),
        name=span.name,
        service=facts["service.name"],
        node=facts["host.name"],
        links=[link.trace_id.hex() for link in span.links],
        attributes={item.key: item.value.string_value for item in span.attributes},
        failed=span.status.message,
    )


def main(address: str, port: str, file: str) -> None:
    """Receive until killed."""
    with Path(file).open("a", buffering=1) as out, Collector(address, int(port)) as collector:
        collector.on_received = lambda span: print(json.dumps(asdict(span)), file=out)
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
