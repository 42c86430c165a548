"""The store's directory goes and comes back while the server runs; files and memory run out."""

import errno
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from builder.oci.digest import digest_of
from registry.storage.filesystem import FilesystemStore
from registry.web import system_errors as trouble
from tests.registry.asgi import Client, Reply
from tests.registry.fakes import FakeService
from tests.registry.pushing import manifest_of, push_blob, put_manifest

pytestmark = pytest.mark.anyio

REPOSITORY = "team/app"
CONFIG, LAYER = b"{}", b"a layer"
DIGEST = digest_of(LAYER)
MANIFEST = manifest_of(CONFIG, LAYER)

Ask = Callable[[Client], Awaitable[Reply]]

#: What is asked while the store is away, with the status that a working one answers.
ASKED: dict[str, tuple[int, Ask]] = {
    "manifest": (200, lambda client: client.get(f"/v2/{REPOSITORY}/manifests/v1")),
    "manifest by digest": (
        200,
        lambda client: client.get(f"/v2/{REPOSITORY}/manifests/{digest_of(MANIFEST)}"),
    ),
    "unknown manifest": (404, lambda client: client.get(f"/v2/{REPOSITORY}/manifests/v2")),
    "blob": (200, lambda client: client.get(f"/v2/{REPOSITORY}/blobs/{DIGEST}")),
    "head of blob": (200, lambda client: client.head(f"/v2/{REPOSITORY}/blobs/{DIGEST}")),
    "tags": (200, lambda client: client.get(f"/v2/{REPOSITORY}/tags/list")),
    "catalog": (200, lambda client: client.get("/v2/_catalog")),
    "referrers": (200, lambda client: client.get(f"/v2/{REPOSITORY}/referrers/{DIGEST}")),
    "begun upload": (202, lambda client: client.post(f"/v2/{REPOSITORY}/blobs/uploads/")),
    "whole upload": (
        201,
        lambda client: client.post(f"/v2/{REPOSITORY}/blobs/uploads/?digest={DIGEST}", LAYER),
    ),
    "lost upload": (404, lambda client: client.get(f"/v2/{REPOSITORY}/blobs/uploads/{'0' * 32}")),
    "pushed manifest": (
        201,
        lambda client: put_manifest(client, REPOSITORY, "v1", MANIFEST),
    ),
}


@pytest.fixture(autouse=True)
def nothing_logged() -> Iterator[None]:
    trouble._logged.clear()
    yield
    trouble._logged.clear()


@pytest.fixture
async def pushed(client: Client) -> Client:
    for data in (CONFIG, LAYER):
        await push_blob(client, REPOSITORY, data)
    assert (await put_manifest(client, REPOSITORY, "v1", MANIFEST)).status == 201
    return client


def run(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def sentence_of(reply: Reply) -> str:
    assert reply.status == 503, reply
    assert int(reply.headers["retry-after"]) > 0
    if not reply.body:
        return ""
    (error,) = reply.json()["errors"]
    assert error["code"] == "UNAVAILABLE"
    return str(error["message"])


@pytest.mark.parametrize("name", ASKED)
async def test_a_store_whose_directory_went_away_is_told_as_such_and_is_used_when_it_is_back(
    pushed: Client, house: FakeService, name: str
) -> None:
    status, ask = ASKED[name]
    away = house.root.with_name("away")
    house.root.rename(away)
    with capture_logs() as logs:
        for _ in range(3):
            sentence = sentence_of(await ask(pushed))
            assert sentence == "" or "the store's directory" in sentence
            assert str(house.root) not in sentence
    assert not house.root.exists(), "it may be on a disk that is not mounted"
    lines = [line for line in logs if line["log_level"] in {"error", "warning", "critical"}]
    assert len(lines) <= 1, lines
    assert not any("exc_info" in line for line in lines)
    away.rename(house.root)
    assert (await ask(pushed)).status == status


@pytest.mark.parametrize("name", ["begun upload", "whole upload"])
async def test_a_new_empty_directory_is_a_store_again(
    pushed: Client, house: FakeService, name: str
) -> None:
    status, ask = ASKED[name]
    shutil.rmtree(house.root)
    sentence_of(await ask(pushed))
    house.root.mkdir()
    assert (await ask(pushed)).status == status


@pytest.mark.parametrize("name", ["whole upload"])
async def test_a_directory_for_what_is_received_that_is_gone_is_told_as_such(
    pushed: Client, house: FakeService, name: str
) -> None:
    shutil.rmtree(house.scratch)
    assert "this server works in" in sentence_of(await ASKED[name][1](pushed))
    house.scratch.mkdir()
    assert (await ASKED[name][1](pushed)).status == 201


async def test_a_server_without_its_store_is_not_ready(pushed: Client, house: FakeService) -> None:
    house.root.rename(house.root.with_name("away"))
    reply = await pushed.get("/readyz")
    assert reply.status == 503
    assert "the store's directory" in reply.json()["reasons"]["store"]
    house.root.with_name("away").rename(house.root)
    assert (await pushed.get("/readyz")).status == 200


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "files and connections open"),
        (OSError(errno.ENFILE, os.strerror(errno.ENFILE)), "files and connections open"),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), "memory"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "disk does not work"),
        (MemoryError(), "memory"),
        (RuntimeError("can't start new thread"), "no more threads"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_a_machine_lacks_is_told_as_such(
    pushed: Client,
    house: FakeService,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    error: Exception,
    told: str,
) -> None:
    status, ask = ASKED[name]

    async def fail(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(FilesystemStore, "_run", fail)
        sentence = sentence_of(await ask(pushed))
        assert sentence == "" or told in sentence
    assert (await ask(pushed)).status == status


@pytest.mark.skipif(os.getuid() != 0, reason="only the superuser makes file systems")
async def test_a_small_disk_that_is_full_or_read_only_is_told_as_such(
    pushed: Client, house: FakeService
) -> None:
    shutil.rmtree(house.root / ".tmp")
    kept = house.root.with_name("kept")
    house.root.rename(kept)
    house.root.mkdir()
    if not run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(house.root)):
        pytest.skip("nothing can be mounted here")
    try:
        large = os.urandom(70_000)
        url = f"/v2/{REPOSITORY}/blobs/uploads/?digest={digest_of(large)}"
        assert "the store is full" in sentence_of(await pushed.post(url, large))
        assert (await ASKED["whole upload"][1](pushed)).status == 201
        assert run("mount", "-o", "remount,ro", str(house.root))
        assert "cannot be written" in sentence_of(await ASKED["whole upload"][1](pushed))
        assert (await ASKED["blob"][1](pushed)).status == 200
        assert run("mount", "-o", "remount,rw", str(house.root))
        assert (await ASKED["whole upload"][1](pushed)).status == 201
    finally:
        assert run("umount", "-l", str(house.root))


def test_the_store_alone_never_makes_its_directory_again(tmp_path: Path) -> None:
    store = FilesystemStore(tmp_path / "store")
    shutil.rmtree(tmp_path / "store")
    store.close()
    assert not (tmp_path / "store").exists()
