import asyncio
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, func, insert, inspect, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

from registry.database import Database, open_database
from registry.database.engine import parse_url
from registry.database.migrations import upgrade
from registry.database.migrations.versions import HEAD
from registry.database.tables import change, group, metadata
from registry.errors import DatabaseOutdated, DatabaseUnavailable
from tests.registry.databases import Postgres, new_url, opened

pytestmark = pytest.mark.anyio


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, metadata))


async def add(database: Database, subject: str = "x") -> None:
    async with database.writing() as connection:
        await connection.execute(
            insert(change).values(kind="event", subject=subject, at=database.now())
        )


async def count(database: Database) -> int:
    async with database.reading() as connection:
        return (await connection.execute(select(func.count()).select_from(change))).scalar_one()


def written(part: Any) -> str:
    """Return what describes a column, a constraint or an index; clauses as they are written."""
    options = part.get("dialect_options", {})
    return repr({**part, "dialect_options": {name: str(each) for name, each in options.items()}})


def described(connection: Connection) -> dict[object, object]:
    """Return what a database says of its tables; the order of columns is that of their age."""
    found = inspect(connection)
    of_tables: dict[str, Mapping[Any, Any]] = {
        "columns": found.get_multi_columns(),
        "primary key": found.get_multi_pk_constraint(),
        "foreign keys": found.get_multi_foreign_keys(),
        "unique": found.get_multi_unique_constraints(),
        "indexes": found.get_multi_indexes(),
        "checks": found.get_multi_check_constraints(),
    }
    return {
        (what, table): sorted(map(written, parts)) if isinstance(parts, list) else written(parts)
        for what, tables in of_tables.items()
        for (_, table), parts in tables.items()
    }


async def test_the_revisions_make_the_tables_that_a_new_database_has(
    database: Database, postgres: Postgres, tmp_path: Path
) -> None:
    """One after another, as whoever has upgraded each time has them."""
    kind = "postgresql" if database.is_shared else "sqlite"
    url = new_url(kind, postgres, tmp_path / "revisions")
    (tmp_path / "revisions" / "database").mkdir(parents=True)
    async with database.reading() as connection:
        assert await connection.run_sync(differences) == []
        new = await connection.run_sync(described)
    engine = create_async_engine(parse_url(url))
    for number in range(1, int(HEAD) + 1):
        async with engine.begin() as connection:
            await connection.run_sync(upgrade, f"{number:04}")
    async with engine.connect() as connection:
        assert await connection.run_sync(described) == new
    await engine.dispose()
    async with open_database(url) as upgraded:
        assert await upgraded.upgrade() == HEAD


async def test_an_sqlite_database_is_made_by_itself_and_a_postgresql_one_is_not(
    database_url: str,
) -> None:
    async with open_database(database_url) as database:
        if database.is_shared:
            with pytest.raises(DatabaseOutdated, match="pullforge database upgrade"):
                await database.check()
        else:
            await asyncio.gather(*(database.check() for _ in range(5)))
            assert await database.revision() == HEAD


async def test_another_revision_is_refused_with_the_command_that_mends_it(
    database_url: str,
) -> None:
    async with opened(database_url) as database, database.writing() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    async with open_database(database_url) as database:
        with pytest.raises(DatabaseOutdated, match="revision 9999 and this program needs"):
            await add(database)


async def test_what_breaks_off_changes_nothing(database: Database) -> None:
    with pytest.raises(RuntimeError):  # noqa: PT012 (the whole transaction)
        async with database.writing() as connection:
            await connection.execute(
                insert(change).values(kind="event", subject="x", at=database.now())
            )
            raise RuntimeError
    assert await count(database) == 0
    with pytest.raises(IntegrityError):  # noqa: PT012 (the whole transaction)
        async with database.writing() as connection:
            for _ in range(2):
                await connection.execute(insert(group).values(name="a", source="local"))
    await add(database)
    assert await count(database) == 1


async def test_writers_come_one_after_the_other(database_url: str) -> None:
    async with opened(database_url) as one, opened(database_url) as two:
        await add(one, "0")

        async def count_up(database: Database) -> None:
            async with database.writing() as connection:
                found = (await connection.execute(select(change.c.subject))).scalar_one()
                await asyncio.sleep(0)
                await connection.execute(update(change).values(subject=str(int(found) + 1)))

        await asyncio.gather(*(count_up(one if n % 2 else two) for n in range(30)))
        async with one.reading() as connection:
            assert (await connection.execute(select(change.c.subject))).scalar_one() == "30"


async def test_writers_that_wait_for_their_turn_leave_connections_to_readers(
    database: Database,
) -> None:
    """One that takes long holds up those after it, and nobody who only reads."""
    async with database.writing():
        waiting = [asyncio.create_task(add(database)) for _ in range(30)]
        await asyncio.sleep(0.5)
        assert not any(one.done() for one in waiting)
        async with asyncio.timeout(2):
            assert await count(database) == 0
    await asyncio.gather(*waiting)
    assert await count(database) == 30


async def test_a_caller_that_leaves_holds_nobody_up(database: Database) -> None:
    async def hold() -> None:
        async with database.writing() as connection:
            await connection.execute(
                insert(change).values(kind="event", subject="x", at=database.now())
            )
            await asyncio.sleep(60)

    holding = asyncio.create_task(hold())
    await asyncio.sleep(0.1)
    holding.cancel()
    await asyncio.gather(holding, return_exceptions=True)
    await add(database)
    assert await count(database) == 1


async def test_processes_share_a_database(database_url: str) -> None:
    async with opened(database_url) as database:
        program = f"""
import asyncio
from registry.database import open_database
from tests.registry.database.test_engine import add
async def main():
    async with open_database({database_url!r}) as database:
        for _ in range(20):
            await add(database)
asyncio.run(main())
"""
        processes = [
            await asyncio.create_subprocess_exec(sys.executable, "-c", program) for _ in range(2)
        ]
        for _ in range(20):
            await add(database)
        assert [await one.wait() for one in processes] == [0, 0]
        assert await count(database) == 60


async def test_a_place_that_is_none_is_a_database_that_does_not_answer(tmp_path: Path) -> None:
    for url in (
        f"sqlite:///{tmp_path}/not/there/x.db",
        "postgresql://ada@127.0.0.1:9/none",
        "postgresql://ada@no.such.host.invalid/none",
    ):
        async with open_database(url) as database:
            with pytest.raises(DatabaseUnavailable, match="does not answer"):
                await add(database)
    (tmp_path / "text.db").write_text("no database, but long enough for a header of one " * 9)
    async with open_database(f"sqlite:///{tmp_path}/text.db") as database:
        with pytest.raises(DatabaseUnavailable):
            await add(database)


async def test_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    async with opened(f"sqlite:///{tmp_path}/full.db") as database:
        with pytest.raises(DatabaseUnavailable, match="is full"):  # noqa: PT012 (the whole transaction)
            async with database.writing() as connection:
                await connection.execute(text("PRAGMA max_page_count = 1"))
                for _ in range(100):
                    await connection.execute(
                        insert(change).values(kind="event", subject="x" * 10_000, at=database.now())
                    )
    async with opened(f"sqlite:///{tmp_path}/full.db") as database:
        assert await count(database) == 0


@pytest.mark.engine("postgresql")
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_server_that_goes_and_comes_back_is_used_again(
    postgres: Postgres, how: str
) -> None:
    async with opened(postgres.server.database()) as database:
        await add(database)
        getattr(postgres.server, how)()
        try:
            for _ in range(3):
                with pytest.raises(DatabaseUnavailable):
                    await add(database)
        finally:
            postgres.server.start()
        await add(database)
        assert await count(database) == 2


@pytest.mark.parametrize(
    "url", ["", "mysql://x/y", "sqlite://", "sqlite:///:memory:", "postgresql://host", "x\ny", "/a"]
)
def test_what_is_no_address_is_refused_without_telling_it(url: str) -> None:
    with pytest.raises(ValueError, match="the database is postgresql://"):
        parse_url(url)


def test_importing_the_engine_starts_nothing() -> None:
    assert all(thread.name != "aiosqlite" for thread in threading.enumerate())
