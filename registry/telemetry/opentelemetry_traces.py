"""Traces by OpenTelemetry, sent to a collector as OTLP over HTTP.

The SDK's own variables add to it: ``OTEL_EXPORTER_OTLP_HEADERS`` for a collector that wants a
password, ``OTEL_RESOURCE_ATTRIBUTES``. Nothing global is set.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Token
from typing import Final
from urllib.parse import urlsplit

import structlog
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from registry.telemetry.traces import Attributes, Span, SpanKind

#: Where collectors take traces, if an address names no path.
_PATH: Final = "/v1/traces"
#: How long spans are gathered until they are sent, in milliseconds: what is killed loses no more.
_GATHER_MS: Final = 1000
#: How long one attempt to send may take, in seconds; a process that ends waits for one.
_SEND_SECONDS: Final = 5
_KINDS: Final[Mapping[SpanKind, trace.SpanKind]] = {
    "internal": trace.SpanKind.INTERNAL,
    "server": trace.SpanKind.SERVER,
    "producer": trace.SpanKind.PRODUCER,
    "consumer": trace.SpanKind.CONSUMER,
}


class OpenTelemetryTraces:
    """Records spans and sends them; implements :class:`registry.telemetry.traces.Traces`."""

    def __init__(self, endpoint: str, ratio: float, service: str) -> None:
        """Begin to send; see :func:`registry.telemetry.opening.open_traces`."""
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(ratio)),
            resource=Resource.create({SERVICE_NAME: service}),
            shutdown_on_exit=False,
        )
        url = endpoint if urlsplit(endpoint).path.strip("/") else endpoint.rstrip("/") + _PATH
        self._provider.add_span_processor(
            BatchSpanProcessor(
                OTLPSpanExporter(url, timeout=_SEND_SECONDS), schedule_delay_millis=_GATHER_MS
            )
        )
        self._tracer = self._provider.get_tracer("pullforge")
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(
        self,
        name: str,
        kind: SpanKind = "internal",
        parent: Mapping[str, str] | None = None,
        attributes: Attributes | None = None,
    ) -> Iterator[Span]:
        """Record what is done in the context; see :meth:`Traces.span`."""
        before = context.get_current()
        base = before if parent is None else self._propagator.extract(parent, Context())
        made = self._tracer.start_span(name, base, _KINDS[kind], attributes)
        lines = _bind(trace.get_current_span(before), made)
        context.attach(trace.set_span_in_context(made, base))
        try:
            yield _Recorded(made)
        except BaseException as exc:
            made.set_status(Status(StatusCode.ERROR, str(exc) or type(exc).__name__))
            made.set_attribute("error.type", type(exc).__name__)
            raise
        finally:
            made.end()
            # Not by a token, which only counts in the task that began the span: the stage of a
            # build may be ended by another.
            context.attach(before)
            structlog.contextvars.reset_contextvars(**lines)

    def headers(self) -> dict[str, str]:
        """Return what carries the active span elsewhere; see :meth:`Traces.headers`."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier

    def close(self) -> None:
        """Send what was not sent yet, and end; takes some seconds if nobody listens."""
        self._provider.shutdown()


class _Recorded:
    """A span of OpenTelemetry; implements :class:`registry.telemetry.traces.Span`."""

    __slots__ = ("_span",)

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def rename(self, name: str) -> None:
        if self._span.is_recording():
            self._span.update_name(name)

    def note(self, attributes: Attributes) -> None:
        if self._span.is_recording():
            self._span.set_attributes(attributes)

    def fail(self, why: str) -> None:
        self._span.set_status(Status(StatusCode.ERROR, why))


def _bind(before: trace.Span, made: trace.Span) -> Mapping[str, Token[object]]:
    """Bind the trace id to log lines if the trace is new."""
    trace_id = made.get_span_context().trace_id
    if trace_id == before.get_span_context().trace_id:
        return {}
    return structlog.contextvars.bind_contextvars(trace_id=trace.format_trace_id(trace_id))
