"""What docs/backup.md says is done by its own commands, from one machine to another."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from builder.oci.digest import digest_of
from conformance.clients.server import ROOT
from registry.auth.trail import AUDIT_ONLY
from registry.catalog.records import Actor
from registry.sources.directory import parse_pointer
from tests.registry.accounts import basic
from tests.registry.asgi import Client
from tests.registry.catalog.conftest import postgres
from tests.registry.catalog.house import House
from tests.registry.databases import BOTH, Postgres, new_url, opened
from tests.registry.web.api.catalog import (
    ADA,
    BOB,
    NAMESPACES,
    NOTEBOOK,
    ask,
    made,
    make_notebook,
    make_site,
    send,
)
from tests.registry.web.api.catalog import ROOT as ADMINISTRATOR
from tests.registry.web.api.site import Site, wish

__all__ = ["postgres"]  # the fixture

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

PAGE: Final = ROOT / "docs" / "backup.md"
#: Where the page has them.
STORE, BACKUP = "/var/lib/pullforge", "/backup"
IMAGES = ("latest", "v1", "v2")


@pytest.fixture
def old(tmp_path: Path) -> Site:
    """A machine with people."""
    (tmp_path / "old").mkdir()
    return make_site(tmp_path / "old")


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    (tmp_path / "backup").mkdir()
    return tmp_path / "backup"


def new_machine(old: Site, root: Path, **settings: str) -> Site:
    """Return one with nothing; channels and base are where they were.

    The auth file belongs to the back-up.
    """
    root.mkdir()
    places = {
        "channels": {"main": f"file://{old.channel}"},
        "base": f"oci:{old.root / 'base'}",
        "auth_file": old.root / "auth.toml",
    }
    return Site(root, places | settings)


def commands(heading: str) -> str:
    """Return the first commands below a heading of the page."""
    text = PAGE.read_text(encoding="utf-8")
    below = text[text.index(f" {heading}\n") :]
    block = re.search(r"```console\n(.*?)```", below, re.DOTALL)
    assert block is not None
    return "\n".join(line.removeprefix("$ ") for line in block[1].splitlines())


async def do(heading: str, site: Site, backup: Path) -> None:
    """Carry out what the page says, on a machine."""
    script = commands(heading).replace(STORE, str(site.store)).replace(BACKUP, str(backup))
    database = site.settings.get("database")
    process = await asyncio.create_subprocess_exec(
        *("bash", "-e", "-u", "-c", f'pullforge() {{ "$PYTHON" -m registry "$@"; }}\n{script}'),
        env={
            **os.environ,
            "PYTHON": sys.executable,
            "PYTHONPATH": str(ROOT),
            **({"PULLFORGE_DATABASE": database} if database else {}),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


@asynccontextmanager
async def used(site: Site) -> AsyncIterator[dict[str, str]]:
    """Run a service that people have used for a while; give their tokens."""
    async with site.open() as client:
        assert (await make_notebook(client, wish("tool")))["state"] == "built"
        assert (await ask(client, wish("library"))).status == 201
        await send(client, "PUT", f"{NOTEBOOK}/active", ADA, {"version": 1})
        role = {"subject": "bob", "role": "viewer"}
        await made(client, f"{NAMESPACES}/ada/grants", ADA, role)
        await made(client, f"{NAMESPACES}/ada/environments", ADA, {"name": "gone"})
        await send(client, "DELETE", f"{NAMESPACES}/ada/environments/gone", ADA)
        tokens = {}
        for name, scopes in (("whole", None), ("limited", ["ada/none:pull"]), ("revoked", None)):
            wanted = {"name": name, "scopes": scopes}
            token = await made(client, "/api/v1/tokens", ADA, wanted)
            tokens[name] = token["secret"]
        await send(client, "DELETE", f"/api/v1/tokens/{token['id']}", ADA)
        yield tokens


async def images(client: Client) -> dict[str, list[str]]:
    """Return the digests of everything that each tag leads to, as ada pulls it."""
    found = {}
    who = [("authorization", ADA)]
    for tag in IMAGES:
        reply, _ = await client.follow("GET", f"/v2/ada/notebook/manifests/{tag}", who)
        assert reply.status == 200, reply
        document = reply.json()
        digests = [reply.headers["docker-content-digest"]]
        for part in (document["config"], *document["layers"]):
            blob, _ = await client.follow("GET", f"/v2/ada/notebook/blobs/{part['digest']}", who)
            assert digest_of(blob.body) == part["digest"]
            digests.append(part["digest"])
        found[tag] = digests
    return found


async def known(client: Client, tokens: dict[str, str]) -> dict[str, Any]:
    """Return what people read: what there is, who may what, and what happened."""
    documents = {
        url: (await send(client, "GET", url, ADMINISTRATOR)).json()
        for url in (
            f"{NAMESPACES}/ada",
            f"{NAMESPACES}/ada/environments?deleted",
            f"{NAMESPACES}/ada/grants",
            f"{NAMESPACES}/ada/events?limit=100",
            f"{NOTEBOOK}/versions",
            f"{NOTEBOOK}/active",
            "/api/v1/environments?package=tool&version=1.0",
            "/api/v1/events?limit=100",
            "/v2/ada/notebook/tags/list",
        )
    }
    # Who looks, and logs in, is told of, too: that is not what was backed up.
    happened = documents["/api/v1/events?limit=100"]
    happened["items"] = [one for one in happened["items"] if one["action"] not in AUDIT_ONLY]
    documents["tokens"] = (await send(client, "GET", "/api/v1/tokens?ended", ADA)).json()
    documents["file"] = (
        await send(client, "GET", f"{NOTEBOOK}/versions/2/specification", ADA)
    ).body
    ways = {name: f"Bearer {secret}" for name, secret in tokens.items()}
    ways |= {
        "bob": BOB,
        "stranger": basic("eve"),
        "a token as password": basic("x", tokens["whole"]),
    }
    documents["may"] = {
        name: [
            (await send(client, "GET", url, way)).status
            for url in (NOTEBOOK, "/v2/ada/notebook/manifests/latest", "/api/v1/users/me")
        ]
        for name, way in ways.items()
    }
    return documents


@pytest.mark.parametrize("how", ["Backing up", "As little as can be"])
@pytest.mark.parametrize("to", BOTH)
async def test_a_service_is_backed_up_and_restored_elsewhere(
    old: Site, backup: Path, tmp_path: Path, postgres: Postgres, how: str, to: str
) -> None:
    async with used(old) as tokens:
        await do(how, old, backup)  # while it runs
    async with old.open() as client:
        before, pulled = await known(client, tokens), await images(client)
    assert before["may"] == {
        "whole": [200, 200, 200],
        "limited": [404, 404, 200],
        "revoked": [401, 401, 401],
        "bob": [200, 200, 200],
        "stranger": [401, 401, 401],
        "a token as password": [200, 200, 200],
    }
    assert pulled["latest"] == pulled["v1"] != pulled["v2"]
    shutil.rmtree(old.store)
    root = tmp_path / "new"
    new = new_machine(old, root, database=new_url(to, postgres, root / "store"))
    await do("Restoring", new, backup)
    async with new.open() as client:
        assert await known(client, tokens) == before
        assert await images(client) == pulled
        await written(new, "ada/notebook")
        # And it goes on.
        assert (await ask(client, wish("tool", "library"))).json()["number"] == 3
        restored = await send(client, "POST", f"{NAMESPACES}/ada/environments/gone/restore", ADA)
        assert restored.status == 200, restored
    # Once more is refused.
    with pytest.raises(AssertionError, match="not empty"):
        await do("Restoring", new, backup)


async def written(site: Site, environment: str) -> None:
    """Return when the store has what an environment leads to."""
    document = site.store / "environments" / environment
    async with asyncio.timeout(20):
        while not document.is_file():  # noqa: ASYNC110 (nobody announces it)
            await asyncio.sleep(0.05)
    assert parse_pointer(document.read_bytes()).active is not None


async def test_a_version_that_nobody_has_begun_is_made_where_it_is_restored(
    old: Site, backup: Path, tmp_path: Path
) -> None:
    async with old.open() as client:
        await make_notebook(client)
    async with opened(f"sqlite:///{old.store}/database/pullforge.db") as database:
        await House(database).versions.ask(Actor("ada"), "ada", "notebook", wish("tool"))
    await do("Backing up", old, backup)
    new = new_machine(old, tmp_path / "new")
    await do("Restoring", new, backup)
    async with new.open() as client:
        catalog = client.services.catalog
        assert catalog is not None
        async with asyncio.timeout(60):
            while (await catalog.versions.get("ada", "notebook", 1)).state != "built":
                await catalog.follower.changed(1)
