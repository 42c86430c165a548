"""What boards of conda-store read."""

import pytest

from registry.app import create_app
from registry.web.conda_store import Face
from registry.wiring.conda_store import conda_store_face
from registry.wiring.services import open_services
from tests.registry.accounts import HASH, write_policy
from tests.registry.asgi import Client, open_client
from tests.registry.web.api.catalog import ADA, ROOT, ask, make_notebook, send
from tests.registry.web.api.site import Site, wish
from tests.registry.web.conda_store.site import message

pytestmark = pytest.mark.anyio

METRICS = "/conda-store/metrics"


def values(text: bytes) -> dict[str, int]:
    """Return what is told, by name."""
    lines = [line for line in text.decode().splitlines() if not line.startswith("#")]
    return {name: int(value) for name, value in (line.split() for line in lines)}


async def test_environments_and_builds_are_counted_by_conda_stores_names(client: Client) -> None:
    await make_notebook(client, wish("tool"))
    await ask(client, wish("nothing-like-this"))
    for path in (METRICS, f"{METRICS}/"):
        reply = await send(client, "GET", path)
        assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        found = values(reply.body)
        disk = found.pop("conda_store_disk_usage")
        assert found == {
            "conda_store_build_queued": 0,
            "conda_store_build_building": 0,
            "conda_store_build_completed": 1,
            "conda_store_build_failed": 1,
            "conda_store_build_canceled": 0,
            "conda_store_environments": 1,
        }
        assert disk >= 0
    await send(client, "DELETE", "/api/v1/namespaces/ada/environments/notebook", ADA)
    found = values((await send(client, "GET", METRICS)).body)
    assert found["conda_store_environments"] == found["conda_store_build_completed"] == 0


async def test_the_disk_is_that_of_the_store(site: Site) -> None:
    settings = site.configured()
    face = conda_store_face(settings)
    assert face == Face(disk=site.store)
    app = create_app(lambda: open_services(settings), access_log=False, conda_store=face)
    async with open_client(app) as client:
        found = values((await client.get(METRICS)).body)
    assert 0 < found["conda_store_disk_free"] <= found["conda_store_disk_total"]
    elsewhere = site.configured(store="s3://bucket/prefix")
    assert conda_store_face(elsewhere).disk is None


async def test_they_are_for_those_who_may_read_the_services_own(site: Site) -> None:
    write_policy(
        site.root / "auth.toml",
        'private = ["**"]',
        f"[users.root]\nhash = '{HASH}'\nrights = [\"**:*\"]",
        f"[users.ada]\nhash = '{HASH}'\nrights = []",
    )
    async with site.open() as client:
        own = [(await send(client, "GET", "/metrics", who)).status for who in (None, ADA, ROOT)]
        theirs = [(await send(client, "GET", METRICS, who)).status for who in (None, ADA, ROOT)]
    # It knows no challenge.
    assert theirs == [403 if status == 401 else status for status in own]
    assert theirs[2] == 200


async def test_nothing_is_told_of_workers(client: Client) -> None:
    for path in ("/conda-store/celery", "/conda-store/celery/"):
        assert "at /ui/queue" in message(await send(client, "GET", path, ROOT), 404)
