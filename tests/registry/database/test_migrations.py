"""What an earlier version of the program wrote is there after ``pullforge database upgrade``."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.exc import ProgrammingError

from registry.database import open_database
from registry.database.migrations.versions import HEAD
from registry.errors import DatabaseUnavailable
from tests.registry.asgi import Client
from tests.registry.database.earlier import (
    FIRST,
    REVOKED,
    TOKEN,
    Rows,
    contents,
    first_rows,
    make,
)
from tests.registry.database.test_engine import differences
from tests.registry.web.api.site import Site, build, wish

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

NAMESPACE = "/api/v1/namespaces/analytics"
FORECAST = f"{NAMESPACE}/environments/forecast"
NO_KEY = "0" * 32
#: What columns that came since then have in rows of before.
ADDED: dict[str, dict[str, Any]] = {
    "namespace": {"size_bytes": None},
    "version": {"told": None, "judged": 0, "freed_at": None, "propose": 0}
    | {"origin": None, "deleted_at": None},
    "environment": {"source_id": None, "archived_at": None, "test_command": ""},
    "lock_package": {"package_id": None},
    "event": {"via": ""},
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


async def pullforge(url: str, store: Path, *arguments: str) -> tuple[int, str]:
    """Run a command on the database, and return how it ended and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "registry", *arguments),
        env={**os.environ, "PULLFORGE_DATABASE": url, "PULLFORGE_STORE": str(store)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def made(url: str, key: str = NO_KEY) -> Rows:
    rows = first_rows(key, wish("tool"), wish("library"))
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir()
    await make(url, FIRST, rows)
    return rows


async def kept(url: str, of: Rows) -> dict[str, list[dict[str, Any]]]:
    """Return what there is after an upgrade, without what that has to add."""
    found = await contents(url, of)
    events = [(row.pop("namespace_id"), row.pop("environment_id")) for row in found["event"]]
    assert events == [(1, 1), (1, None)]
    documents = [row["path"] for row in found["outbox"]]
    assert sorted(documents) == ["analytics", "analytics/forecast"]
    found["outbox"] = [row for row in found["outbox"] if row["path"] != "analytics"]
    for name, added in ADDED.items():
        for row in found[name]:
            assert {column: row.pop(column) for column in added} == added
    return found


async def get(client: Client, path: str, token: str = TOKEN) -> Any:
    reply = await client.get(path, authorization=f"Bearer {token}")
    assert reply.status == 200, reply
    return reply.json()


async def test_an_upgrade_keeps_every_row_and_makes_the_tables_that_the_program_knows(
    database_url: str, tmp_path: Path
) -> None:
    rows = await made(database_url)
    before = await contents(database_url, rows)
    assert all(len(before[name]) == len(some) for name, some in rows.items())
    upgraded = await pullforge(database_url, tmp_path, "database", "upgrade")
    assert upgraded == (0, f"The database has revision {HEAD} now; it had {FIRST}.\n")
    assert await kept(database_url, rows) == before
    async with open_database(database_url) as database, database.reading() as connection:
        assert await connection.run_sync(differences) == []
    again = await pullforge(database_url, tmp_path, "database", "upgrade")
    assert again == (0, f"The database has revision {HEAD} already.\n")
    assert await kept(database_url, rows) == before


async def test_a_server_on_an_earlier_revision_does_not_start_and_names_the_command(
    database_url: str, tmp_path: Path
) -> None:
    rows = await made(database_url)
    before = await contents(database_url, rows)
    status, said = await pullforge(database_url, tmp_path / "store", "serve")
    assert status == 1
    assert said.splitlines()[-1] == (
        f"pullforge: the database has revision {FIRST} and this program needs {HEAD}:"
        " run 'pullforge database upgrade' with this program's version"
    )
    for command in ("export", "import"):
        (tmp_path / "file").write_text("{}\n")
        status, said = await pullforge(
            database_url, tmp_path / "store", "database", command, str(tmp_path / "file")
        )
        assert status == 1, said
    assert await contents(database_url, rows) == before


async def test_a_server_goes_on_with_what_an_earlier_one_had(database_url: str, site: Site) -> None:
    async with site.open() as client:
        key = (await build(client, wish("tool"))).json()["key"]
    await made(database_url, key)
    assert (await pullforge(database_url, site.store, "database", "upgrade"))[0] == 0
    async with site.open(auth_file=None, database=database_url) as client:
        assert (await get(client, NAMESPACE))["owner"] == "ada"
        for url in (f"{NAMESPACE}/environments", "/api/v1/environments?package=tool&version=1.0"):
            found = (await get(client, url))["items"]
            assert [one["path"] for one in found] == ["analytics/forecast"]
        roles = (await get(client, f"{NAMESPACE}/grants"))["items"]
        assert [one["role"] for one in roles] == ["owner", "viewer"]
        assert [one["name"] for one in (await get(client, "/api/v1/tokens"))["items"]] == ["laptop"]
        reply = await client.get("/api/v1/users/me", authorization=f"Bearer {REVOKED}")
        assert reply.status == 401
        first = await manifest(client, "v1")
        assert first == await manifest(client, key)
        await is_built(client, 2)
        assert await manifest(client, "latest") == await manifest(client, "v2") != first
        restored = await client.post(
            f"{NAMESPACE}/environments/old/restore", authorization=f"Bearer {TOKEN}"
        )
        assert restored.status == 200, restored
        events = (await get(client, f"{FORECAST}/events?limit=100"))["items"]
        assert events[-1]["action"] == "environment.created"
        assert "version.built" in {one["action"] for one in events}
        # What counts up goes on behind what there was.
        assert events[0]["id"] > 2


async def manifest(client: Client, tag: str) -> str:
    reply, _ = await client.follow(
        "GET", f"/v2/analytics/forecast/manifests/{tag}", [("authorization", f"Bearer {TOKEN}")]
    )
    assert reply.status == 200, reply
    return reply.headers["docker-content-digest"]


async def is_built(client: Client, number: int) -> None:
    """Return when the version that was queued is built."""
    catalog = client.services.catalog
    assert catalog is not None
    async with asyncio.timeout(60):
        while True:
            version = await get(client, f"{FORECAST}/versions/{number}")
            if version["state"] not in {"queued", "building"}:
                break
            await catalog.follower.changed(1)
    assert version["state"] == "built", version


async def test_an_upgrade_that_breaks_off_changes_nothing(database_url: str) -> None:
    rows = await made(database_url)
    async with open_database(database_url) as database:
        # In the way of the last thing that the upgrade does.
        async with database._transaction(is_ordered=True) as connection:
            await connection.execute(text("CREATE TABLE signing_key (purpose TEXT)"))
        before = await contents(database_url, rows)
        with pytest.raises((DatabaseUnavailable, ProgrammingError)):
            await database.upgrade()
        assert await database.revision() == FIRST
        async with database._transaction(is_ordered=True) as connection:
            tables = await connection.run_sync(lambda one: inspect(one).get_table_names())
            assert "device_login" not in tables
            await connection.execute(text("DROP TABLE signing_key"))
        assert await contents(database_url, rows) == before
        await database.upgrade()
        await database.check()


async def test_servers_that_upgrade_at_once_do_it_once(database_url: str) -> None:
    rows = await made(database_url)
    before = await contents(database_url, rows)
    async with open_database(database_url) as one, open_database(database_url) as two:
        assert set(await asyncio.gather(one.upgrade(), two.upgrade())) == {HEAD}
        await one.check()
    assert await kept(database_url, rows) == before
