"""Traces: what a pull was spent on, on whatever machines.

::

    GET /v2/{name}/manifests/{reference}     server     the request
    ├─ order solve                           producer   only with workers; else the next at once
    │  └─ carry out solve                    consumer   on a worker
    │     └─ stage solve
    └─ order build
       └─ carry out build
          ├─ stage base, download, plan
          ├─ stage assemble
          │  └─ order layer                  producer   one for each layer
          │     └─ carry out layer           consumer   on another worker
          │        └─ layer
          └─ stage finish

Without workers, "layer" may be part of "stage download" already: layers of packages that are there
are begun while others are fetched. A pull that is sent round while its build goes on begins a trace
with each of its requests, unless the client sends a ``traceparent``; the build belongs to the
first.

:mod:`registry.telemetry.opentelemetry_traces` alone knows OpenTelemetry, and is imported when there
is somebody to send traces to. All else knows these ports.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Literal, Protocol

Attributes = Mapping[str, str | int | float]
#: Who does what is spanned: this process alone, it for a client, or the two ends of a message.
SpanKind = Literal["internal", "server", "producer", "consumer"]


class Span(Protocol):
    """Something that is being done; every method is harmless after its end."""

    def rename(self, name: str) -> None:
        """Change the name of the span."""
        ...

    def note(self, attributes: Attributes) -> None:
        """Add attributes to the span."""
        ...

    def fail(self, why: str) -> None:
        """Mark the span as failed without an exception."""
        ...


class Traces(Protocol):
    """Records what is done. Spans of tasks that are begun within one are parts of it."""

    def span(
        self,
        name: str,
        kind: SpanKind = "internal",
        parent: Mapping[str, str] | None = None,
        attributes: Attributes | None = None,
    ) -> AbstractContextManager[Span]:
        """Record what is done in the context, as part of the span that is active.

        It has failed if an exception leaves the context. Log lines written within have its
        ``trace_id``.

        Args:
            name: One of few: without names of packages, keys or numbers.
            kind: Whose work it is.
            parent: Headers that :meth:`headers` gave elsewhere; it is part of that span, or of none
                if there are none. ``None``: of the one active here.
            attributes: What is known of it.
        """
        ...

    def headers(self) -> dict[str, str]:
        """Return what carries the active span elsewhere, as W3C's headers; may be empty."""
        ...


class NoTraces:
    """Records nothing; implements :class:`Traces`."""

    def span(
        self,
        name: str,
        kind: SpanKind = "internal",
        parent: Mapping[str, str] | None = None,
        attributes: Attributes | None = None,
    ) -> AbstractContextManager[Span]:
        """Return a context that does nothing."""
        del name, kind, parent, attributes
        return nullcontext(_NO_SPAN)

    def headers(self) -> dict[str, str]:
        """Return no headers."""
        return {}


class _NoSpan:
    def rename(self, name: str) -> None:
        pass

    def note(self, attributes: Attributes) -> None:
        pass

    def fail(self, why: str) -> None:
        pass


_NO_SPAN: Final = _NoSpan()
NO_TRACES: Final = NoTraces()
