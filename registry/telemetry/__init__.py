"""What operators see: log lines and metrics."""

from registry.telemetry.access_log import (
    AccessLog,
    JsonAccessLog,
    NoAccessLog,
    StructuredAccessLog,
)
from registry.telemetry.logs import configure_logs
from registry.telemetry.metrics import Metrics

__all__ = [
    "AccessLog",
    "JsonAccessLog",
    "Metrics",
    "NoAccessLog",
    "StructuredAccessLog",
    "configure_logs",
]
