"""Opening what records traces, where there is somebody to send them to."""

from collections.abc import Iterator
from contextlib import contextmanager

from registry.telemetry.traces import NO_TRACES, Traces


@contextmanager
def open_traces(endpoint: str | None, ratio: float, service: str) -> Iterator[Traces]:
    """Give what records traces; on exit, all that was recorded has been sent, if that is possible.

    A thread sends them: open it after any fork.

    Args:
        endpoint: Where they are sent, e.g. ``"http://collector:4318"``; ``None``: nothing is
            recorded.
        ratio: How many of the traces that begin here are recorded, 0 to 1. Those that began
            elsewhere are if they are there.
        service: The name of this part of the service.
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
