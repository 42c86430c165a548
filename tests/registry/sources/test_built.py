import asyncio
import hashlib
import json
import os
import resource
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.build.image import KEY_ANNOTATION, Flavour
from builder.errors import BuilderError, CorruptPackage, StoreUnavailable, UnknownPackage
from builder.oci.digest import Digest, digest_of
from conformance.channel.writer import Entry, Package
from registry.content.manifests import Manifest
from registry.content.names import parse_repository
from registry.errors import ManifestUnknown, NameUnknown, StillBuilding
from registry.settings import Settings
from registry.web.services import Services
from registry.wiring.services import open_services
from tests.registry import pulling
from tests.registry.pulling import built, reference
from tests.tiny_channel import IN_2025, publish, tool, write_tiny_channel

REPOSITORY, TAG = "env/tool", "bare"
IN_2026 = IN_2025 / 1000 + 365 * 86_400
NAME = parse_repository(REPOSITORY)
WAIT_SECONDS = 60


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = IN_2026

    def __call__(self) -> float:
        return self.now


@dataclass
class House:
    """A service on a tiny channel, which can be closed and opened again."""

    root: Path
    clock: Clock

    @property
    def channel(self) -> Path:
        return self.root / "channel"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Services]:
        settings = Settings(
            store=str(self.root / "store"),
            channels={"main": f"file://{self.channel}"},
            default_channels=["main"],
            workers=1,
            latest_ttl_seconds=3600,
            error_ttl_seconds=30,
            repodata_ttl_seconds=0.000001,
        )
        async with open_services(settings, now=self.clock) as services:
            yield services

    def blobs(self) -> list[Path]:
        return [path for path in (self.root / "store" / "blobs").rglob("*") if path.is_file()]


@pytest.fixture
def house(tmp_path: Path) -> House:
    write_tiny_channel(tmp_path / "channel")
    return House(tmp_path, Clock())


async def pull(
    services: Services,
    repository: str = REPOSITORY,
    tag: str = TAG,
    flavour: Flavour = "oci-zstd",
    wait: float = WAIT_SECONDS,
) -> Manifest:
    return await pulling.pull(services, repository, tag, flavour, wait)


def counted(services: Services, name: str) -> float:
    """Return a metric's value, summed over its labels."""
    lines = services.metrics.render().decode().splitlines()
    return sum(
        float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith((f"{name} ", f"{name}{{"))
    )


def layers(manifest: Manifest) -> list[str]:
    return [layer["digest"] for layer in json.loads(manifest.data)["layers"]]


def test_a_first_pull_builds_and_a_second_answers_the_same_from_memory(house: House) -> None:
    async def scenario() -> None:
        async with house.open() as services:
            first = await pull(services)
            assert await pull(services) == first
            assert counted(services, "pullforge_solves_total") == 1

    asyncio.run(scenario())


def test_fifty_pulls_at_once_are_one_solve_and_one_assembly_of_each_layer(house: House) -> None:
    async def scenario() -> None:
        async with house.open() as services:
            answers = await asyncio.gather(*(pull(services) for _ in range(50)))
            assert len({answer.digest for answer in answers}) == 1
            assert counted(services, "pullforge_solves_total") == 1
            made = counted(services, "pullforge_layer_assemblies_total")
            assert made == len(layers(answers[0]))

    asyncio.run(scenario())


def test_names_that_mean_the_same_have_the_same_image(house: House) -> None:
    async def scenario() -> None:
        async with house.open() as services:
            one = await pull(services, "env/tool.library")
            other = await pull(services, "env/library/tool.tool")
            assert one == other
            assert counted(services, "pullforge_solves_total") <= 2

    asyncio.run(scenario())


def test_what_was_pulled_once_is_answered_after_a_restart_without_the_channel(
    house: House,
) -> None:
    async def scenario() -> None:
        async with house.open() as services:
            first = await pull(services)
        shutil.rmtree(house.channel)
        async with house.open() as services:
            assert await pull(services) == first
            assert counted(services, "pullforge_solves_total") == 0

    asyncio.run(scenario())


def test_an_old_answer_is_served_at_once_and_renewed_behind_it(house: House) -> None:
    async def scenario() -> None:
        async with house.open() as services:
            old = await pull(services)
            await publish(house.channel, tool("3.0", IN_2025))
            house.clock.now += 4000
            assert await pull(services) == old
            await _settle(services)
            assert layers(await pull(services)) != layers(old)

    asyncio.run(scenario())


def test_what_another_server_has_renewed_is_served_instead_of_an_old_answer(house: House) -> None:
    async def scenario() -> None:
        async with house.open() as one, house.open() as other:
            old = await pull(one)
            await publish(house.channel, tool("3.0", IN_2025))
            house.clock.now += 4000
            await built(other).ensure(reference(REPOSITORY, TAG), max_age=0)
            new = await pull(one)
            assert layers(new) != layers(old)
            assert counted(one, "pullforge_solves_total") == 1

    asyncio.run(scenario())


def test_what_is_at_hand_is_what_a_pull_would_get_until_there_is_something_to_do(
    house: House,
) -> None:
    def at_hand(services: Services) -> Manifest | None:
        return built(services).cached(reference(REPOSITORY, TAG), index=True)

    async def scenario() -> None:
        async with house.open() as services:
            assert at_hand(services) is None
            first = await pull(services)
            assert at_hand(services) == first
            assert built(services).cached_manifest(NAME, first.digest) == first
            assert built(services).cached_manifest(NAME, Digest(layers(first)[0])) is None
            assert counted(services, "pullforge_pulls_total") == 2
            house.clock.now += 3601  # to be renewed, and its use to be noted again
            assert at_hand(services) is None
            assert await pull(services) == first
            await _settle(services)
            assert at_hand(services) == first

    asyncio.run(scenario())


async def _settle(services: Services) -> None:
    """Wait until what goes on in the background has ended."""
    await asyncio.wait_for(built(services)._flights.settle(), WAIT_SECONDS)


def test_an_old_answer_stays_while_the_channel_is_down(house: House) -> None:
    async def scenario() -> None:
        async with house.open() as services:
            old = await pull(services)
            house.channel.rename(house.root / "elsewhere")
            house.clock.now += 4000
            assert await pull(services) == old
            await _settle(services)
            assert counted(services, 'pullforge_pulls_total{outcome="failed"}') == 1
            assert await pull(services) == old

    asyncio.run(scenario())


def test_a_date_gives_what_there_was_then_and_is_never_solved_again(house: House) -> None:
    async def scenario() -> None:
        async with house.open() as services:
            latest = await pull(services)
            dated = await pull(services, tag="2024-06-01-bare")
            assert layers(dated) != layers(latest)
            solves = counted(services, "pullforge_solves_total")
            house.clock.now += 10 * 365 * 86_400
            assert await pull(services, tag="2024-06-01-bare") == dated
            assert counted(services, "pullforge_solves_total") == solves

    asyncio.run(scenario())


def test_an_error_is_remembered_for_a_while_and_then_tried_again(house: House) -> None:
    async def scenario() -> None:
        async with house.open() as services:
            for _ in range(2):
                with pytest.raises(UnknownPackage, match="did you mean 'tool'"):
                    await pull(services, "env/tol")
            await publish(house.channel, tool("1.0", IN_2025))
            house.clock.now += 31
            with pytest.raises(UnknownPackage):
                await pull(services, "env/tol")
        assert house.blobs() == []

    asyncio.run(scenario())


def test_deleted_blobs_are_made_again_with_the_same_digests(house: House) -> None:
    async def scenario() -> None:
        async with house.open() as services:
            first = await pull(services)
        shutil.rmtree(house.root / "store" / "blobs")
        async with house.open() as services:
            assert await pull(services) == first
            assert {path.name for path in house.blobs()} >= {
                digest.removeprefix("sha256:") for digest in layers(first)
            }

    asyncio.run(scenario())


def test_every_flavour_shares_the_config(house: House) -> None:
    async def scenario() -> None:
        flavours: list[Flavour] = ["oci-zstd", "oci-gzip", "docker-gzip"]
        async with house.open() as services:
            answers = [await pull(services, flavour=flavour) for flavour in flavours]
            configs = {json.loads(a.data)["config"]["digest"] for a in answers}
            assert len(configs) == 1
            assert len({answer.digest for answer in answers}) == 3
            assert counted(services, "pullforge_solves_total") == 1

    asyncio.run(scenario())


def test_a_pull_that_does_not_wait_is_told_how_far_the_build_is(house: House) -> None:
    async def scenario() -> None:
        async with house.open() as services:
            with pytest.raises(StillBuilding, match="still being built"):
                await pull(services, wait=0)
            assert layers(await pull(services))

    asyncio.run(scenario())


def test_the_tags_of_a_name_are_those_that_were_pulled(house: House) -> None:
    async def scenario() -> None:
        async with house.open() as services:
            with pytest.raises(NameUnknown):
                await pulling.tags(services, REPOSITORY)
            await pull(services)
            await pull(services, tag="2024-06-01-bare")
            assert await pulling.tags(services, REPOSITORY) == ["2024-06-01-bare", "bare"]

    asyncio.run(scenario())


def test_a_tag_that_cannot_be_understood_costs_no_solve(house: House) -> None:
    async def scenario() -> None:
        async with house.open() as services:
            with pytest.raises(BuilderError, match="nightly"):
                await pull(services, tag="nightly")
            assert counted(services, "pullforge_solves_total") == 0

    asyncio.run(scenario())


def test_every_digest_answered_before_is_made_again_while_the_server_runs(house: House) -> None:
    async def scenario() -> None:
        async with house.open() as services:
            first = await pull(services)
            digests = [Digest(digest) for digest in [first.digest, *layers(first)]]
            before = {digest: await _read(services, digest) for digest in digests}
            for digest in digests:
                shutil.rmtree(house.root / "store" / "blobs")
                assert await built(services).restore(digest, timeout_seconds=WAIT_SECONDS)
                assert await _read(services, digest) == before[digest]

    asyncio.run(scenario())


async def _read(services: Services, digest: Digest) -> bytes:
    return b"".join([piece async for piece in services.blobs.stream(digest)])


def test_a_digest_that_was_never_answered_is_not_made(house: House) -> None:
    async def scenario() -> None:
        async with house.open() as services:
            await pull(services)
            unknown = digest_of(b"never made")
            assert not await built(services).restore(unknown, timeout_seconds=WAIT_SECONDS)

    asyncio.run(scenario())


def test_a_build_that_fails_leaves_no_lock_and_no_solve_and_heals_with_the_channel(
    house: House,
) -> None:
    async def scenario() -> None:
        archive = house.channel / "noarch" / "tool-2.0-0.conda"
        good = archive.read_bytes()
        archive.write_bytes(good[:-1] + b"x")
        async with house.open() as services:
            with pytest.raises(CorruptPackage):
                await pull(services)
            kept = {path.name for path in (house.root / "store").iterdir()}
            assert not kept & {"locks", "solves", "images", "repositories"}
            archive.write_bytes(good)
            house.clock.now += 31
            assert layers(await pull(services))

    asyncio.run(scenario())


def test_another_name_of_the_same_environment_needs_no_second_solve(house: House) -> None:
    async def scenario() -> None:
        async with house.open() as services:
            first = await pull(services, "env/tool.library")
            assert await pull(services, "env/library.tool") == first
            assert counted(services, "pullforge_solves_total") == 1

    asyncio.run(scenario())


def test_a_build_is_pulled_by_its_key_for_ever(house: House) -> None:
    async def scenario() -> None:
        async with house.open() as services:
            first = await pull(services)
            key = json.loads(first.data)["annotations"][KEY_ANNOTATION]
            assert await pull(services, f"build/{key}", "latest") == first
            assert await pulling.tags(services, f"build/{key}") == ["latest"]
        shutil.rmtree(house.root / "store" / "blobs")
        shutil.rmtree(house.root / "store" / "images")
        async with house.open() as services:
            assert await pull(services, f"build/{key}", "latest") == first
            assert counted(services, "pullforge_solves_total") == 0

    asyncio.run(scenario())


def test_a_key_that_is_not_here_and_a_tag_that_builds_do_not_have_are_refused(
    house: House,
) -> None:
    async def scenario() -> None:
        async with house.open() as services:
            key = json.loads((await pull(services)).data)["annotations"][KEY_ANNOTATION]
            for name in ("build/" + "0" * 32, "build/../../locks", "build/x"):
                with pytest.raises(NameUnknown, match="there is no build"):
                    await pull(services, name, "latest")
            for tag, told in (
                ("2024-01-01", "has no tag '2024-01-01': its tags are 'latest', and 'bare'"),
                ("py3.12", "has no tag 'py3.12': its tags"),
                ("latest-bare", "has no tag 'latest-bare': its tags"),
                ("bare-bare", "'bare' is said twice"),
                ("user1-user2", "'user2' is the second user"),
                ("user4294967295", "is not the number of a user"),
            ):
                with pytest.raises(ManifestUnknown, match=told):
                    await pull(services, f"build/{key}", tag)

    asyncio.run(scenario())


def test_a_full_disk_is_said_so_leaves_nothing_torn_and_passes(house: House) -> None:
    big = Package("big", "1.0", entries=[Entry("share/noise", data=os.urandom(4_000_000))])

    async def scenario() -> None:
        await publish(house.channel, big)
        async with house.open() as services:
            await pull(services)  # worker processes inherit no limit: they run already
            before = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
            try:
                with pytest.raises(StoreUnavailable, match="the store is full"):
                    await pull(services, "env/big")
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            house.clock.now += 31
            assert layers(await pull(services, "env/big"))
        for path in house.blobs():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name

    asyncio.run(scenario())
