"""Finding events of the audit log: all that fit, once, in their order, and soon."""

import random
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import select

from registry.catalog.audit import Audit, AuditFilter
from registry.catalog.events import event_of
from registry.catalog.lookup import cursor
from registry.catalog.purging import purge_events
from registry.catalog.records import EVERYTHING, Event
from registry.database import Database, tables
from registry.errors import CursorInvalid
from tests.registry.catalog import logged
from tests.registry.catalog.house import ADA, House
from tests.registry.catalog.speed import slow

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

DAY = timedelta(days=1)
FILTERS: dict[str, Sequence[Any]] = {
    "actor": ("user0", "user3", "user20", "nobody"),
    "action": ("login.failed", "grant.*", "*.created", "*", "l*", "*e*", "token.revoked", "no.*"),
    "address": ("192.0.2.0", "192.0.2.17", "198.51.100.1"),
    "via": ("registry", "service"),
    "namespace": ("team0", "team9", "elsewhere"),
    "environment": ("env0", "env1"),
    "since": (logged.AT + timedelta(hours=3), logged.AT + DAY),
    "until": (logged.AT + timedelta(hours=3), logged.AT + 2 * DAY),
    "is_change": (True,),
}


async def everything(database: Database) -> list[Event]:
    async with database.reading() as connection:
        return [event_of(row) for row in await connection.execute(select(tables.event))]


def some_filters(number: int) -> list[AuditFilter]:
    """Return each filter alone, and some of them together."""
    alone = [AuditFilter(**{name: one}) for name, some in FILTERS.items() for one in some]
    chance = random.Random(3)
    found = [AuditFilter(), *(one for one in alone if one.environment is None)]
    while len(found) < number:
        names = chance.sample(sorted(FILTERS), chance.randint(2, 5))
        if "environment" in names and "namespace" not in names:
            names.append("namespace")
        found.append(AuditFilter(**{name: chance.choice(FILTERS[name]) for name in names}))
    return found


async def pages(audit: Audit, wanted: AuditFilter, limit: int, **more: Any) -> list[Event]:
    found: list[Event] = []
    after: str | None = None
    for _ in range(10_000):
        page = await audit.page(wanted, after=after, limit=limit, **more)
        assert len(page.items) <= limit
        found += page.items
        after = page.next
        if after is None:
            return found
    raise AssertionError("its pages have no end")


async def test_every_filter_finds_what_fits_once_and_in_order(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small pieces: what is looked through ends in the middle of everything.
    monkeypatch.setattr("registry.catalog.audit._PIECE", 150)
    await logged.write(database, 3000)
    events = sorted(await everything(database), key=lambda one: (one.at, one.id))
    audit = Audit(database)
    for number, wanted in enumerate(some_filters(120)):
        fitting = [one.id for one in events if wanted.fits(one)]
        limit = (7, 50, 1000)[number % 3] if len(fitting) < 700 else 1000
        is_oldest_first = number % 2 == 0
        found = await pages(audit, wanted, limit, is_oldest_first=is_oldest_first)
        expected = fitting if is_oldest_first else fitting[::-1]
        assert [one.id for one in found] == expected, wanted


async def test_a_page_ends_where_its_time_is_over_and_the_next_goes_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.catalog.audit._PIECE", 10)
    await logged.write(database, 2000)
    wanted = AuditFilter(actor="user0", via="service", namespace="team0")
    ticks = iter(range(1_000_000))
    audit = Audit(database, clock=lambda: float(next(ticks)))
    page = await audit.page(wanted, limit=5)
    assert page.next is not None
    assert len(page.items) < 5
    found = await pages(audit, wanted, 5)
    fitting = [one for one in await everything(database) if wanted.fits(one)]
    assert fitting
    assert {one.id for one in found} == {one.id for one in fitting}


async def test_an_export_has_what_there_was_when_it_began(house: House) -> None:
    await logged.write(house.database, 2500)
    newest = await house.events.newest()
    audit = Audit(house.database)
    found: list[Event] = []
    async for events in audit.all(AuditFilter(), up_to=newest):
        found += events
        await house.principals.create(ADA, f"new{len(found)}")
    assert len(found) == 2500
    assert all(one.at <= other.at for one, other in pairwise(found))
    assert {one.id for one in found} == {one.id for one in await everything(house.database)} - {
        one.id for one in await house.events.list(visible=EVERYTHING, after_id=newest)
    }


@pytest.mark.parametrize(
    "text", ["", "x", "é", "7", cursor("2026-01-01 7"), cursor("2026-01-01T00:00:00+00:00 x")]
)
async def test_a_cursor_that_is_none_is_refused(database: Database, text: str) -> None:
    with pytest.raises(CursorInvalid):
        await Audit(database).page(AuditFilter(), after=text)


async def test_any_page_of_a_long_log_comes_soon(database: Database) -> None:
    await logged.write(database, 30_000)
    audit = Audit(database)
    asked = {str(one): partial(audit.page, one, limit=100) for one in some_filters(60)}
    assert await slow(asked, partial(audit.page, AuditFilter(), limit=100)) == {}


async def test_only_days_that_are_over_go_and_that_is_told(database: Database) -> None:
    await logged.write(database, 5000)
    before = len(await everything(database))
    moment = logged.AT + timedelta(days=1, hours=5)
    database.now = lambda: moment
    gone = await purge_events(database, 1)
    left = await everything(database)
    assert gone == sum(1 for row in logged.rows(5000) if row["at"] < logged.AT)
    assert 0 < gone < before
    assert len(left) == before - gone + 1
    told = left[-1]
    assert (told.action, told.actor, told.via) == ("audit.purged", None, "service")
    assert told.detail == {"events": gone, "days": 1, "until": logged.AT.isoformat()}
    assert await purge_events(database, 1) == 0
    assert len(await everything(database)) == len(left)


async def test_what_was_changed_is_told_before_and_after(house: House) -> None:
    await house.environment()
    await house.namespaces.update(ADA, "analytics", description="new")
    await house.environments.update(ADA, "analytics", "forecast", name="Outlook")
    for role in ("viewer", "admin"):
        await house.grants.give(
            ADA, subject_kind="user", subject="bob", namespace_glob="analytics", role=role
        )
    token, secret = await house.tokens.create(ADA, "ada", "laptop", scopes=["analytics/*:pull"])
    await house.tokens.revoke(ADA, token.id)
    await house.built("analytics/outlook", b"one")
    told = {event.action: event for event in await everything(house.database)}
    assert told["namespace.updated"].detail == {
        "before": {"description": ""},
        "after": {"description": "new"},
    }
    assert told["environment.updated"].detail == {
        "before": {"name": "forecast", "slug": "forecast"},
        "after": {"name": "Outlook", "slug": "outlook"},
    }
    given_again = told["grant.given"].detail
    assert given_again["before"] == {"role": "viewer"}
    assert given_again["after"] == {"role": "admin"}
    assert given_again["subject"] == "bob"
    assert told["token.created"].detail["after"]["scopes"] == ["analytics/*:pull"]
    assert told["token.revoked"].detail["before"]["name"] == "laptop"
    activated = told["version.activated"].detail
    assert activated["before"] == {"active": None, "key": None}
    assert activated["after"]["active"] == 1
    assert secret not in repr([event.detail for event in told.values()])


async def test_groups_that_a_provider_tells_are_events(house: House) -> None:
    await house.principals.log_in_oidc("https://id", "7", "ada", groups=["a", "b"], address="::1")
    await house.principals.log_in_oidc(
        "https://id", "7", "ada", email="ada@x.org", groups=["b", "c"], address="::2"
    )
    events = await everything(house.database)
    told = [(one.action, one.detail.get("group"), one.address, one.via) for one in events]
    assert told == [
        ("principal.created", None, "::1", "login"),
        ("member.added", "a", "::1", "login"),
        ("member.added", "b", "::1", "login"),
        ("principal.updated", None, "::2", "login"),
        ("member.removed", "a", "::2", "login"),
        ("member.added", "c", "::2", "login"),
    ]
