"""What is answered before the application is what the application answers."""

import json
from collections.abc import AsyncIterator

import pytest
import structlog
from structlog.testing import capture_logs
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from builder.oci.models import OCI_INDEX
from registry.auth.access import Access
from registry.auth.logins import Logins
from registry.auth.policy import Policy
from registry.content.manifests import Manifest
from registry.web.asgi.protocol import ShortcutProtocol
from tests.registry.accounts import access_of, basic, policy_of, user
from tests.registry.asgi import open_client
from tests.registry.connection import Connection, request
from tests.registry.fakes import FakeService, manifest_data, put

pytestmark = pytest.mark.anyio

TAG = "/v2/env/numpy/manifests/latest"
PODMAN = "User-Agent: containers/5.29.2 (github.com/containers/image)"
INDEX = f"Accept: {OCI_INDEX}"


class Doors:
    """The same service by way of the shortcut, and without."""

    def __init__(self, warm: Connection, cold: Connection) -> None:
        self.warm = warm
        self.cold = cold

    async def answers_at_once(self, sent: bytes) -> bool:
        """Tell whether a request is answered before the application; both answers are the same."""
        expected = await self.cold.send(sent)
        before = len(self.warm.transport.written)
        self.warm.protocol.data_received(sent)
        is_answered = self.warm.busy == 0
        await self.warm.rest()
        assert self.warm.transport.written[before:] == expected
        return is_answered


@pytest.fixture
async def doors(house: FakeService, anyio_backend: str) -> AsyncIterator[Doors]:
    app = house.app()
    async with app.router.lifespan_context(app) as state:
        assert state is not None
        doors = Doors(
            Connection(ShortcutProtocol, app, state), Connection(HttpToolsProtocol, app, state)
        )
        yield doors
        doors.warm.end()
        doors.cold.end()


@pytest.fixture
async def at_hand(house: FakeService, anyio_backend: str) -> Manifest:
    """The manifest of ``env/numpy`` for podman, in memory."""
    data = manifest_data("env/numpy", "oci-zstd", index=True)
    manifest = await put(house.manifests, data)
    house.pulls.at_hand["env/numpy", "latest", "oci-zstd", True] = manifest
    return manifest


async def test_get_and_head_of_a_tag_are_answered_at_once(doors: Doors, at_hand: Manifest) -> None:
    for method in ("GET", "HEAD", "GET"):
        assert await doors.answers_at_once(request(method, TAG, INDEX, PODMAN))
    assert at_hand.data in doors.warm.transport.written


async def test_a_digest_is_answered_at_once(doors: Doors, at_hand: Manifest) -> None:
    path = f"/v2/env/numpy/manifests/{at_hand.digest}"
    assert await doors.answers_at_once(request("GET", path, INDEX, PODMAN))
    assert await doors.answers_at_once(request("HEAD", path))


async def test_a_digest_of_something_else_is_not(
    doors: Doors, house: FakeService, at_hand: Manifest
) -> None:
    path = f"/v2/env/numpy/manifests/{at_hand.digest}"
    house.pulls.not_made.add(at_hand.digest)
    assert not await doors.answers_at_once(request("GET", path))
    assert not await doors.answers_at_once(request("GET", path.replace("env/", "team/")))


async def test_who_can_take_something_else_gets_that(doors: Doors, at_hand: Manifest) -> None:
    assert await doors.answers_at_once(request("GET", TAG, INDEX, PODMAN))
    assert not await doors.answers_at_once(request("GET", TAG, INDEX, "User-Agent: docker/20.10"))
    assert not await doors.answers_at_once(
        request("GET", TAG, "Accept: application/vnd.oci.image.manifest.v1+json", PODMAN)
    )


async def test_accept_may_come_on_several_lines(doors: Doors, at_hand: Manifest) -> None:
    assert await doors.answers_at_once(
        request("GET", TAG, "Accept: application/vnd.oci.image.manifest.v1+json", INDEX, PODMAN)
    )


async def test_what_mirrors_and_redirects_add_to_an_address_does_not_matter(
    doors: Doors, at_hand: Manifest
) -> None:
    assert await doors.answers_at_once(request("GET", f"{TAG}?ns=x.test&wait=3", INDEX, PODMAN))


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        (TAG, [f"{INDEX}, {'x' * 3000}", PODMAN]),
        (TAG, [INDEX, PODMAN, "User-Agent: docker/20.10"]),
        (TAG, [INDEX, PODMAN, "Content-Length: 0"]),
        (TAG, [INDEX, PODMAN, "Expect: 100-continue"]),
        ("/v2/env/numpy/manifests/late%73t", [INDEX, PODMAN]),
        ("/v2/env/numpy/manifests/.latest", [INDEX, PODMAN]),
        ("/v2/env/numpy/manifests/sha256:0", [INDEX, PODMAN]),
        ("/v2/env/Numpy/manifests/latest", [INDEX, PODMAN]),
        ("/v2/env/numpy/tags/list", [INDEX, PODMAN]),
        ("/v2/", [INDEX, PODMAN]),
        ("/v2x", [INDEX, PODMAN]),
    ],
)
async def test_all_else_goes_to_the_application(
    doors: Doors, at_hand: Manifest, path: str, lines: list[str]
) -> None:
    assert await doors.answers_at_once(request("GET", TAG, INDEX, PODMAN))
    assert not await doors.answers_at_once(request("GET", path, *lines))


async def test_a_client_that_has_it_is_told_so_by_the_application(
    doors: Doors, at_hand: Manifest
) -> None:
    condition = f'If-None-Match: "{at_hand.digest}"'
    assert not await doors.answers_at_once(request("GET", TAG, INDEX, PODMAN, condition))
    assert b"HTTP/1.1 304 " in doors.warm.transport.written


async def test_a_new_image_behind_a_tag_is_answered_from_then_on(
    doors: Doors, house: FakeService, at_hand: Manifest
) -> None:
    sent = request("GET", TAG, INDEX, PODMAN)
    assert at_hand.data in await doors.warm.send(sent)
    other = await put(house.manifests, manifest_data("env/other", "oci-zstd", index=True))
    house.pulls.at_hand["env/numpy", "latest", "oci-zstd", True] = other
    answer = await doors.warm.send(sent)
    assert answer.endswith(other.data)
    assert f"docker-content-digest: {other.digest}\r\n".encode() in answer


async def test_what_has_to_be_renewed_or_noted_goes_to_the_application(
    doors: Doors, house: FakeService, at_hand: Manifest
) -> None:
    sent = request("GET", TAG, INDEX, PODMAN)
    assert await doors.answers_at_once(sent)
    house.pulls.at_hand.clear()
    assert not await doors.answers_at_once(sent)


async def test_a_private_repository_is_never_answered_without_the_check(
    house: FakeService, at_hand: Manifest
) -> None:
    house.access = access_of(user("ada", "env/numpy:pull"), private=("env/numpy",))
    app = house.app()
    async with app.router.lifespan_context(app) as state:
        assert state is not None
        connection = Connection(ShortcutProtocol, app, state)
        by_digest = f"/v2/env/numpy/manifests/{at_hand.digest}"
        for path in (TAG, by_digest):
            for _ in range(2):
                refused = await connection.send(request("GET", path, INDEX, PODMAN))
                assert refused.startswith(b"HTTP/1.1 401 ")
                credentials = f"Authorization: {basic('ada')}"
                given = await connection.send(request("GET", path, INDEX, PODMAN, credentials))
                assert given.startswith(b"HTTP/1.1 200 ")
        connection.end()


class ChangingPolicy:
    """A policy that an administrator changes; implements :class:`PolicySource`."""

    def __init__(self) -> None:
        self.policy = Policy()


async def test_a_repository_that_becomes_private_is_closed_at_once(
    house: FakeService, at_hand: Manifest
) -> None:
    source = ChangingPolicy()
    house.access = Access(source, Logins())
    app = house.app()
    async with app.router.lifespan_context(app) as state:
        assert state is not None
        connection = Connection(ShortcutProtocol, app, state)
        sent = request("GET", TAG, INDEX, PODMAN)
        assert (await connection.send(sent)).startswith(b"HTTP/1.1 200 ")
        source.policy = policy_of(user("ada"), private=("env/**",))
        assert (await connection.send(sent)).startswith(b"HTTP/1.1 401 ")
        connection.end()


async def test_credentials_for_what_is_open_are_not_looked_at(
    doors: Doors, at_hand: Manifest
) -> None:
    wrong = "Authorization: Bearer nonsense"
    assert await doors.answers_at_once(request("GET", TAG, INDEX, PODMAN, wrong))


async def test_it_is_logged_and_counted_as_the_application_does(
    doors: Doors, house: FakeService, at_hand: Manifest
) -> None:
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        assert await doors.answers_at_once(request("GET", TAG, INDEX, PODMAN))
    for line in lines:
        assert line.pop("seconds") >= 0
    cold, warm = lines
    assert warm == cold
    assert warm["request_id"] == "r1"
    counted = 'requests_total{method="GET",route="/v2/{name}/manifests/{reference}",status="2xx"}'
    assert f"{counted} 2.0" in house.metrics.render().decode()


async def test_every_answer_has_an_id_of_its_own(doors: Doors, at_hand: Manifest) -> None:
    sent = f"GET {TAG} HTTP/1.1\r\nHost: x\r\n{INDEX}\r\n{PODMAN}\r\n\r\n".encode()
    answers = {await doors.warm.send(sent) for _ in range(3)}
    assert len(answers) == 3
    assert all(b"\r\nx-request-id: " in answer for answer in answers)


async def test_a_client_of_the_application_alone_needs_no_shortcut(
    house: FakeService, at_hand: Manifest
) -> None:
    async with open_client(house.app()) as client:
        assert json.loads((await client.get(TAG)).body)["mediaType"] == OCI_INDEX
