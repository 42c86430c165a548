"""What pages are made of, in a large catalog: how long it takes, and by which plans."""

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import Engine, event, text

from builder.errors import LockError
from registry.catalog.records import EVERYTHING, Visibility
from registry.database import Database
from tests.registry.catalog.house import House
from tests.registry.catalog.many import fill
from tests.registry.catalog.speed import Ask, slow

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(600)]

#: Of how many rows each of these has thousands.
LARGE = (
    *("version", "lock_package", "lock_platform", "build_blob", "usage_day", "activation"),
    *("package", "specification"),
)
SOME = Visibility((*((f"team-{one:04}", "*") for one in range(0, 200, 7)), ("*", "env-0*5")))
PLACE = ("team-0077", "env-00077")


def asked(house: House) -> dict[str, Ask]:
    contents, users = house.contents, house.directory.users
    return {
        "overviews": lambda: house.overviews.of(range(500, 600)),
        "packages": lambda: contents.packages(*PLACE, 4, named=["openssl"], limit=100),
        "advisories": lambda: contents.packages(*PLACE, 4, has_advisory=True),
        "compared": lambda: contents.compared(*PLACE, 4),
        "differences": lambda: house.differences.of(*PLACE, 3, 4),
        "users of all": lambda: users(EVERYTHING, "openssl", limit=100),
        "users of all that I see": lambda: users(SOME, "openssl", limit=100),
        "users of some": lambda: users(EVERYTHING, "package-14", limit=100),
        "users by version": lambda: users(EVERYTHING, "openssl", condition=">=3.2,<3.3"),
        "users of many versions": lambda: users(SOME, "openssl", condition=">=3.2"),
        "users of nothing": lambda: users(EVERYTHING, "none"),
        "users in a namespace": lambda: users(EVERYTHING, "openssl", namespace="team-0077"),
        "ahead": lambda: house.overviews.ahead(77, 4),
    }


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


async def test_nothing_that_pages_show_takes_long_in_a_large_catalog(house: House) -> None:
    await fill(house.database, environments=4000, versions=4, facts=True)
    await analyze(house.database)
    long = await slow(asked(house), lambda: house.environments.get(*PLACE))
    read = {}
    for name, ask in asked(house).items():
        plans = await plans_of(house.database, ask)
        found = [line for line in plans if any(is_whole(line, table) for table in LARGE)]
        if found:
            read[name] = found
    assert (long, read) == ({}, {})
    if not house.database.is_shared:
        statement = "SELECT count(DISTINCT note) FROM version"
        plan = await explained(house.database, statement, ())
        assert any(is_whole(line, "version") for line in plan), plan


async def test_a_few_statements_tell_how_a_page_of_environments_is_doing(house: House) -> None:
    await fill(house.database, namespaces=3, environments=30, versions=2, facts=True)
    statements = await statements_of(lambda: house.overviews.of(range(1, 31)))
    assert len([one for one, _ in statements if one.startswith("SELECT")]) == 2
    found = await house.overviews.of(range(1, 31))
    one = found[6]
    assert (one.versions, one.packages, one.findings) == (2, {"linux-64": 20}, 1)
    assert one.newest is not None
    assert (one.newest.number, one.newest.state, found[2].findings) == (2, "built", 0)
    assert one.size_bytes == sum(1000 + part for part in range(12))
    assert one.last_used_at is not None
    assert one.active_since is not None


async def test_packages_have_what_policies_found_in_them(house: House) -> None:
    await fill(house.database, namespaces=3, environments=30, versions=2, facts=True)
    place = ("team-0002", "env-00005", 2)
    found = await house.contents.packages(*place, has_advisory=True, named=["openssl"])
    (one,) = found.items
    assert [finding.advisory for finding in one.findings] == ["GHSA-1"]
    assert (one.name, one.channel, one.licence, found.packages) == ("openssl", "c", "L-0", 20)
    assert found.licences == [(f"L-{number}", 4) for number in range(5)]
    assert set(found.named) == {("conda", "openssl")}
    (user, *_) = (await house.directory.users(EVERYTHING, "openssl", search="00005")).items
    assert (user.environment.path, user.advisories) == ("team-0002/env-00005", 1)
    with pytest.raises(LockError, match="is for linux-64, and not for linux-aarch64"):
        await house.contents.packages(*place, platform="linux-aarch64")


def is_whole(line: str, table: str) -> bool:
    """Tell whether a line of a plan says that all of a table is read."""
    return f"{line} ".startswith(f"SCAN {table} ") or f"Seq Scan on {table} " in line


async def analyze(database: Database) -> None:
    if database.is_shared:
        async with database.writing() as connection:
            await connection.execute(text("ANALYZE"))


async def plans_of(database: Database, ask: Callable[[], Awaitable[object]]) -> list[str]:
    """Return the lines of the plans of all statements that ``ask`` sends."""
    lines: list[str] = []
    for statement, parameters in await statements_of(ask):
        if statement.startswith(("SELECT", "WITH")):
            lines += await explained(database, statement, parameters)
    return lines


async def explained(database: Database, statement: str, parameters: object) -> list[str]:
    explain = "EXPLAIN " if database.is_shared else "EXPLAIN QUERY PLAN "
    async with database.reading() as connection:
        if database.is_shared:
            # Of few rows all are read sooner than an index: here it is asked whether there is one.
            await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        found = await connection.exec_driver_sql(explain + statement, parameters)  # type: ignore[arg-type]  # (as the driver has them)
        return [str(row[-1]).strip() for row in found]


async def statements_of(ask: Callable[[], Awaitable[object]]) -> list[tuple[str, object]]:
    """Return the statements that ``ask`` sends, with their parameters."""
    found: list[tuple[str, object]] = []

    def note(
        _connection: object, _cursor: object, statement: str, parameters: object, *_more: object
    ) -> None:
        found.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        await ask()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    return found
