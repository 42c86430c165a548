from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from tests.registry.asgi import Client, open_client
from tests.registry.fakes import FakeBuiltSource, FakeService

pytestmark = pytest.mark.anyio


@pytest.fixture
def lines() -> Iterator[list[Any]]:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        yield lines


async def test_each_request_writes_one_line(client: Client, lines: list[Any]) -> None:
    reply = await client.get("/v2/env/numpy/manifests/latest", user_agent="docker/27.0")
    (line,) = lines
    assert line.pop("seconds") >= 0
    assert line.pop("request_id") == reply.headers["x-request-id"]
    assert line == {
        "event": "answered request",
        "log_level": "info",
        "method": "GET",
        "path": "/v2/env/numpy/manifests/latest",
        "status": 200,
        "bytes": len(reply.body),
        "user_agent": "docker/27.0",
    }


async def test_the_access_log_can_be_left_out(house: FakeService, lines: list[Any]) -> None:
    async with open_client(house.app(access_log=False)) as client:
        await client.get("/healthz")
    assert lines == []


async def test_a_sane_request_id_is_kept(client: Client, lines: list[Any]) -> None:
    reply = await client.get("/healthz", x_request_id="trace-1/a.b")
    assert reply.headers["x-request-id"] == "trace-1/a.b"
    assert lines[0]["request_id"] == "trace-1/a.b"


@pytest.mark.parametrize("sent", ["", "a b", 'a"b', "a\\b", "ä", "x" * 129, "a\tb"])
async def test_any_other_request_id_is_replaced(client: Client, sent: str) -> None:
    first = await client.get("/healthz", x_request_id=sent)
    second = await client.get("/healthz", x_request_id=sent)
    assert first.headers["x-request-id"] not in {sent, second.headers["x-request-id"]}


async def test_the_id_is_bound_to_lines_of_the_request_alone(
    client: Client, pulls: FakeBuiltSource, lines: list[Any]
) -> None:
    pulls.errors["broken"] = RuntimeError("boom")
    await client.get("/v2/env/numpy/manifests/broken", x_request_id="mine")
    assert [line["request_id"] for line in lines] == ["mine", "mine"]
    assert structlog.contextvars.get_contextvars() == {}


async def test_an_unforeseen_error_is_logged_and_not_told(
    client: Client, pulls: FakeBuiltSource, lines: list[Any]
) -> None:
    pulls.errors["broken"] = RuntimeError("secret /etc/passwd")
    reply = await client.get("/v2/env/numpy/manifests/broken")
    assert reply.status == 500
    assert b"secret" not in reply.body
    assert [line["event"] for line in lines] == ["failed to answer request", "answered request"]
    assert lines[0]["log_level"] == "error"
    assert lines[1]["status"] == 500


async def test_requests_are_counted_by_template(client: Client) -> None:
    await client.get("/v2/env/numpy/manifests/latest")
    await client.get("/v2/env/pandas/manifests/latest")
    await client.head("/v2/env/pandas/manifests/latest")
    await client.get("/v2/env/Pandas/manifests/latest")
    await client.get("/v2/nonsense")
    await client.get("/nonsense/at/all")
    await client.request("BREW", "/v2/")
    await client.get("/healthz")
    text = (await client.get("/metrics")).body.decode()
    name = "pullforge_http_requests_total"
    manifests = 'route="/v2/{name}/manifests/{reference}"'
    assert f'{name}{{method="GET",{manifests},status="2xx"}} 2.0' in text
    assert f'{name}{{method="HEAD",{manifests},status="2xx"}} 1.0' in text
    assert f'{name}{{method="GET",{manifests},status="4xx"}} 1.0' in text
    assert f'{name}{{method="GET",route="other",status="4xx"}} 2.0' in text
    assert f'{name}{{method="other",route="/v2/",status="4xx"}} 1.0' in text
    assert f'{name}{{method="GET",route="/healthz",status="2xx"}} 1.0' in text
    assert f"pullforge_http_request_seconds_count{{{manifests}}} 4.0" in text
    assert "pullforge_http_requests_in_flight 1.0" in text
    assert "pandas" not in text
