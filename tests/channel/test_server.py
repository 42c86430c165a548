import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from conformance.channel.server import ChannelServer

DATA = bytes(range(256)) * 40


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ChannelServer]:
    (tmp_path / "noarch").mkdir()
    (tmp_path / "noarch/pandas-2.conda").write_bytes(DATA)
    (tmp_path / "noarch/numpy-2.conda").write_bytes(DATA)
    with ChannelServer(tmp_path) as server:
        yield server


@pytest.fixture
def client(server: ChannelServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=10) as client:
        yield client


def test_files_are_served_whole_in_ranges_and_once(client: httpx.Client) -> None:
    whole = client.get("/noarch/pandas-2.conda")
    assert whole.content == DATA
    part = client.get("/noarch/pandas-2.conda", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, DATA[10:20])
    same = client.get("/noarch/pandas-2.conda", headers={"If-None-Match": whole.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    head = client.head("/noarch/pandas-2.conda")
    assert (head.headers["content-length"], head.content) == (str(len(DATA)), b"")


@pytest.mark.parametrize("path", ["/noarch", "/noarch/none", "/..%2f..%2f..%2f..%2fetc%2fpasswd"])
def test_what_is_not_a_file_of_the_channel_is_not_found(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_a_rule_is_for_what_matches_and_as_often_as_it_says(
    server: ChannelServer, client: httpx.Client
) -> None:
    server.fail("pandas-*.conda", 503, count=1)
    assert client.get("/noarch/numpy-2.conda").status_code == 200
    assert client.get("/noarch/pandas-2.conda").status_code == 503
    assert client.get("/noarch/pandas-2.conda").status_code == 200


def test_corruption_keeps_the_length(server: ChannelServer, client: httpx.Client) -> None:
    server.corrupt("noarch/pandas*")
    data = client.get("/noarch/pandas-2.conda").content
    assert data != DATA
    assert len(data) == len(DATA)


def test_slow_answers_come_after_the_delay(server: ChannelServer, client: httpx.Client) -> None:
    server.slow("pandas*", 0.2)
    started = time.monotonic()
    assert client.get("/noarch/pandas-2.conda").status_code == 200
    assert time.monotonic() - started >= 0.2


def test_requests_are_counted_until_reset(server: ChannelServer, client: httpx.Client) -> None:
    client.get("/noarch/pandas-2.conda")
    client.get("/noarch/pandas-2.conda")
    assert server.requests() == {"/noarch/pandas-2.conda": 2}
    server.reset()
    assert server.requests() == {}


def test_another_process_uses_the_control_endpoint(client: httpx.Client) -> None:
    rule = {"match": "pandas*", "status": 500}
    assert client.post("/_control", json=rule).status_code == 201
    assert client.get("/noarch/pandas-2.conda").status_code == 500
    assert client.get("/_requests").json() == {"/noarch/pandas-2.conda": 1}
    assert client.delete("/_control").status_code == 204
    assert client.get("/noarch/pandas-2.conda").status_code == 200


def test_a_stopped_server_comes_back_at_the_same_address(server: ChannelServer) -> None:
    server.slow("pandas*", 100)
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{server.url}/noarch/pandas-2.conda", timeout=0.2)
    server.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/noarch/numpy-2.conda")
    server.start()
    assert httpx.get(f"{server.url}/noarch/numpy-2.conda").status_code == 200
