"""Listings out of a server's memory: what is in them, what they cost, and who shares them."""

import asyncio
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from registry.catalog import active_versions
from registry.catalog.active_versions import ActiveVersions, Listing, Wish
from registry.catalog.active_waiting import ActiveWaiting
from registry.catalog.pointers import pointers_at
from registry.catalog.records import EVERYTHING, Visibility
from registry.errors import TooManyWaiting
from registry.sources.directory import Directory, Pointer
from tests.registry.catalog.house import House

pytestmark = pytest.mark.anyio


def pointer(path: str, *keys: str, active: int | None = 1, is_archived: bool = False) -> Pointer:
    """Return where an environment leads to that has a version for each key."""
    namespace, _, environment = path.partition("/")
    versions = dict(enumerate(keys, 1))
    return Pointer(
        namespace,
        environment,
        versions.get(active or 0),
        versions,
        (),
        is_public=False,
        active_number=active,
        created={number: 86_400.0 * number for number in versions},
        is_archived=is_archived,
    )


class Blocks:
    """Knows what a test has blocked, and of which keys it cannot tell."""

    def __init__(self) -> None:
        self.generation = 0
        self.blocked: set[str] = set()
        self.variants: set[str] = set()
        self.unknown: set[str] = set()
        self.asked: list[str] = []

    def keys(self) -> set[str]:
        return self.blocked

    def is_clear(self, name: str) -> bool:
        uncertain = self.blocked | self.variants | self.unknown
        return not self.blocked or (name in self.asked and name not in uncertain)

    async def sentence(self, key: str | None) -> str | None:
        assert key is not None
        self.asked.append(key)
        return "nobody may" if key in self.blocked | self.variants else None


class Changes:
    """Tells of changes when a test says so."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self.is_followed = asyncio.Event()

    async def changed(self, timeout_seconds: float) -> None:
        self.is_followed.set()
        await self._changed.wait()

    def tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def listed(listing: Listing) -> list[tuple[str, int]]:
    items = json.loads(listing.data)["items"]
    return [(f"{one['namespace']}/{one['environment']}", one["number"]) for one in items]


def filled(count: int, versions: int = 1) -> Directory:
    directory = Directory()
    for one in range(count):
        keys = [f"{one:030x}{number:02x}" for number in range(versions)]
        directory.put(pointer(f"team-{one % 50:02}/env-{one:05}", *keys, active=versions))
    return directory


async def test_they_are_sorted_by_namespace_environment_and_number() -> None:
    directory = Directory()
    for path in ("b/a", "a-b/x", "a/z", "a/b", "a.b/c"):
        directory.put(pointer(path, "k1", "k2", "k3", active=2))
    versions = ActiveVersions(directory, Blocks())
    found = listed(await versions.list(Wish(EVERYTHING, versions=1)))
    order = ("a/b", "a/z", "a-b/x", "a.b/c", "b/a")
    assert found == [(path, number) for path in order for number in (2, 3)]


async def test_an_environment_without_an_active_version_has_those_that_are_wished() -> None:
    directory = Directory()
    directory.put(pointer("a/none", active=None))
    directory.put(pointer("a/some", "k1", "k2", active=None))
    directory.put(pointer("a/put-away", "k1", is_archived=True))
    versions = ActiveVersions(directory, Blocks())
    assert listed(await versions.list(Wish(EVERYTHING))) == []
    assert listed(await versions.list(Wish(EVERYTHING, versions=1))) == [("a/some", 2)]
    every = Wish(EVERYTHING, versions=None)
    assert listed(await versions.list(every)) == [("a/some", 1), ("a/some", 2)]


async def test_equal_wishes_are_answered_once_until_something_changes() -> None:
    directory = filled(10)
    versions = ActiveVersions(directory, Blocks())
    wish = Wish(EVERYTHING)
    first, again = await asyncio.gather(versions.list(wish), versions.list(wish))
    assert again is first
    other = await versions.list(Wish(EVERYTHING, (("team-00", "*"),)))
    assert other.etag != first.etag
    assert await versions.list(Wish(EVERYTHING)) is first
    directory.put(pointer("team-00/env-00000", "new"))
    changed = await versions.list(wish)
    assert changed.etag != first.etag
    directory.put(pointer("team-00/env-00000", f"{0:030x}00"))
    assert (await versions.list(wish)).etag == first.etag


async def test_what_is_blocked_goes_and_is_named() -> None:
    directory, blocks = Directory(), Blocks()
    directory.put(pointer("a/b", "old", "stolen", "variant", active=3))
    directory.put(pointer("a/put-away", "stolen-too", is_archived=True))
    versions = ActiveVersions(directory, blocks)
    every = Wish(EVERYTHING, versions=None)
    assert len(listed(await versions.list(every))) == 3
    blocks.blocked |= {"stolen", "stolen-too", "of-others"}
    blocks.variants.add("variant")
    blocks.generation += 1
    found = json.loads((await versions.list(every)).data)
    assert [one["key"] for one in found["items"]] == ["old"]
    assert found["blocked"] == ["stolen", "stolen-too", "variant"]
    asked = len(blocks.asked)
    directory.put(pointer("a/new", "fresh"))
    await versions.list(every)
    assert blocks.asked[asked:] == ["fresh", "variant"], "what is clear is not asked again"


async def test_what_is_not_certain_is_asked_again() -> None:
    directory, blocks = Directory(), Blocks()
    directory.put(pointer("a/b", "perhaps"))
    blocks.blocked.add("other")
    blocks.unknown.add("perhaps")  # the store does not answer
    versions = ActiveVersions(directory, blocks)
    assert listed(await versions.list(Wish(EVERYTHING))) == [("a/b", 1)]
    blocks.variants.add("perhaps")
    assert listed(await versions.list(Wish(EVERYTHING))) == []


async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = ActiveVersions(filled(100), Blocks())
    monkeypatch.setattr(active_versions, "_KEPT_BYTES", 30_000)
    for team in range(50):
        await versions.list(Wish(EVERYTHING, ((f"team-{team:02}", "*"),)))
        assert sum(len(one.data) for one in versions._listings.values()) <= 30_000
    whole = await versions.list(Wish(EVERYTHING))
    assert len(whole.data) > 10_000


async def test_hostile_globs_and_thousands_of_environments_take_moments() -> None:
    versions = ActiveVersions(filled(10_000), Blocks())
    globs = tuple(("*t*e*m*", f"*e*n*v*{number:03}*x") for number in range(20))
    began = time.process_time()
    assert listed(await versions.list(Wish(EVERYTHING, globs))) == []
    assert time.process_time() - began < 20
    many = Visibility(tuple(("team-01", f"*{number:03}*x") for number in range(2000)))
    began = time.process_time()
    for number in range(20):
        await versions.list(Wish(many, (("*", f"*{number}"),)))
    assert time.process_time() - began < 20, "globs are held against a name once"


async def test_the_rows_of_a_version_have_all_that_is_told(house: House) -> None:
    await house.environment("ada/notebook")
    version = await house.built("ada/notebook", b"a")
    async with house.database.reading() as connection:
        found = (await pointers_at(connection, ["ada/notebook"]))["ada/notebook"]
    assert found is not None
    assert found.active_number == version.number == 1
    assert found.created == {1: version.created_at.timestamp()}
    directory = Directory()
    directory.put(found)
    listing = await ActiveVersions(directory, Blocks()).list(Wish(EVERYTHING))
    told: dict[str, Any] = json.loads(listing.data)["items"][0]
    assert datetime.fromisoformat(told["created_at"]) == version.created_at.astimezone(UTC)


async def test_thousands_who_wait_for_the_same_are_one_question() -> None:
    directory, changes = filled(3), Changes()
    versions = ActiveVersions(directory, Blocks())
    waiting = ActiveWaiting(versions, changes.changed)
    known = (await versions.list(Wish(EVERYTHING))).etag
    asked = 0

    def wish() -> Wish:
        nonlocal asked
        asked += 1
        return Wish(EVERYTHING)

    waits: Sequence[asyncio.Task[None]] = [
        asyncio.create_task(waiting.wait("node", wish, lambda etag: etag == known, 60))
        for _ in range(3000)
    ]
    await asyncio.wait_for(changes.is_followed.wait(), 60)
    while not waiting._watches["node"].etag:
        await waiting._watches["node"].changed.wait()
    directory.put(pointer("a/new", "k"))
    changes.tell()
    await asyncio.gather(*waits)
    assert asked == 2
    assert (waiting._watches, waiting._asking) == ({}, {})


async def test_nobody_waits_for_who_is_nobody_any_more_or_beyond_the_time() -> None:
    changes = Changes()
    waiting = ActiveWaiting(ActiveVersions(filled(1), Blocks()), changes.changed)
    await waiting.wait("gone", lambda: None, lambda _: True, 60)
    await waiting.wait("late", lambda: Wish(EVERYTHING), lambda _: True, 0.01)
    assert (waiting._watches, waiting._asking) == ({}, {})


async def test_a_question_that_fails_holds_up_nobody() -> None:
    changes = Changes()
    waiting = ActiveWaiting(ActiveVersions(filled(1), Blocks()), changes.changed)

    def broken() -> Wish:
        raise RuntimeError("a bug")

    await waiting.wait("broken", broken, lambda _: True, 60)
    await waiting.wait("broken", lambda: Wish(EVERYTHING), lambda _: False, 60)


async def test_only_so_many_of_somebody_have_room() -> None:
    waiting = ActiveWaiting(ActiveVersions(filled(1), Blocks()), Changes().changed)
    with ExitStack() as stack:
        for who in ("ada", "ada", "bob"):
            stack.enter_context(waiting.room(who, 2))
        with pytest.raises(TooManyWaiting):
            stack.enter_context(waiting.room("ada", 2))
    with waiting.room("ada", 1):
        pass
    assert not waiting._waiting
