"""What docs/backup.md says is enough, is enough."""

import shutil
from pathlib import Path

import pytest

from registry.maintenance.scrub import Scrub
from registry.settings import Settings
from registry.storage.filesystem import FilesystemStore
from tests.registry.maintenance.test_beside_pulls import ACCEPT, NAMES, open_house, pull, settings

__all__ = ["settings"]  # the fixture

pytestmark = pytest.mark.anyio

BACKED_UP = ("images", "pins", "repositories", "origins", "solves", "used", "locks")


def keep_only(store: Path, *names: str) -> None:
    for path in store.iterdir():
        if path.name not in names:
            shutil.rmtree(path)


async def test_a_store_that_was_restored_serves_the_same_digests(settings: Settings) -> None:
    async with open_house(settings) as client:
        before = {name: await pull(client, name) for name in NAMES}
    keep_only(Path(settings.store), *BACKED_UP)
    async with open_house(settings) as client:
        for name, sizes in before.items():
            manifest, *blobs = sizes
            paths = [f"manifests/{manifest}", *(f"blobs/{digest}" for digest in blobs)]
            for path in paths:
                reply, _ = await client.follow("GET", f"/v2/{name}/{path}", ACCEPT)
                assert reply.status == 200, reply
                assert len(reply.body) == sizes[path.partition("/")[2]]
        assert {name: await pull(client, name) for name in NAMES} == before
    store = FilesystemStore(Path(settings.store))
    report = await Scrub(store, delete=False, threads=2, on_progress=lambda _: None).run()
    store.close()
    assert report.findings == []


async def test_locks_alone_are_enough_to_make_a_build_again(settings: Settings) -> None:
    async with open_house(settings) as client:
        before = await pull(client, "env/tool")
    keep_only(Path(settings.store), "locks")
    (lock,) = list((Path(settings.store) / "locks").glob("*"))
    async with open_house(settings) as client:
        assert await pull(client, f"build/{lock.stem}", "latest") == before
