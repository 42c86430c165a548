"""What is counted of each HTTP request, in plain numbers until somebody asks.

Prometheus' own counters take a lock for each number, and eight numbers change with a request: 6 µs,
where these take one. They are only touched on the event loop.
"""

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from typing import Final

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector


class RequestCounts(Collector):
    """Counts requests, by route template, method and class of status; collected by Prometheus.

    Args:
        buckets: The upper bounds by which times are counted, in seconds, rising.
    """

    def __init__(self, buckets: tuple[float, ...]) -> None:
        self._buckets: Final = buckets
        self._in_flight = 0
        #: By route, method and first digit of the status.
        self._requests: dict[tuple[str, str, int], int] = {}
        self._routes: dict[str, _Route] = {}

    def started(self) -> None:
        """Count a request as being answered, until :meth:`ended`."""
        self._in_flight += 1

    def ended(self, route: str, method: str, status: int, seconds: float, sent_bytes: int) -> None:
        """Count a request that was :meth:`started` as answered."""
        self._in_flight -= 1
        key = (route, method, status // 100)
        self._requests[key] = self._requests.get(key, 0) + 1
        of_route = self._routes.get(route)
        if of_route is None:
            of_route = self._routes[route] = _Route(len(self._buckets) + 1)
        of_route.seconds += seconds
        of_route.sent_bytes += sent_bytes
        of_route.buckets[bisect_left(self._buckets, seconds)] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield what was counted."""
        requests = CounterMetricFamily(
            "pullforge_http_requests",
            "Requests, by route template, method and class of status.",
            labels=["route", "method", "status"],
        )
        for (route, method, status), count in self._requests.items():
            requests.add_metric([route, method, f"{status}xx"], count)
        times = HistogramMetricFamily(
            "pullforge_http_request_seconds",
            "Time from the request to the last byte of its answer.",
            labels=["route"],
        )
        sent = CounterMetricFamily(
            "pullforge_http_sent_bytes", "Bytes of bodies sent.", labels=["route"]
        )
        bounds = [*(str(float(bound)) for bound in self._buckets), "+Inf"]
        for route, counts in self._routes.items():
            buckets = list(zip(bounds, accumulate(counts.buckets), strict=True))
            times.add_metric([route], buckets, counts.seconds)
            sent.add_metric([route], counts.sent_bytes)
        yield from (requests, times, sent)
        yield GaugeMetricFamily(
            "pullforge_http_requests_in_flight", "Requests being answered.", self._in_flight
        )


class _Route:
    """What was counted of one route."""

    __slots__ = ("buckets", "seconds", "sent_bytes")

    def __init__(self, buckets: int) -> None:
        self.seconds = 0.0
        self.sent_bytes = 0
        #: How many requests took so long, each counted once; the last has no upper bound.
        self.buckets = [0] * buckets
