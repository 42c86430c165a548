"""What operators see: log lines, metrics and traces."""

from registry.telemetry.access_log import (
    AccessLog,
    AnsweredRequest,
    JsonAccessLog,
    NoAccessLog,
    StructuredAccessLog,
)
from registry.telemetry.logs import configure_logs
from registry.telemetry.metrics import Metrics
from registry.telemetry.opening import open_traces
from registry.telemetry.traces import NO_TRACES, Attributes, Span, Traces

__all__ = [
    "NO_TRACES",
    "AccessLog",
    "AnsweredRequest",
    "Attributes",
    "JsonAccessLog",
    "Metrics",
    "NoAccessLog",
    "Span",
    "StructuredAccessLog",
    "Traces",
    "configure_logs",
    "open_traces",
]
