"""Whatever is asked of named environments, it is answered, and nothing is left behind.

``FUZZ_REQUESTS`` says how many requests there are; ``make fuzz`` sends 10,000.
"""

import asyncio
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Final

import pytest
from sqlalchemy import select

from registry.catalog.comparing import compare
from registry.database import Database, open_database, tables
from registry.sources.directory import dump_pointer
from registry.storage.filesystem import FilesystemStore
from registry.storage.layout import DATABASE
from tests.fuzz.catalog import Asked, Known, draw
from tests.registry.asgi import Client, Reply
from tests.registry.web.api.catalog import (
    NAMESPACES,
    ROOT,
    made,
    make_notebook,
    make_site,
    send,
)
from tests.registry.web.api.site import Site, wish

pytestmark = pytest.mark.anyio

REQUESTS: Final = int(os.environ.get("FUZZ_REQUESTS", "400"))
#: Those that count up with each row. What happens, and what servers read again, goes on meanwhile.
COUNTED: Final = ("namespace", "grant_", "token", "environment", "specification", "version")
#: What may be under the store's directory at the end, besides what ``docs`` call data: caches of
#: the machine, which the server keeps on purpose.
CACHES: Final = ("compilers", "repodata")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path, pypi=False)


@pytest.mark.timeout(max(300, REQUESTS))
async def test_whatever_is_asked_of_environments_is_answered_and_nothing_is_left(
    site: Site,
) -> None:
    chance, known = Random(14), Known()
    statuses: Counter[int] = Counter()
    async with site.open() as client:
        await furnish(client)
        before = len(asyncio.all_tasks())
        with closing(sqlite3.connect(database_file(site))) as rows:
            for number in range(REQUESTS):
                if number % 40 == 0:
                    await restore(client, known)
                asked = draw(known, chance)
                site.clock.now += 1
                try:
                    statuses[await ask(client, asked, known, rows)] += 1
                except BaseException as error:
                    error.add_note(f"request {number}: {asked}")
                    raise
        await until_quiet(site)
        await until_tasks_end(before + 2)
        await end_uploads(client, known)
        await require_nothing_left(site)
        await delete_pushed(client, site)
        await delete_everything(client)
        await until_quiet(site)
        await require_nothing_left(site)
        assert site.files("environments") == []
    assert not [path for path in files_of(site, ".scratch") if path.parts[0] not in CACHES]
    print(statuses.total(), "requests", dict(sorted(statuses.items())))
    assert statuses[200]
    assert statuses[201]
    assert statuses[404]


async def furnish(client: Client) -> None:
    """Make what there is at the beginning."""
    await make_notebook(client, wish("tool"))
    await made(client, NAMESPACES, ROOT, {"name": "lab"})
    await made(client, f"{NAMESPACES}/lab/environments?name=forecast", ROOT, wish("library"))


async def restore(client: Client, known: Known) -> None:
    """Have what there was at the beginning, whatever has become of it, and know of it."""
    for path in ("ada/notebook", "lab/forecast"):
        namespace, _, name = path.partition("/")
        url = f"{NAMESPACES}/{namespace}"
        for url_there in (url, f"{url}/environments/{name}"):
            reply = await send(client, "POST", f"{url_there}/restore", ROOT)
            assert reply.status in {200, 404, 409}, reply
        known.namespaces.append(namespace)
        known.environments += [path] * 3


async def ask(client: Client, asked: Asked, known: Known, rows: sqlite3.Connection) -> int:
    """Send a request, check how it is answered, and return the status."""
    lines = list(asked.headers)
    if asked.who is not None:
        lines.append(("authorization", asked.who))
    before = counted(rows)
    reply = await client.request(asked.method, asked.url, lines, asked.body)
    assert reply.status < 500, reply
    if reply.status >= 400:
        assert counted(rows) == before, "a request that was refused has left rows"
        if asked.method != "HEAD":
            require_sentence(asked, reply)
    else:
        remember(asked, reply, known)
    return reply.status


def require_sentence(asked: Asked, reply: Reply) -> None:
    """Assert that an error is told as the face that was asked tells errors."""
    document = reply.json()
    error = document["error"] if asked.url.startswith("/api/") else document["errors"][0]
    assert error["code"], document
    assert error["message"], document
    assert "\n" not in error["message"], document
    assert "Traceback" not in error["message"], document


def remember(asked: Asked, reply: Reply, known: Known) -> None:
    """Note what there is now."""
    location = reply.headers.get("location", "")
    if "/blobs/uploads/" in location:
        known.uploads.append(location)
    if not reply.headers.get("content-type", "").startswith("application/json"):
        return
    with suppress(ValueError):
        document = json.loads(reply.body)
        if isinstance(document, dict) and asked.url.startswith("/api/"):
            _remember(asked, document, known)


def _remember(asked: Asked, document: dict[str, object], known: Known) -> None:
    if isinstance(document.get("next"), str):
        known.cursors.append(str(document["next"]))
    if asked.method not in {"POST", "PATCH"}:
        return
    place = asked.url.partition("?")[0]
    if isinstance(document.get("path"), str) and document.get("path") not in known.environments:
        known.environments.append(str(document["path"]))
    elif place == "/api/v1/namespaces" and "slug" in document:
        known.namespaces.append(str(document["slug"]))
    elif place.endswith("/grants"):
        known.grants.append(int(str(document["id"])))
    elif place.endswith("/tokens"):
        known.tokens.append(int(str(document["id"])))
        known.secrets.append(f"Bearer {document['secret']}")
    if isinstance(document.get("key"), str):
        known.keys.append(str(document["key"]))


def database_file(site: Site) -> Path:
    return site.store / DATABASE / "pullforge.db"


def counted(rows: sqlite3.Connection) -> Mapping[str, int]:
    """Return the last number that each table has given."""
    found = dict(rows.execute("SELECT name, seq FROM sqlite_sequence").fetchall())
    return {name: found.get(name, 0) for name in COUNTED}


def files_of(site: Site, folder: str) -> list[Path]:
    return [path.relative_to(site.store / folder) for path in site.files(folder)]


async def until_quiet(site: Site) -> None:
    """Return when no version and no request is under way, and every document is written.

    The request of a version that was cancelled goes on.
    """
    async with asyncio.timeout(120), open_database(f"sqlite:///{database_file(site)}") as database:
        while open_requests(site) or await _is_busy(database):  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.05)


async def until_tasks_end(most: int) -> None:
    """Return when there are no more tasks than that; raise TimeoutError if a request never ends."""
    async with asyncio.timeout(60):
        while len(asyncio.all_tasks()) > most:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(0.05)


def open_requests(site: Site) -> list[Path]:
    """Return the inputs of requests that have not ended; of one that has failed, nothing is in it."""
    return [path for path in site.files("inputs") if path.stat().st_size]


async def _is_busy(database: Database) -> bool:
    async with database.reading() as connection:
        opened = select(tables.version.c.id).where(tables.OPEN).limit(1)
        if (await connection.execute(opened)).first() is not None:
            return True
        return (await connection.execute(select(tables.outbox.c.path).limit(1))).first() is not None


async def end_uploads(client: Client, known: Known) -> None:
    """Give up every upload: those are open until somebody does, or a day has passed."""
    lines = [("authorization", ROOT)]
    for location in known.uploads:
        reply = await client.request("DELETE", location, lines)
        if reply.status == 405:  # an environment has got that name since
            namespace, environment = location.removeprefix("/v2/").split("/")[:2]
            url = f"{NAMESPACES}/{namespace}/environments/{environment}"
            assert (await client.request("DELETE", url, lines)).status == 204
            await client.request("DELETE", location, lines)


async def require_nothing_left(site: Site) -> None:
    """Assert that nothing is half done, in the database or in the store."""
    async with open_database(f"sqlite:///{database_file(site)}") as database:
        with closing(FilesystemStore(site.store)) as store:
            wrong: list[str] = []
            await compare(database, store, dump_pointer, wrong.append)
        assert wrong == []
        async with database.reading() as connection:
            kept = tables.idempotency
            begun = await connection.execute(select(kept.c.key).where(kept.c.status == 0))
            assert begun.scalars().all() == []
    assert files_of(site, "uploads") == []
    assert files_of(site, "probes") == []
    for path in site.files("requests"):
        state = json.loads(path.read_bytes())
        assert state["key"] or state["failure"], state


async def delete_pushed(client: Client, site: Site) -> None:
    """Delete every pushed manifest: a namespace in which there is one is not deleted."""
    for path in files_of(site, "repositories"):
        repository, is_manifest, digest = path.as_posix().partition("/_manifests/")
        if is_manifest:
            url = f"/v2/{repository}/manifests/{digest.replace('-', ':', 1)}"
            reply = await client.request("DELETE", url, [("authorization", ROOT)])
            assert reply.status == 202, reply


async def delete_everything(client: Client) -> None:
    """Delete every namespace, as an administrator."""
    while True:
        page = (await send(client, "GET", "/api/v1/namespaces?limit=100", ROOT)).json()
        for one in page["items"]:
            reply = await send(client, "DELETE", f"/api/v1/namespaces/{one['slug']}", ROOT)
            assert reply.status == 204, reply
        if not page["items"]:
            return
