import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from conformance.collector import Collector, RecordedSpan
from registry.telemetry import open_traces
from tests.registry.asgi import Client
from tests.registry.pulling import built
from tests.registry.web.api.site import Site

pytestmark = pytest.mark.anyio

REQUEST = "GET /v2/{name}/manifests/{reference}"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        yield collector


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


async def pull(client: Client, name: str = "tool", **headers: str) -> int:
    url = f"/v2/env/{name}/manifests/latest"
    lines = [("accept", "application/vnd.oci.image.manifest.v1+json"), *headers.items()]
    reply, _ = await client.follow("GET", url, lines)
    return reply.status


def named(collector: Collector, name: str) -> RecordedSpan:
    (span,) = [span for span in collector.spans if span.name == name]
    return span


async def test_a_pull_is_one_trace_from_the_request_to_each_layer(
    site: Site, collector: Collector
) -> None:
    async with site.open(traces=collector.url) as client:
        assert await pull(client, traceparent=TRACEPARENT) == 200
    assert {span.trace for span in collector.spans} == {TRACE}
    stages = ("base", "download", "plan", "assemble", "finish")
    # Layers are begun while other packages are still downloaded.
    layered = {f"{REQUEST} / build / stage {stage} / layer" for stage in ("download", "assemble")}
    assert collector.paths() & layered
    assert collector.paths() - layered == {
        REQUEST,
        f"{REQUEST} / solve",
        f"{REQUEST} / solve / stage solve",
        f"{REQUEST} / build",
        *(f"{REQUEST} / build / stage {stage}" for stage in stages),
    }
    request = named(collector, REQUEST)
    assert request.kind == "server"
    assert request.parent == SPAN
    assert request.service == "pullforge"
    assert request.attributes["http.response.status_code"] == 200
    layers = [span for span in collector.spans if span.name == "layer"]
    packages = {x.attributes["pullforge.layer"]: x.attributes["pullforge.packages"] for x in layers}
    assert sum(map(int, packages.values())) == 2
    for layer in layers:
        assert layer.attributes["pullforge.encoding"] == "gzip"
        assert int(layer.attributes["pullforge.size_bytes"]) > 0
    assert all(span.failure is None for span in collector.spans)


async def test_what_fails_says_why_and_the_request_only_if_it_is_the_servers_fault(
    site: Site, collector: Collector
) -> None:
    async with site.open(traces=collector.url) as client:
        assert await pull(client, "tool.99") == 404
    for name in ("solve", "stage solve"):
        failure = named(collector, name).failure
        assert failure is not None
        assert "tool" in failure
    assert named(collector, REQUEST).failure is None


async def test_an_answer_that_is_the_servers_fault_is_a_failure(
    site: Site, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site.open(traces=collector.url) as client:
        monkeypatch.setattr(built(client.services), "tags", None)
        assert (await client.get("/v2/env/tool/tags/list")).status == 500
    assert named(collector, "GET /v2/{name}/tags/list").failure == "the answer is 500"


async def test_requests_without_a_trace_begin_one_each(site: Site, collector: Collector) -> None:
    async with site.open(traces=collector.url) as client:
        await client.get("/v2/")
        await client.get("/v2/")
    one, other = collector.spans
    assert one.name == other.name == "GET /v2/"
    assert one.trace != other.trace
    assert not one.parent


async def test_probes_are_in_no_trace(site: Site, collector: Collector) -> None:
    async with site.open(traces=collector.url) as client:
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await client.get(path)).status == 200
    assert not collector.spans


async def test_with_a_ratio_of_nothing_only_the_traces_of_others_are_recorded(
    site: Site, collector: Collector
) -> None:
    async with site.open(traces=collector.url, traces_ratio=0) as client:
        await client.get("/v2/")
        await client.get("/v2/", traceparent=TRACEPARENT)
        await client.get("/v2/", traceparent=f"00-{TRACE}-{SPAN}-00")
    assert [span.parent for span in collector.spans] == [SPAN]


async def test_log_lines_within_a_span_have_its_trace(site: Site, collector: Collector) -> None:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        async with site.open(traces=collector.url) as client:
            assert await pull(client, traceparent=TRACEPARENT) == 200
    by_event: dict[str, Any] = {line["event"]: line for line in lines}
    assert by_event["solved"]["trace_id"] == TRACE
    assert by_event["built"]["trace_id"] == TRACE
    assert "trace_id" not in structlog.contextvars.get_contextvars()


async def test_a_collector_that_is_away_keeps_nobody_from_pulling(site: Site) -> None:
    with Collector() as gone:
        url = gone.url
    async with site.open(traces=url) as client:
        assert await pull(client) == 200


def test_a_span_is_handed_on_by_its_headers(collector: Collector) -> None:
    with open_traces(collector.url, 1, "one") as traces:
        assert traces.headers() == {}
        with traces.span("order", "producer"):
            headers = traces.headers()
        with traces.span("carry out", "consumer", headers), traces.span("part"):
            pass
        assert traces.headers() == {}
    assert collector.paths() == {"order", "order / carry out", "order / carry out / part"}
    assert named(collector, "carry out").kind == "consumer"


def test_an_address_with_a_path_is_taken_as_it_is(collector: Collector) -> None:
    with (
        open_traces(f"{collector.url}/v1/traces", 1, "one") as traces,
        traces.span("done"),
    ):
        pass
    assert named(collector, "done").service == "one"


async def test_stages_are_counted_where_a_build_is_carried_out(site: Site) -> None:
    async with site.open() as client:
        assert await pull(client) == 200
        counted = client.services.metrics.render().decode()
    for stage in ("solve", "base", "download", "plan", "assemble", "finish"):
        assert f'pullforge_stage_seconds_count{{stage="{stage}"}} 1.0\n' in counted


def test_nobody_imports_opentelemetry_without_traces() -> None:
    program = (
        "import sys, registry.cli.serve, registry.wiring, registry.telemetry\n"
        "with registry.telemetry.open_traces(None, 1, 'none') as traces:\n"
        "    with traces.span('nothing') as span:\n"
        "        span.note({'a': 1})\n"
        "sys.exit('opentelemetry' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
