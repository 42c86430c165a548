"""One trace from a pull to its layers, through a server, Redis and a worker in processes."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import pytest

from conformance.clients.server import StartServer
from conformance.collector import Collector
from conformance.workers.brokers import RedisServer
from conformance.workers.worker import Worker

_TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
_HEADERS: Final = {
    "accept": "application/vnd.oci.image.manifest.v1+json",
    "user-agent": "containerd/2.1.0",
    "traceparent": f"00-{_TRACE}-00f067aa0ba902b7-01",
}
_REQUEST: Final = "GET /v2/{name}/manifests/{reference}"
_BUILD: Final = f"{_REQUEST} / order build / carry out build"


@dataclass(frozen=True, slots=True)
class Pulled:
    """What was seen of one pull."""

    collector: Collector
    worker: Worker


@pytest.fixture(scope="module")
def pulled(start_module_server: StartServer) -> Iterator[Pulled]:
    """Pull an image through a server that has a worker, and end the worker."""
    with ExitStack() as stack:
        collector = stack.enter_context(Collector())
        redis = stack.enter_context(RedisServer())
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pf-worker-")))
        server = start_module_server(**redis.settings, traces=collector.url, workers=2)
        worker = stack.enter_context(Worker(home, server.settings))
        url = f"{server.url}/v2/env/click/manifests/latest"
        answer = httpx.get(url, headers=_HEADERS, follow_redirects=True, timeout=120)
        assert answer.status_code == 200, answer.text
        # Of one solve and one build, before the counts go with their process.
        assert worker.metric("pullforge_stage_seconds_count") == 6
        worker.stop()
        collector.wait_for(_REQUEST, timeout_seconds=30)
        yield Pulled(collector, worker)


def test_request_build_and_layers_are_one_trace(pulled: Pulled) -> None:
    """Whichever process did it, it is where it belongs."""
    spans = [span for span in pulled.collector.spans if span.trace == _TRACE]
    paths = pulled.collector.paths()
    assert f"{_REQUEST} / order solve / carry out solve / stage solve" in paths
    for stage in ("base", "download", "plan", "assemble", "finish"):
        assert f"{_BUILD} / stage {stage}" in paths
    assert f"{_BUILD} / stage assemble / order layer / carry out layer / layer" in paths
    kinds = {span.name: (span.kind, span.service) for span in spans}
    assert kinds[_REQUEST] == ("server", "pullforge")
    assert kinds["order build"] == ("producer", "pullforge")
    assert kinds["carry out build"] == ("consumer", "pullforge-worker")
    assert kinds["order layer"] == ("producer", "pullforge-worker")


def test_every_layer_says_what_it_has(pulled: Pulled) -> None:
    """Those that are made, and those that are ordered, are the same."""
    made, ordered = (
        {
            span.attributes["pullforge.layer"]: span.attributes
            for span in pulled.collector.spans
            if span.name == name
        }
        for name in ("layer", "order layer")
    )
    assert made == ordered
    assert made
    for attributes in made.values():
        assert attributes["pullforge.encoding"] == "zstd"
        assert int(attributes["pullforge.size_bytes"]) > 0
        assert int(attributes["pullforge.packages"]) > 0


def test_log_lines_of_the_worker_have_the_trace(pulled: Pulled) -> None:
    """Logs and traces lead to each other."""
    assert f'"trace_id":"{_TRACE}"' in pulled.worker.log_end()
