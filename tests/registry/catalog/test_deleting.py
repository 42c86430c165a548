import pytest
from sqlalchemy import update

from registry.catalog.build_ids import BuildIds
from registry.database import tables
from registry.errors import EndpointUnknown, VersionInUse
from tests.registry.catalog.house import ADA, House

pytestmark = pytest.mark.anyio

PATH = "analytics/forecast"
PLACE = ("analytics", "forecast")


async def test_a_version_that_is_deleted_is_no_build_until_it_is_active_again(
    house: House,
) -> None:
    ids = BuildIds(house.database)
    await house.environment()
    await house.built(PATH, b"one")
    first = await ids.id_of(*PLACE, 1)
    found = await ids.place(first)
    assert (found.id, found.path, found.number) == (first, PATH, 1)
    with pytest.raises(VersionInUse, match="is the active one"):
        await house.versions.delete(ADA, *PLACE, 1)
    await house.built(PATH, b"two")
    for _ in range(2):
        await house.versions.delete(ADA, *PLACE, 1)
    with pytest.raises(EndpointUnknown):
        await ids.place(first)
    version = await house.versions.get(*PLACE, 1)
    assert version.state == "built"
    assert version.freed_at is not None
    actions = await house.actions(PATH)
    assert actions.count("version.deleted") == 1
    await house.versions.activate(ADA, *PLACE, 1)
    assert (await ids.place(first)).number == 1


async def test_what_is_under_way_is_not_deleted_and_what_failed_is(house: House) -> None:
    await house.environment()
    await house.versions.ask(ADA, *PLACE, b"one")
    with pytest.raises(VersionInUse, match="cancel it first"):
        await house.versions.delete(ADA, *PLACE, 1)
    await house.versions.cancel(ADA, *PLACE, 1)
    await house.versions.delete(ADA, *PLACE, 1)
    assert (await house.versions.get(*PLACE, 1)).freed_at is None


async def test_builds_of_what_is_deleted_are_not_found(house: House) -> None:
    ids = BuildIds(house.database)
    await house.environment()
    await house.built(PATH, b"one")
    first = await ids.id_of(*PLACE, 1)
    for number in (0, -1, first + 1, 2**63 - 1, 2**80):
        with pytest.raises(EndpointUnknown):
            await ids.place(number)
    async with house.database.writing() as connection:
        await connection.execute(update(tables.environment).values(deleted_at=house.database.now()))
    with pytest.raises(EndpointUnknown):
        await ids.place(first)
