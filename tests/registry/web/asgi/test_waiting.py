import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.ports import Progress
from registry.content.names import TagName
from registry.errors import StillBuilding
from registry.web.asgi.waiting import MAX_HOPS, hops_of, waiting_redirect
from tests.registry.asgi import Client, assert_oci_error, open_client
from tests.registry.fakes import FakeBuiltSource, FakeService

LATEST = "/v2/env/numpy/manifests/latest"
BUILDING = StillBuilding(Progress("download", 3, 35))


@pytest.mark.anyio
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("rounds", [1, 5, 9])
async def test_a_slow_pull_is_sent_round_until_it_is_ready(
    client: Client, pulls: FakeBuiltSource, method: str, rounds: int
) -> None:
    pulls.rounds["latest"] = rounds
    reply, hops = await client.follow(method, LATEST)
    assert hops == rounds
    assert reply.status == 200
    assert "docker-content-digest" in reply.headers


@pytest.mark.anyio
async def test_a_redirect_is_relative_counted_and_says_how_far_it_is(
    client: Client, pulls: FakeBuiltSource
) -> None:
    pulls.rounds["latest"] = 2
    first = await client.get(f"{LATEST}?ns=docker.io&x=%2F")
    assert first.status == 307
    assert first.headers["location"] == "latest?ns=docker.io&x=%2F&wait=1"
    assert first.headers["cache-control"] == "no-store"
    assert first.json() == {"status": "downloading packages (3 of 35)", "waited": 1}
    second = await client.get(f"{LATEST}?wait=1&ns=docker.io")
    assert second.headers["location"] == "latest?ns=docker.io&wait=2"


@pytest.mark.anyio
async def test_the_last_head_makes_clients_go_on_with_get(
    client: Client, pulls: FakeBuiltSource
) -> None:
    pulls.rounds["latest"] = 99
    reply, hops = await client.follow("HEAD", LATEST)
    assert hops == 9
    assert reply.status == 405
    assert reply.headers["allow"] == "GET"


@pytest.mark.anyio
async def test_the_last_get_says_what_is_being_done(client: Client, pulls: FakeBuiltSource) -> None:
    pulls.rounds["latest"] = 99
    reply, hops = await client.follow("GET", LATEST)
    assert hops == 9
    message = assert_oci_error(reply, 429, "TOOMANYREQUESTS")
    assert "downloading packages (3 of 35)" in message
    assert int(reply.headers["retry-after"]) > 0


@pytest.mark.anyio
async def test_the_wait_is_what_the_application_was_made_with(
    house: FakeService, pulls: FakeBuiltSource
) -> None:
    async with open_client(house.app(redirect_after_seconds=0.25)) as client:
        await client.get(LATEST)
    assert pulls.timeouts == {0.25}


@pytest.mark.parametrize(
    ("query", "hops"),
    [
        (b"", 0),
        (b"wait=1", 1),
        (b"wait=9", 9),
        (b"wait=10", 9),
        (b"wait=0009", 9),
        (b"wait=-1", 0),
        (b"wait=", 0),
        (b"wait", 0),
        (b"wait=x", 0),
        (b"wait=%31", 0),
        (b"wait=" + b"9" * 5000, 0),
        (b"wait=1&wait=7", 7),
        (b"await=5", 0),
    ],
)
def test_a_count_that_is_none_counts_as_none(query: bytes, hops: int) -> None:
    assert hops_of(query) == hops


@given(st.binary(max_size=60) | st.text("wait=&019-x", max_size=30).map(str.encode))
def test_whatever_is_written_into_the_query_the_hops_end(query: bytes) -> None:
    for hops in range(MAX_HOPS + 1):
        try:
            answer = waiting_redirect(TagName("latest"), query, BUILDING)
        except StillBuilding:
            return
        location = dict(answer.headers)[b"location"]
        assert location.startswith(b"latest?")
        assert all(0x20 < byte < 0x7F for byte in location)
        query = location.partition(b"?")[2]
        assert hops < MAX_HOPS
    raise AssertionError("redirected ten times")
