"""Opening what records traces, where there is somebody to send them to."""

from collections.abc import Iterator
from contextlib import contextmanager

from registry.telemetry.traces import NO_TRACES, Traces


@contextmanager
def open_traces(endpoint: str | None, ratio: float, service: str) -> Iterator[Traces]:
    """Give a recorder of traces that a thread sends to ``endpoint``; open it after any fork.

    On exit, all have been sent if possible. ``ratio`` is the part of traces begun here that is
    recorded; those begun elsewhere are recorded as their sender says.
    """
    if endpoint is None:
        yield NO_TRACES
        return
    # It takes 0.1 s to import, which a process without traces need not wait for.
    from registry.telemetry.opentelemetry_traces import OpenTelemetryTraces  # noqa: PLC0415

    traces = OpenTelemetryTraces(endpoint, ratio, service)
    try:
        yield traces
    finally:
        traces.close()
