"""What is told of a root to Prometheus and to probes."""

import http.client
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from registry.prefixes.metrics import Counts, PrefixMetrics, serve_metrics


class Time:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def answering(metrics: PrefixMetrics, address: str = "127.0.0.1") -> Iterator[tuple[str, int]]:
    server = serve_metrics(metrics, address, 0)
    try:
        yield address, server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def ask(where: tuple[str, int], path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(*where, timeout=10)
    connection.request("GET", path)
    reply = connection.getresponse()
    text = reply.read().decode()
    connection.close()
    return reply.status, text


def values(metrics: PrefixMetrics) -> dict[str, float]:
    found = re.findall(r"^pullforge_prefixes_(\S+) (\S+)$", metrics.render().decode(), re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_the_lag_grows_while_the_root_is_perhaps_something_else() -> None:
    time = Time()
    metrics = PrefixMetrics(time)
    time.now += 5
    assert values(metrics)["lag_seconds"] == 5, "nothing is known yet"
    metrics.answered(is_equal=True)
    time.now += 20
    assert values(metrics)["lag_seconds"] == 0, "the server is waited for, and would tell"
    metrics.answered(is_equal=False)
    time.now += 3
    assert values(metrics)["lag_seconds"] == 23
    metrics.answered(is_equal=True)
    metrics.failed("server")
    time.now += 7
    found = values(metrics)
    assert (found["lag_seconds"], found['errors_total{of="server"}']) == (7, 1)


def test_a_pass_is_counted() -> None:
    time = Time()
    metrics = PrefixMetrics(time)
    assert not metrics.is_ready
    metrics.passed(0.3, Counts(prefixes=3, links=4, packages=50, size_bytes=10**9, problems=2))
    metrics.wrote(10**6)
    metrics.freed(5)
    found = values(metrics)
    assert metrics.is_ready
    assert found["last_success_timestamp_seconds"] == 0, "something could not be made"
    metrics.passed(0.2, Counts(prefixes=4, links=6, packages=60, size_bytes=10**9, problems=0))
    found = values(metrics)
    assert {name: found[name] for name in ("count", "links", "packages", "bytes", "problems")} == {
        "count": 4,
        "links": 6,
        "packages": 60,
        "bytes": 10**9,
        "problems": 0,
    }
    assert found['errors_total{of="prefix"}'] == 2
    assert found["last_success_timestamp_seconds"] == 1000
    assert (found["written_bytes_total"], found["freed_bytes_total"]) == (10**6, 5)
    assert found["pass_seconds_count"] == 2


def test_probes_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = PrefixMetrics()
    with answering(metrics) as where:
        assert ask(where, "/healthz") == (200, "ok\n")
        assert ask(where, "/readyz") == (503, "the first pass is not done yet\n")
        metrics.passed(0.1, Counts(1, 1, 1, 1, 0), is_whole=False)
        assert ask(where, "/readyz")[0] == 503
        metrics.passed(0.1, Counts(1, 1, 1, 1, 0))
        assert ask(where, "/readyz?verbose") == (200, "ok\n")
        status, text = ask(where, "/metrics")
        assert (status, "pullforge_prefixes_count 1.0" in text) == (200, True)
        assert ask(where, "/")[0] == 404
        monkeypatch.setattr("registry.prefixes.metrics._HANGS_SECONDS", 0.0)
        assert ask(where, "/healthz") == (503, "it hangs\n")


def test_an_address_of_ipv6_can_be_asked() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with answering(PrefixMetrics(), "::1") as where:
        assert ask(where, "/healthz")[0] == 200
    with answering(PrefixMetrics(), "") as (_, port):
        assert ask(("::1", port), "/healthz")[0] == 200
        assert ask(("127.0.0.1", port), "/healthz")[0] == 200
