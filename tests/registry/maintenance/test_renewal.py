import json
from pathlib import Path

import pytest

from builder.ports import Store
from registry.maintenance.renewal import Renewal
from registry.settings import Settings
from registry.storage.filesystem import FilesystemStore
from registry.storage.layout import image_key, solve_key, tag_key, used_key
from registry.web.services import Services
from registry.wiring.services import open_services
from tests.registry.maintenance.clock import Clock
from tests.registry.pulling import built, pull
from tests.tiny_channel import IN_2025, publish, tool, write_tiny_channel

pytestmark = pytest.mark.anyio

TTL = 3600.0
DAY = 86_400.0
#: The names that the tests use.
TOOL, TAG = "env/tool", "bare"


class House:
    """A service on a tiny channel, with a clock that is moved."""

    def __init__(self, root: Path) -> None:
        self.clock = Clock(IN_2025 / 1000 + 365 * DAY)
        self.channel = root / "channel"
        write_tiny_channel(self.channel)
        self.settings = Settings(
            store=str(root / "store"),
            channels={"main": f"file://{self.channel}"},
            default_channels=["main"],
            workers=1,
            latest_ttl_seconds=TTL,
            repodata_ttl_seconds=0.000001,
            renew_hours=0,
        )

    def renewal(self, services: Services, store: Store) -> Renewal:
        return Renewal(store, built(services), self.clock)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def shelf(house: House) -> FilesystemStore:
    return FilesystemStore(Path(house.settings.store))


async def pulled_key(services: Services) -> str | None:
    manifest = await pull(services, TOOL, TAG)
    return manifest.build


async def entry(store: Store) -> dict[str, object]:
    data = await store.read(tag_key(TOOL, TAG))
    assert data is not None
    found: dict[str, object] = json.loads(data)
    return found


async def test_what_was_pulled_lately_is_new_before_it_expires(
    house: House, shelf: FilesystemStore
) -> None:
    async with open_services(house.settings, now=house.clock) as services:
        first = await pulled_key(services)
        await publish(house.channel, tool("3.0", IN_2025))
        house.clock.now += TTL - 60
        renewal = house.renewal(services, shelf)
        await renewal.renew(within_seconds=TTL / 2, used_seconds=DAY)
        renewed = await entry(shelf)
        assert renewed["key"] != first
        assert renewed["fresh_until"] == house.clock.now + TTL
        house.clock.now += 120
        assert await pulled_key(services) == renewed["key"]


async def test_it_is_renewed_again_although_nobody_has_pulled_what_was_renewed(
    house: House, shelf: FilesystemStore
) -> None:
    async with open_services(house.settings, now=house.clock) as services:
        await pulled_key(services)
        renewal = house.renewal(services, shelf)
        for version in ("3.0", "4.0"):
            await publish(house.channel, tool(version, IN_2025))
            house.clock.now += TTL
            await renewal.renew(within_seconds=TTL / 2, used_seconds=DAY)
            assert (await entry(shelf))["fresh_until"] == house.clock.now + TTL


async def test_what_nobody_pulls_any_more_is_left_as_it_is(
    house: House, shelf: FilesystemStore
) -> None:
    async with open_services(house.settings, now=house.clock) as services:
        await pulled_key(services)
        before = await entry(shelf)
        house.clock.now += DAY + TTL
        await house.renewal(services, shelf).renew(within_seconds=TTL / 2, used_seconds=DAY)
        assert await entry(shelf) == before


async def test_what_is_fresh_for_long_or_for_ever_is_not_solved_again(
    house: House, shelf: FilesystemStore
) -> None:
    async with open_services(house.settings, now=house.clock) as services:
        await pulled_key(services)
        before = await entry(shelf)
        solved = solve_key(str(before["spec"]))
        await shelf.delete(solved)
        await house.renewal(services, shelf).renew(within_seconds=TTL / 2, used_seconds=DAY)
        assert await shelf.read(solved) is None


async def test_each_flavour_that_was_pulled_is_made_new(
    house: House, shelf: FilesystemStore
) -> None:
    async with open_services(house.settings, now=house.clock) as services:
        await pulled_key(services)
        await pull(services, TOOL, TAG, "docker-gzip")
        await publish(house.channel, tool("3.0", IN_2025))
        house.clock.now += TTL
        await house.renewal(services, shelf).renew(within_seconds=TTL / 2, used_seconds=DAY)
        key = str((await entry(shelf))["key"])
        made = [
            await shelf.size(image_key(key, flavour)) is not None
            for flavour in ("oci-zstd", "oci-gzip", "docker-gzip")
        ]
        assert made == [True, False, True]
        assert await shelf.size(used_key(key)) is not None


async def test_what_is_prewarmed_is_there_and_what_cannot_be_made_stops_nothing(
    house: House, shelf: FilesystemStore
) -> None:
    async with open_services(house.settings, now=house.clock) as services:
        renewal = house.renewal(services, shelf)
        await renewal.prewarm(["env/nunpy:bare", f"{TOOL}:{TAG}"])
        first = await entry(shelf)
        await renewal.prewarm([f"{TOOL}:{TAG}"])  # it has not expired: nothing is done
        assert await entry(shelf) == first
        house.clock.now += TTL
        await renewal.prewarm([f"{TOOL}:{TAG}"])
        assert (await entry(shelf))["fresh_until"] == house.clock.now + TTL
