"""Files of builds, as clients of conda-store fetch them."""

import io
import tarfile
from collections.abc import AsyncIterator

import pytest

from tests.registry.asgi import Client, Reply
from tests.registry.web.api.catalog import (
    ADA,
    BOB,
    NAMESPACES,
    NOTEBOOK,
    ROOT,
    ask,
    made,
    make_notebook,
    make_site,
    send,
)
from tests.registry.web.api.conftest import Gate
from tests.registry.web.api.site import BUILDS, Site, wish
from tests.registry.web.conda_store.people import API, opened_for_module
from tests.registry.web.conda_store.site import message

pytestmark = pytest.mark.anyio

FILES = ("lockfile", "conda-lock.yml", "conda-lock.yaml", "yaml", "archive")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return make_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
async def client(site: Site, anyio_backend: str) -> AsyncIterator[Client]:
    """Give a service in which ``ada/notebook`` has two builds, and one that failed."""
    async with opened_for_module(site) as client:
        await make_notebook(client, wish("tool"))
        await ask(client, wish("library"))
        await ask(client, wish("nothing-like-this"))
        yield client


async def build_id(client: Client, number: int = 1) -> int:
    """Return the number that clients know a version of ``ada/notebook`` by."""
    assert client.services.catalog is not None
    return await client.services.catalog.build_ids.id_of("ada", "notebook", number)


async def get(client: Client, path: str, who: str | None = ADA, **headers: str) -> Reply:
    return await send(client, "GET", f"{API}{path}", who, **headers)


async def test_files_are_those_of_the_build_with_a_slash_and_without(client: Client) -> None:
    key = (await send(client, "GET", f"{NOTEBOOK}/versions/1", ADA)).json()["key"]
    build = f"/build/{await build_id(client)}"
    forms = {"yaml": "environment.yml", "archive": "archive.tar.gz"}
    for file in FILES:
        of_build = await send(client, "GET", f"{BUILDS}/{key}/{forms.get(file, 'lock')}", ADA)
        assert of_build.status == 200
        for path in (f"{build}/{file}", f"{build}/{file}/"):
            reply = await get(client, path)
            assert (reply.status, reply.body) == (200, of_build.body), path
        head = await send(client, "HEAD", f"{API}{build}/{file}/", ADA)
        assert (head.status, head.headers["content-length"]) == (200, str(len(of_build.body)))
        part = await get(client, f"{build}/{file}/", range="bytes=5-9")
        assert (part.status, part.body) == (206, of_build.body[5:10])


async def test_an_archive_is_what_conda_store_run_unpacks(client: Client) -> None:
    reply = await get(client, f"/build/{await build_id(client)}/archive/")
    with tarfile.open(fileobj=io.BytesIO(reply.body), mode="r:gz") as archive:
        assert {"bin/activate", "bin/conda-unpack"} <= set(archive.getnames())


async def test_an_environments_lock_is_that_of_its_active_build_or_of_the_one_that_is_named(
    client: Client,
) -> None:
    first, second = [
        await get(client, f"/build/{await build_id(client, n)}/lockfile") for n in (1, 2)
    ]
    assert first.body != second.body
    place = "/environment/ada/notebook"
    for file in ("lockfile", "lockfile/", "conda-lock.yml", "conda-lock.yaml"):
        assert (await get(client, f"{place}/{file}")).body == second.body
    named = await get(client, f"{place}/lockfile/?build_id={await build_id(client)}")
    assert named.body == first.body
    for other in ("999", "x", "-1", "9" * 30):
        reply = await get(client, f"{place}/lockfile/?build_id={other}")
        assert (
            "has no build" in message(reply, 404) or "there is no build" in reply.json()["message"]
        )
    await made(client, f"{NAMESPACES}/ada/environments", ADA, {"name": "empty"})
    assert "ada/empty" in message(await get(client, "/environment/ada/empty/lockfile/"), 404)


async def test_an_image_is_told_as_what_docker_takes(client: Client) -> None:
    reply = await get(client, f"/build/{await build_id(client)}/docker/", host="registry.example")
    assert reply.body == b"registry.example/ada/notebook:v1"
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    repository, tag = reply.body.decode().removeprefix("registry.example/").split(":")
    assert (await send(client, "GET", f"/v2/{repository}/manifests/{tag}", ADA)).status == 200


async def test_there_is_no_installer_and_the_answer_says_what_to_take(client: Client) -> None:
    told = message(await get(client, f"/build/{await build_id(client)}/installer/"), 400)
    assert "none are made here. Take its archive" in told


async def test_a_build_that_failed_has_a_log_and_nothing_else(client: Client) -> None:
    build = f"/build/{await build_id(client, 3)}"
    log = await get(client, f"{build}/logs/")
    assert log.status == 200
    assert b"nothing-like-this" in log.body
    for file in FILES:
        assert "there is no build of it" in message(await get(client, f"{build}/{file}/"), 404)
    assert "it is failed" in message(await get(client, f"{build}/docker/"), 400)


async def test_the_log_of_a_canceled_build_has_the_line_that_clients_look_for(
    client: Client, gate: Gate
) -> None:
    await send(client, "POST", f"{NOTEBOOK}/versions", ADA, wish("tool", "library"))
    number = await build_id(client, 4)
    await send(client, "POST", f"{NOTEBOOK}/versions/4/cancel", ADA)
    log = (await get(client, f"/build/{number}/logs/")).body.decode()
    line = f"build {number} marked as CANCELED due to being canceled from the REST API"
    assert line in log.splitlines()


async def test_what_others_may_not_see_has_no_files_and_is_told_as_what_is_not_there(
    client: Client,
) -> None:
    theirs, none = await build_id(client), 999_999
    for file in (*FILES, "logs", "docker", "installer"):
        hidden = await get(client, f"/build/{theirs}/{file}/", BOB)
        absent = await get(client, f"/build/{none}/{file}/", BOB)
        assert message(hidden, 404).replace(str(theirs), "N") == message(absent, 404).replace(
            str(none), "N"
        )
    hidden = await get(client, "/environment/ada/notebook/lockfile/", BOB)
    absent = await get(client, "/environment/ada/nowhere/lockfile/", BOB)
    assert message(hidden, 404).replace("notebook", "nowhere") == message(absent, 404)


async def test_who_waits_is_sent_to_the_address_that_they_asked_for(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = await build_id(client)
    monkeypatch.setattr("registry.web.api.timeouts.HOP_SECONDS", 0.0)
    for slash in ("", "/"):
        reply = await get(client, f"/build/{number}/archive{slash}")
        assert (reply.status, reply.headers["location"]) == (307, "?wait=1")
    reply = await get(client, f"/build/{number}/archive/?wait=8")
    assert reply.headers["location"] == "?wait=9"
    assert "'wait'" in message(await get(client, f"/build/{number}/archive/?wait=99"), 400)
    last = await get(client, f"/build/{number}/archive/?wait=9")
    assert last.status in {429, 503}
    assert int(last.headers["retry-after"]) > 0
    assert last.json()["status"] == "error"


async def test_no_address_gives_anything_of_a_build_that_is_blocked(client: Client) -> None:
    second = (await send(client, "GET", f"{NOTEBOOK}/versions/2", ADA)).json()["key"]
    why = "it has a back door in it"
    block = await made(client, "/api/v1/blocks", ROOT, {"key": second, "reason": why})
    build = f"/build/{await build_id(client, 2)}"
    for path in (
        *(f"{build}/{file}" for file in (*FILES, "docker", "packages")),
        f"/environment/ada/notebook/lockfile?build_id={await build_id(client, 2)}",
        "/environment/ada/notebook/conda-lock.yml",
    ):
        for slash in ("", "/"):
            reply = await get(client, path + slash)
            assert why in message(reply, reply.status), path
    assert (await send(client, "DELETE", f"/api/v1/blocks/{block['key']}", ROOT)).status < 300
    assert (await get(client, f"{build}/lockfile")).status == 200
