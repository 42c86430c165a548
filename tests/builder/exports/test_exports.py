"""Forms of a tiny channel's locks, through everything that makes them."""

import asyncio
import datetime
import hashlib
import json
import tarfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from builder.build.image import Flavour
from builder.errors import LockError, PackageUnavailable
from builder.exports import EXPORTS, ExportFormat, Exports
from builder.keys import FORMS as FORMS_PREFIX
from builder.keys import blob_key
from builder.lock import Lock, from_yaml
from builder.oci.digest import Digest
from builder.ports import Progress, ProgressListener
from registry.cli.session import NullMetrics
from registry.settings import Settings
from registry.wiring.building import Builder, open_builder
from tests.tiny_channel import write_tiny_channel

TODAY = datetime.date(2026, 1, 1)
WHOLE: tuple[ExportFormat, ...] = ("lock", "pixi.lock", "provenance")


def on_progress(_progress: Progress) -> None:
    """Take no note."""


@dataclass
class Workshop:
    """A builder on the tiny channel, with forms."""

    builder: Builder
    lock: Lock
    forms: Exports
    #: Flavours of images that forms asked for.
    built: list[Flavour] = field(default_factory=list)

    async def read(self, form: ExportFormat) -> bytes:
        file = await self.forms.get(self.lock, form, None, on_progress)
        data = await self.builder.store.read(file.key)
        assert data is not None
        assert file.size_bytes == len(data)
        return data

    async def kept(self) -> list[str]:
        return [entry.key async for entry in self.builder.store.entries(FORMS_PREFIX)]


@asynccontextmanager
async def open_workshop(root: Path, name: str = "env/tool") -> AsyncIterator[Workshop]:
    if not (root / "channel").exists():
        await asyncio.to_thread(write_tiny_channel, root / "channel")
    settings = Settings(
        store=str(root / "store"),
        channels={"main": f"file://{root / 'channel'}"},
        default_channels=["main"],
        workers=1,
    )
    async with open_builder(settings, NullMetrics()) as builder:
        spec = await builder.resolver.spec(name, "bare", builder.policy, TODAY)
        lock = await builder.resolver.lock(spec, on_progress)
        built: list[Flavour] = []

        async def build(lock: Lock, flavour: Flavour, on_progress: ProgressListener) -> Digest:
            built.append(flavour)
            return (await builder.pipeline.build(lock, flavour, on_progress)).top.digest

        forms = builder.forms(build, None)
        try:
            yield Workshop(builder, lock, forms, built)
        finally:
            await forms.close()


def test_every_form_is_made_once_and_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_workshop(tmp_path) as shop:
            first = {form: await shop.read(form) for form in EXPORTS}
            keys = await shop.kept()
            files = {
                form: f"forms/{shop.lock.key}/{scope_of(form)}/{kind.format}/{form}"
                for form, kind in EXPORTS.items()
            }
            digests = [
                f"{files[one]}.digest" for one in files if ".tar." in one or "installation" in one
            ]
            assert sorted(keys) == sorted([*files.values(), *digests])
            built = list(shop.built)
            assert {form: await shop.read(form) for form in EXPORTS} == first
            assert shop.built == built

    asyncio.run(scenario())


def scope_of(form: ExportFormat) -> str:
    return "linux-64" if EXPORTS[form].scope == "one" else "all"


def test_what_was_deleted_is_made_again_with_the_same_bytes(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_workshop(tmp_path) as shop:
            first = {form: hashlib.sha256(await shop.read(form)).hexdigest() for form in EXPORTS}
            async for entry in shop.builder.store.entries("forms/"):
                await shop.builder.store.delete(entry.key)
            again = {form: hashlib.sha256(await shop.read(form)).hexdigest() for form in EXPORTS}
            assert again == first

    asyncio.run(scenario())


def test_many_who_ask_at_once_wait_for_one_work(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_workshop(tmp_path) as shop:
            asked = [shop.forms.get(shop.lock, "image.tar", None, on_progress) for _ in range(20)]
            files = await asyncio.gather(*asked)
            assert len(set(files)) == 1
            assert shop.built == ["oci-gzip"]

    asyncio.run(scenario())


def test_who_leaves_does_not_stop_the_work(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_workshop(tmp_path) as shop:
            started = asyncio.Event()
            leaving = asyncio.create_task(
                shop.forms.get(shop.lock, "archive.tar.zst", None, lambda _: started.set())
            )
            await started.wait()
            staying = asyncio.create_task(
                shop.forms.get(shop.lock, "archive.tar.zst", None, on_progress)
            )
            leaving.cancel()
            assert (await staying).size_bytes > 0

    asyncio.run(scenario())


def test_the_lock_reads_back_and_the_archive_has_every_package(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_workshop(tmp_path) as shop:
            assert from_yaml(await shop.read("lock")).key == shop.lock.key
            file = await shop.forms.get(shop.lock, "archive.tar.gz", "linux-64", on_progress)
            path = await shop.builder.store.local_path(file.key, tmp_path)
            assert path is not None
            with tarfile.open(path) as archive:
                names = archive.getnames()
            assert "bin/tool" in names
            assert "lib/library.txt" in names
            assert "bin/conda-unpack" in names
            assert file.file_name == f"{shop.lock.key}-linux-64.tar.gz"
            assert file.media_type == "application/gzip"

    asyncio.run(scenario())


def test_an_image_tar_has_the_config_of_the_image(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_workshop(tmp_path) as shop:
            image = await shop.builder.pipeline.build(shop.lock, "oci-zstd", on_progress)
            config = json.loads(image.top.data)["config"]["digest"]
            file = await shop.forms.get(shop.lock, "image.tar", None, on_progress)
            path = await shop.builder.store.local_path(file.key, tmp_path)
            assert path is not None
            with tarfile.open(path) as archive:
                saved = archive.extractfile("manifest.json")
                assert saved is not None
                (entry,) = json.load(saved)
            assert entry["Config"] == f"blobs/sha256/{config.removeprefix('sha256:')}"

    asyncio.run(scenario())


def test_a_blob_evicted_while_the_tar_is_written_is_built_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_workshop(tmp_path) as shop:
            original = shop.forms._build
            evictions = 0

            async def build_and_evict(
                lock: Lock, flavour: Flavour, on_progress: ProgressListener
            ) -> Digest:
                nonlocal evictions
                top = await original(lock, flavour, on_progress)
                if not evictions:
                    evictions += 1
                    data = await shop.builder.store.read(blob_key(top))
                    layer = json.loads(data or b"")["layers"][0]["digest"]
                    await shop.builder.store.delete(blob_key(layer))
                return top

            shop.forms._build = build_and_evict
            file = await shop.forms.get(shop.lock, "image.tar", None, on_progress)
            assert file.size_bytes > 0
            assert evictions == 1

    asyncio.run(scenario())


def test_a_platform_that_the_lock_does_not_have_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_workshop(tmp_path) as shop:
            for form in EXPORTS:
                with pytest.raises(LockError, match="and not linux-aarch64"):
                    await shop.forms.get(shop.lock, form, "linux-aarch64", on_progress)
            assert await shop.kept() == []

    asyncio.run(scenario())


def test_forms_of_the_whole_lock_are_kept_once_whatever_platform_is_asked(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_workshop(tmp_path) as shop:
            for form in WHOLE:
                one = await shop.forms.get(shop.lock, form, "linux-64", on_progress)
                assert one == await shop.forms.get(shop.lock, form, None, on_progress)

    asyncio.run(scenario())


def test_a_form_that_cannot_be_made_leaves_nothing_and_is_tried_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_workshop(tmp_path) as shop:
            channel, away = tmp_path / "channel", tmp_path / "away"
            channel.rename(away)
            with pytest.raises((PackageUnavailable, FileNotFoundError)):
                await shop.forms.get(shop.lock, "archive.tar.gz", None, on_progress)
            assert await shop.kept() == []
            away.rename(channel)
            assert (await shop.forms.get(shop.lock, "archive.tar.gz", None, on_progress)).size_bytes

    asyncio.run(scenario())


def test_nothing_of_a_form_stays_in_scratch(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_workshop(tmp_path) as shop:
            for form in EXPORTS:
                await shop.read(form)
            assert list(shop.forms._scratch.iterdir()) == []

    asyncio.run(scenario())


def test_bytes_to_fetch_are_those_of_layers_that_the_other_image_lacks(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with open_workshop(tmp_path, "env/library") as shop:
            spec = await shop.builder.resolver.spec("env/tool", "bare", shop.builder.policy, TODAY)
            larger = await shop.builder.resolver.lock(spec, on_progress)
            same = await shop.forms.fetched_bytes(shop.lock, shop.lock, on_progress)
            assert same == {"linux-64": 0}
            more = await shop.forms.fetched_bytes(shop.lock, larger, on_progress)
            manifest = (await shop.builder.pipeline.build(larger, "oci-zstd", on_progress)).top
            parts = json.loads(manifest.data)
            assert (
                0
                < more["linux-64"]
                <= parts["config"]["size"] + sum(layer["size"] for layer in parts["layers"])
            )

    asyncio.run(scenario())
