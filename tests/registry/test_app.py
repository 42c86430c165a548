import asyncio
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from builder.errors import ChannelUnavailable
from registry.web import health
from tests.registry.asgi import open_client
from tests.registry.fakes import FakeService


@pytest.fixture
def browser(house: FakeService) -> Iterator[TestClient]:
    with TestClient(house.app(), base_url="http://registry.example:5000") as browser:
        yield browser


def test_services_live_as_long_as_the_application(house: FakeService) -> None:
    app = house.app()
    assert house.opened == 0
    with TestClient(app) as browser:
        assert browser.get("/v2/").status_code == 200
        assert (house.opened, house.closed) == (1, 0)
    assert (house.opened, house.closed) == (1, 1)


def test_a_living_server_says_so(browser: TestClient) -> None:
    answer = browser.get("/healthz")
    assert answer.status_code == 200
    assert answer.json() == {"alive": True}


def test_a_server_whose_parts_work_is_ready(browser: TestClient) -> None:
    answer = browser.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "reasons": {}}


def test_a_server_whose_parts_do_not_work_says_which(
    browser: TestClient, house: FakeService
) -> None:
    async def full_disk() -> None:
        raise OSError(28, "No space left on device", "/srv/store/x")

    async def no_channel() -> None:
        raise ChannelUnavailable("conda-forge does not answer")

    async def broken() -> None:
        raise RuntimeError("password=hunter2")

    house.checks.update(store=full_disk, solver=no_channel, other=broken)
    answer = browser.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {
        "ready": False,
        "reasons": {
            "store": "the store is full: its administrator has to make room, and then pull again",
            "solver": "conda-forge does not answer",
            "other": "RuntimeError",
        },
    }


@pytest.mark.anyio
async def test_a_part_that_does_not_answer_is_not_waited_for(
    house: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(health, "_CHECK_SECONDS", 0.01)
    house.checks.clear()
    house.checks["solver"] = hang
    async with open_client(house.app()) as client:
        reply = await client.get("/readyz")
    assert reply.status == 503
    assert reply.json()["reasons"] == {"solver": "no answer within 0.01 s"}


def test_what_was_counted_is_shown(browser: TestClient, house: FakeService) -> None:
    house.metrics.solved(1.5)
    answer = browser.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "pullforge_solves_total 1.0\n" in answer.text


def test_the_first_page_says_how_to_pull_from_here(browser: TestClient) -> None:
    answer = browser.get("/")
    assert answer.status_code == 200
    assert "docker run --rm -it registry.example:5000/env/python.numpy.pandas" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "host", ["<script>alert(1)</script>", "a b", "", "x" * 300, "a/b", "a:99x"]
)
def test_a_host_that_is_none_is_not_shown(browser: TestClient, host: str) -> None:
    answer = browser.get("/", headers={"host": host})
    assert answer.status_code == 200
    assert "docker run --rm -it HOST/env/" in answer.text
    assert "<script>" not in answer.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_what_machines_ask_for_is_for_reading(browser: TestClient, path: str) -> None:
    assert browser.head(path).content == b""
    assert browser.post(path).status_code == 405


def test_other_addresses_are_not_found(browser: TestClient) -> None:
    assert browser.get("/nothing/at/all").status_code == 404


def test_a_page_that_fails_tells_nothing_of_the_inside(
    house: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> bytes:
        raise RuntimeError("password=hunter2")

    monkeypatch.setattr(house.metrics, "render", fail)
    with TestClient(house.app()) as browser:
        answer = browser.get("/metrics")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text


def test_a_pull_works_through_an_ordinary_client(browser: TestClient) -> None:
    tag = browser.get("/v2/env/numpy/manifests/latest")
    digest = tag.headers["docker-content-digest"]
    assert browser.get(f"/v2/env/numpy/manifests/{digest}").content == tag.content
    assert browser.get(f"/v2/env/numpy/blobs/{digest}").content == tag.content
