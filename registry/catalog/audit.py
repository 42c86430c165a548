"""The audit log: all events, found by who, what, where, through what and when.

However many there are, and whatever is asked for, a page costs no more than some thousand rows. It
is read along the index of the filter that fits the fewest; of what else is asked for, these rows
are looked through, a piece at a time. Where that takes long, a page ends before it is full, and its
``next`` says where it goes on.

Nothing here changes or deletes an event; what is too old goes by :mod:`registry.catalog.purging`.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    false,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from registry.auth.roles import glob_matches
from registry.auth.trail import NO_CHANGE
from registry.catalog.events import event_of
from registry.catalog.lookup import MAX_NUMBER, cursor, page_after, searchable
from registry.catalog.records import Event, Page
from registry.database import Database, tables
from registry.database.types import UtcDateTime
from registry.errors import CursorInvalid

#: The most events that a page has.
MAX_PAGE: Final = 1000
#: So many rows are looked through at once, and for so long until a page ends, in seconds.
_PIECE: Final = 4000
_LOOK_SECONDS: Final = 0.03
#: A glob that fits more kinds of events is looked for along another index.
_MAX_ACTIONS: Final = 12

#: What columns have that an index begins with.
_Stream = Mapping[str, str]
#: Where a page ended: a time and a number.
_Place = tuple[datetime, int]


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which events; ``None``: any."""

    actor: str | None = None
    #: ``*`` stands for any characters, as in ``"grant.*"``.
    action: str | None = None
    #: As it was called then.
    namespace: str | None = None
    #: Of that namespace.
    environment: str | None = None
    address: str | None = None
    via: str | None = None
    #: From this moment on.
    since: datetime | None = None
    #: Before this moment.
    until: datetime | None = None
    #: Only what has changed something.
    is_change: bool = False

    def fits(self, event: Event) -> bool:
        """Tell whether an event is one of these."""
        exact = (
            (self.actor, event.actor),
            (self.namespace, event.namespace),
            (self.environment, event.environment),
            (self.address, event.address),
            (self.via, event.via),
        )
        return (
            all(wanted in {None, found} for wanted, found in exact)
            and (self.action is None or glob_matches(self.action, event.action))
            and not (self.is_change and event.action in NO_CHANGE)
            and (self.since is None or event.at >= self.since)
            and (self.until is None or event.at < self.until)
        )


@dataclass(frozen=True, slots=True)
class _Search:
    """How a filter is looked for."""

    #: Each is read along an index; together they have all that is wanted, and more.
    streams: Sequence[_Stream]
    #: Of each, one of its streams has to hold, too.
    rest: Sequence[Sequence[_Stream]]
    within: Sequence[ColumnElement[bool]]
    is_oldest_first: bool

    def order(self, columns: Any) -> Sequence[ColumnElement[Any]]:
        """Return what rows are ordered by."""
        if self.is_oldest_first:
            return columns.at, columns.id
        return columns.at.desc(), columns.id.desc()


class Audit:
    """Reads the audit log.

    All methods raise :class:`DatabaseUnavailable` when the database does not answer.

    Args:
        database: Where it is.
        clock: Tells seconds that pass; ``None``: the event loop's.
    """

    def __init__(self, database: Database, clock: Callable[[], float] | None = None) -> None:
        self._database = database
        self._clock = clock

    async def page(
        self,
        wanted: AuditFilter,
        *,
        after: str | None = None,
        limit: int = 50,
        is_oldest_first: bool = False,
        up_to: int | None = None,
    ) -> Page[Event]:
        """Return some of the events, in the order of their times.

        There may be more although it has fewer than ``limit``: ``next`` tells.

        Args:
            wanted: Which.
            after: Where the page before ended.
            limit: The most to return.
            is_oldest_first: Whether the oldest come first, and not the newest.
            up_to: The number of the last one that counts; ``None``: any does.

        Raises:
            CursorInvalid: ``after`` is of no page.
        """
        limit = max(1, min(limit, MAX_PAGE))
        place = None if after is None else _place_of(after)
        clock = self._clock or asyncio.get_running_loop().time
        ends = clock() + _LOOK_SECONDS
        found: list[Row[Any]] = []
        async with self._database.reading() as connection:
            search = await _search(connection, wanted, place, up_to, is_oldest_first)
            while True:
                # One more than there may be tells whether there is another page.
                rows, place = await _look(connection, search, place, limit + 1 - len(found))
                found += rows
                if place is None or len(found) > limit or clock() >= ends:
                    break
        if len(found) > limit:
            found = found[:limit]
            place = _place(found[-1])
        more = None if place is None else cursor(f"{place[0].isoformat()} {place[1]}")
        return Page([event_of(row) for row in found], more)

    async def all(
        self, wanted: AuditFilter, *, up_to: int | None = None
    ) -> AsyncGenerator[Sequence[Event], None]:
        """Yield all events, the oldest first, page by page; nothing is held in between."""
        after: str | None = None
        while True:
            page = await self.page(
                wanted, after=after, limit=MAX_PAGE, is_oldest_first=True, up_to=up_to
            )
            yield page.items
            after = page.next
            if after is None:
                return


async def _search(
    connection: AsyncConnection,
    wanted: AuditFilter,
    place: _Place | None,
    up_to: int | None,
    is_oldest_first: bool,
) -> _Search:
    """Return how a filter is looked for: along what fits the fewest."""
    table = tables.event
    within: list[ColumnElement[bool]] = []
    if wanted.since is not None:
        within.append(table.c.at >= wanted.since)
    if wanted.until is not None:
        within.append(table.c.at < wanted.until)
    if up_to is not None:
        within.append(table.c.id <= up_to)
    wishes = await _wishes(connection, wanted)
    narrow = [one for one in wishes if len(one) <= _MAX_ACTIONS]
    chosen = narrow[0] if narrow else None
    if len(narrow) > 1:
        left = [*within, *_beyond(place, is_oldest_first)]
        counts = [await _count(connection, one, left) for one in narrow]
        chosen = narrow[counts.index(min(counts))]
    rest = [one for one in wishes if one is not chosen]
    return _Search(chosen if chosen is not None else [{}], rest, within, is_oldest_first)


async def _wishes(connection: AsyncConnection, wanted: AuditFilter) -> list[Sequence[_Stream]]:
    """Return each filter as the streams of which an event is in one."""
    exact = {"actor": wanted.actor, "address": wanted.address, "via": wanted.via}
    wishes: list[Sequence[_Stream]] = [
        [{name: searchable(value)}] for name, value in exact.items() if value is not None
    ]
    if wanted.namespace is not None:
        place = {"namespace": wanted.namespace, "environment": wanted.environment}
        wishes.append([{name: searchable(slug) for name, slug in place.items() if slug}])
    is_exact = wanted.action is not None and "*" not in wanted.action
    if is_exact and not wanted.is_change:
        wishes.append([{"action": searchable(wanted.action or "")}])
    elif wanted.is_change or wanted.action not in {None, "*"}:
        known = await _actions(connection)
        glob, left_out = wanted.action or "*", NO_CHANGE if wanted.is_change else frozenset()
        fitting = (one for one in known if glob_matches(glob, one) and one not in left_out)
        wishes.append([{"action": one} for one in fitting])
    return wishes


async def _actions(connection: AsyncConnection) -> Sequence[str]:
    """Return the kinds of events that there are: the index is looked into once for each."""
    table = tables.event
    found = select(func.min(table.c.action).label("action")).cte("actions", recursive=True)
    following = select(func.min(table.c.action)).where(table.c.action > found.c.action)
    found = found.union_all(select(following.scalar_subquery()).where(found.c.action.is_not(None)))
    rows = await connection.execute(select(found.c.action).where(found.c.action.is_not(None)))
    return list(rows.scalars())


async def _count(
    connection: AsyncConnection,
    streams: Sequence[_Stream],
    within: Sequence[ColumnElement[bool]],
) -> int:
    """Return how many events there are in streams, or at least that they are many."""
    table = tables.event
    total = 0
    for stream in streams:
        some = select(table.c.id).where(*within, _is_in(table.c, stream))
        # In this order, PostgreSQL reads the index; else it may look for 4000 among all.
        some = some.order_by(table.c.at.desc(), table.c.id.desc()).limit(_PIECE)
        counted = select(func.count()).select_from(some.subquery())
        total += (await connection.execute(counted)).scalar_one()
        if total >= _PIECE:
            break
    return total


async def _look(
    connection: AsyncConnection, search: _Search, place: _Place | None, limit: int
) -> tuple[Sequence[Row[Any]], _Place | None]:
    """Return the next events, and up to where these are all; ``None``: there are no more."""
    found: list[Row[Any]] = []
    ends: list[_Place] = []
    for stream in search.streams:
        rows, end = await _read(connection, search, stream, place, limit)
        found += rows
        ends += [end] if end is not None else []
    found.sort(key=_place, reverse=not search.is_oldest_first)
    if not ends:
        return found, None
    # Beyond where one stream ends for now, it may have what comes before others' events.
    end = min(ends) if search.is_oldest_first else max(ends)
    if search.is_oldest_first:
        return [row for row in found if _place(row) <= end], end
    return [row for row in found if _place(row) >= end], end


async def _read(
    connection: AsyncConnection,
    search: _Search,
    stream: _Stream,
    place: _Place | None,
    limit: int,
) -> tuple[Sequence[Row[Any]], _Place | None]:
    """Return the next events of a stream, and where they end; ``None``: there are no more."""
    table = tables.event
    conditions = [*search.within, *_beyond(place, search.is_oldest_first)]
    ordered = (
        select(table).where(*conditions, _is_in(table.c, stream)).order_by(*search.order(table.c))
    )
    if not search.rest:
        rows = (await connection.execute(ordered.limit(limit))).all()
        return rows, _place(rows[-1]) if len(rows) == limit else None
    size = max(limit, _PIECE // len(search.streams))
    piece = ordered.limit(size).subquery()
    fitting = [or_(false(), *(_is_in(piece.c, one) for one in wish)) for wish in search.rest]
    statement = select(piece).where(*fitting).order_by(*search.order(piece.c)).limit(limit)
    rows = (await connection.execute(statement)).all()
    if len(rows) == limit:
        return rows, _place(rows[-1])
    last: Select[Any] = ordered.with_only_columns(table.c.at, table.c.id).offset(size - 1).limit(1)
    end = (await connection.execute(last)).first()
    return rows, _place(end) if end is not None else None


def _is_in(columns: Any, stream: _Stream) -> ColumnElement[bool]:
    return and_(true(), *(columns[name] == one for name, one in stream.items()))


def _beyond(place: _Place | None, is_oldest_first: bool) -> Sequence[ColumnElement[bool]]:
    """Return what holds for the events after those of a page."""
    if place is None:
        return []
    key = tuple_(tables.event.c.at, tables.event.c.id)
    last = tuple_(literal(place[0], UtcDateTime), literal(place[1]))
    return [key > last if is_oldest_first else key < last]


def _place(row: Row[Any]) -> _Place:
    return row.at, row.id


def _place_of(text: str) -> _Place:
    """Return where a page ended.

    Raises:
        CursorInvalid: It is of no page.
    """
    at, _, number = page_after(text).partition(" ")
    try:
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None or not (number.isascii() and number.isdecimal()):
            raise CursorInvalid
        return moment.astimezone(UTC), min(int(number[:19]), MAX_NUMBER)
    except (ValueError, OverflowError) as exc:
        raise CursorInvalid from exc
