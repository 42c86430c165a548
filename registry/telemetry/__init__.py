"""What operators see: log lines and metrics."""

from registry.telemetry.logs import configure_logs
from registry.telemetry.metrics import Metrics

__all__ = ["Metrics", "configure_logs"]
