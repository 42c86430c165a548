"""Lists and searches of a large catalog; ``make bench`` measures a larger one."""

import pytest

from registry.catalog.records import EVERYTHING, Visibility
from tests.registry.catalog.house import House
from tests.registry.catalog.many import fill
from tests.registry.catalog.speed import Ask, slow

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


async def test_nothing_takes_long_in_a_large_catalog(house: House) -> None:
    await fill(house.database, environments=5000, versions=4)
    some = Visibility((*((f"team-{one:04}", "*") for one in range(0, 200, 7)), ("*", "env-0*5")))
    search, events = house.environments.search, house.events.latest
    asked: dict[str, Ask] = {
        "list": lambda: search(EVERYTHING, limit=100),
        "what I see": lambda: search(some, limit=100),
        "nothing found": lambda: search(some, search="nothing like it"),
        "package": lambda: search(EVERYTHING, package="openssl"),
        "version": lambda: search(EVERYTHING, package="openssl", version="3.2.4"),
        "no package": lambda: search(EVERYTHING, package="none"),
        "namespaces": lambda: house.namespaces.list(some, limit=100),
        "versions": lambda: house.versions.list("team-0077", "env-00077"),
        "events": lambda: events(visible=some),
        "its events": lambda: events(visible=some, namespace="team-0077"),
    }
    assert await slow(asked, lambda: house.environments.get("team-0077", "env-00077")) == {}


async def test_the_pages_of_a_large_catalog_have_everything_once(house: House) -> None:
    await fill(house.database, namespaces=30, environments=1000, versions=1, packages=1)
    found: list[str] = []
    after = None
    while True:
        page = await house.environments.search(EVERYTHING, after=after, limit=97)
        found += [one.path for one in page.items]
        after = page.next
        if after is None:
            break
    assert len(found) == len(set(found)) == 1000
    assert found == sorted(found)
    await house.follower.start()
    assert set(house.memory.pointers) == set(found)
