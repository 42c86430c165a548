"""A collector of traces: takes OTLP over HTTP on the loopback interface, and remembers."""

import gzip
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status


@dataclass(frozen=True, slots=True)
class RecordedSpan:
    """A span as it was sent."""

    name: str
    #: ``internal``, ``server``, ``producer`` or ``consumer``.
    kind: str
    #: 32 hex digits.
    trace: str
    #: 16 hex digits.
    id: str
    #: The span that it is part of, or nothing.
    parent: str
    attributes: dict[str, str | int]
    #: Why it failed; ``None`` if it did not.
    failure: str | None
    #: The name of the process's service.
    service: str


class Collector:
    """An HTTP server in a thread; a context manager."""

    def __init__(self) -> None:
        self._spans: list[RecordedSpan] = []
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """Its address, for ``PULLFORGE_TRACES``."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def spans(self) -> list[RecordedSpan]:
        """What has come so far."""
        with self._changed:
            return list(self._spans)

    def wait_for(self, name: str, timeout_seconds: float) -> RecordedSpan:
        """Return a span of that name as soon as one has come."""
        with self._changed:
            assert self._changed.wait_for(
                lambda: any(span.name == name for span in self._spans), timeout_seconds
            ), f"no span '{name}' has come, but {sorted({span.name for span in self._spans})}"
            return next(span for span in self._spans if span.name == name)

    def path_of(self, span: RecordedSpan) -> list[str]:
        """Return the names of all that a span is part of, outermost first, and its own."""
        by_id = {known.id: known for known in self.spans}
        names = [span.name]
        while span.parent in by_id:
            span = by_id[span.parent]
            names.insert(0, span.name)
        return names

    def paths(self) -> set[str]:
        """Return the paths of all spans, e.g. ``"build / stage base"``."""
        return {" / ".join(self.path_of(span)) for span in self.spans}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    data = gzip.decompress(data)
                known = self.path == "/v1/traces"
                if known:
                    collector._take(data)
                self.send_response(200 if known else 404)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (as it is there)
                pass

        return Handler

    def _take(self, data: bytes) -> None:
        with self._changed:
            self._spans += _parse(data)
            self._changed.notify_all()


def _parse(data: bytes) -> Iterator[RecordedSpan]:
    for of_process in ExportTraceServiceRequest.FromString(data).resource_spans:
        service = str(_values(of_process.resource.attributes)["service.name"])
        for of_scope in of_process.scope_spans:
            for span in of_scope.spans:
                failed = span.status.code == Status.STATUS_CODE_ERROR
                yield RecordedSpan(
                    span.name,
                    SentSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    _values(span.attributes),
                    span.status.message if failed else None,
                    service,
                )


def _values(attributes: Iterable[KeyValue]) -> dict[str, str | int]:
    return {
        one.key: one.value.int_value if one.value.HasField("int_value") else one.value.string_value
        for one in attributes
    }
