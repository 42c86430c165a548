import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from registry.catalog import event_feed
from registry.catalog.event_feed import EventFeed, Place
from registry.catalog.records import Event
from registry.errors import DatabaseUnavailable, TooManyStreams

pytestmark = pytest.mark.anyio

EVERYWHERE: Place = (None, None)
ADA: Place = ("ada", None)
NOTEBOOK: Place = ("ada", "notebook")


class Happening:
    """Events that a test has happen, and how often they were asked for."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.asked = 0
        self.is_down = False
        self._changed = asyncio.Event()

    async def after(self, number: int, limit: int) -> Sequence[Event]:
        self.asked += 1
        if self.is_down:
            raise DatabaseUnavailable
        return [event for event in self.events if event.id > number][:limit]

    async def newest(self) -> int:
        return len(self.events)

    async def changed(self, timeout_seconds: float) -> None:
        await self._changed.wait()

    def happen(self, *places: Place) -> None:
        for namespace, environment in places:
            number = len(self.events) + 1
            at = datetime.now(UTC)
            self.events.append(
                Event(number, at, None, None, "", "said", namespace, environment, None, {})
            )
        self.tell()

    def tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def turns() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_events_are_read_once_for_all_who_follow() -> None:
    here = Happening()
    here.happen(NOTEBOOK)
    feed = EventFeed(here, here.changed)

    async def told(number: int) -> Sequence[Event]:
        async with feed.following(f"u{number}", NOTEBOOK) as woken:
            await asyncio.wait_for(woken.wait(), 5)  # knows where to begin
            woken.clear()
            await asyncio.wait_for(woken.wait(), 5)
            return feed.after(1, NOTEBOOK) or ()

    following = [asyncio.create_task(told(number)) for number in range(200)]
    await turns()
    here.happen(NOTEBOOK, ("ada", "other"))
    found = await asyncio.gather(*following)
    assert {tuple(event.id for event in events) for events in found} == {(2,)}
    assert here.asked <= 2


async def test_only_those_are_woken_whom_it_concerns() -> None:
    here = Happening()
    feed = EventFeed(here, here.changed)
    places = (EVERYWHERE, ADA, NOTEBOOK, ("bob", None), ("ada", "other"))
    async with (
        feed.following("a", places[0]) as everywhere,
        feed.following("a", places[1]) as ada,
        feed.following("a", places[2]) as notebook,
        feed.following("a", places[3]) as bob,
        feed.following("a", places[4]) as other,
    ):
        woken = [everywhere, ada, notebook, bob, other]
        await turns()
        for one in woken:
            one.clear()
        here.happen(NOTEBOOK)
        await turns()
        assert [one.is_set() for one in woken] == [True, True, True, False, False]
        assert [len(feed.after(0, place) or ()) for place in places] == [1, 1, 1, 0, 0]


async def test_who_is_far_behind_has_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_feed, "_KEPT", 3)
    here = Happening()
    feed = EventFeed(here, here.changed)
    assert feed.after(0, EVERYWHERE) is None
    async with feed.following("a", EVERYWHERE):
        await turns()
        here.happen(*[NOTEBOOK] * 5)
        await turns()
        assert feed.last == 5
        assert feed.after(1, EVERYWHERE) is None
        assert [event.id for event in feed.after(2, EVERYWHERE) or ()] == [3, 4, 5]
        assert feed.after(5, EVERYWHERE) == []
    assert feed.after(5, EVERYWHERE) is None


async def test_a_database_that_does_not_answer_ends_nothing() -> None:
    here = Happening()
    feed = EventFeed(here, here.changed)
    async with feed.following("a", EVERYWHERE):
        await turns()
        here.is_down = True
        here.happen(NOTEBOOK)
        await turns()
        assert feed.last == 0
        here.is_down = False
        here.tell()
        await turns()
        assert feed.last == 1


async def test_somebody_follows_so_many_and_others_are_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_feed, "MAX_STREAMS", 2)
    here = Happening()
    feed = EventFeed(here, here.changed)
    async with feed.following("ada", ADA), feed.following("bob", ADA):
        async with feed.following("ada", NOTEBOOK):
            with pytest.raises(TooManyStreams, match="2 streams"):
                async with feed.following("ada", EVERYWHERE):
                    pass
            feed.require_room("bob")
        feed.require_room("ada")


@pytest.mark.parametrize("turn", range(12))
async def test_reading_ends_with_the_last_who_follows_whatever_it_does_just_then(turn: int) -> None:
    happening = Happening()
    feed = EventFeed(happening, happening.changed)
    async with feed.following("ada", ADA):
        await turns()
        happening.tell()
        for _ in range(turn):
            await asyncio.sleep(0)
    await turns()
    assert [task for task in asyncio.all_tasks() if task.get_name() == "events"] == []
