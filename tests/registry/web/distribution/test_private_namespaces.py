"""What was pushed into a namespace is private, whatever becomes of it or of the database."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from builder.oci.digest import digest_of
from tests.registry.asgi import Client
from tests.registry.pushing import manifest_of
from tests.registry.web.api.catalog import ADA, NAMESPACES, ROOT, made, make_site, refused, send
from tests.registry.web.api.site import Site

pytestmark = pytest.mark.anyio

#: A database that does not answer.
NOWHERE = "postgresql://x:y@127.0.0.1:1/none"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path)


async def bearer(client: Client, repository: str, who: str | None) -> str:
    url = f"/v2/token?scope=repository:{repository}:pull,push"
    return f"Bearer {(await send(client, 'GET', url, who)).json()['token']}"


async def push(client: Client, repository: str) -> str:
    """Push an image as ada, and return the digest of its layer."""
    who, parts = await bearer(client, repository, ADA), (b"config", repository.encode())
    for data in parts:
        url = f"/v2/{repository}/blobs/uploads/?digest={digest_of(data)}"
        assert (await client.post(url, data, authorization=who)).status == 201
    reply = await client.put(
        f"/v2/{repository}/manifests/1",
        manifest_of(*parts),
        content_type="application/vnd.oci.image.manifest.v1+json",
        authorization=who,
    )
    assert reply.status == 201, reply
    return digest_of(parts[1])


async def statuses(client: Client, repository: str, layer: str) -> Sequence[int]:
    """Return what a stranger is answered for manifest and layer."""
    who = await bearer(client, repository, None)
    urls = (f"/v2/{repository}/manifests/1", f"/v2/{repository}/blobs/{layer}")
    return [(await send(client, "GET", url, who)).status for url in urls]


async def test_a_namespace_is_not_renamed_or_deleted_while_images_lie_in_it(site: Site) -> None:
    async with site.open() as client:
        await made(client, NAMESPACES, ROOT, {"name": "team", "owner": "ada"})
        layer = await push(client, "team/app")
        for method, body in (("PATCH", {"name": "crew"}), ("DELETE", None)):
            reply = await send(client, method, f"{NAMESPACES}/team", ROOT, body)
            assert "pushed repositories" in refused(reply, 409, "NAMESPACE_IN_USE")
        assert await statuses(client, "team/app", layer) == [404, 404]
        manifest = await send(
            client, "GET", "/v2/team/app/manifests/1", await bearer(client, "team/app", ADA)
        )
        digest = manifest.headers["docker-content-digest"]
        gone = await send(client, "DELETE", f"/v2/team/app/manifests/{digest}", ROOT)
        assert gone.status == 202, gone
        assert (await send(client, "DELETE", f"{NAMESPACES}/team", ADA)).status == 204


async def test_a_push_that_takes_long_does_not_end_in_what_is_an_environment_by_then(
    site: Site,
) -> None:
    async with site.open() as client:
        await made(client, NAMESPACES, ROOT, {"name": "team", "owner": "ada"})
        who, parts = await bearer(client, "team/app", ADA), (b"config", b"layer")
        for data in parts:
            url = f"/v2/team/app/blobs/uploads/?digest={digest_of(data)}"
            assert (await client.post(url, data, authorization=who)).status == 201
        manifest = manifest_of(*parts)
        messages = [
            {"type": "http.request", "body": manifest[10:], "more_body": False},
            {"type": "http.request", "body": manifest[:10], "more_body": True},
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            if len(messages) == 1:
                await made(client, f"{NAMESPACES}/team/environments", ADA, {"name": "app"})
            return messages.pop()

        async def keep(message: Any) -> None:
            sent.append(message)

        headers = [("authorization", who), ("content-type", json.loads(manifest)["mediaType"])]
        scope = client._scope("PUT", "/v2/team/app/manifests/1", headers)
        await client._app(scope, receive, keep)
        assert sent[0]["status"] == 405, sent
        url = f"{NAMESPACES}/team/environments/app"
        assert (await send(client, "DELETE", url, ADA)).status == 204
        assert (await send(client, "POST", f"{url}/restore", ADA)).status == 200


async def test_a_server_without_its_database_opens_nothing_that_is_in_a_namespace(
    site: Site,
) -> None:
    async with site.open() as client:
        await made(client, NAMESPACES, ROOT, {"name": "team", "owner": "ada"})
        document = site.store / "namespaces/team"
        assert document.is_file()  # at once: the database may be gone the next moment
        layers = {name: await push(client, name) for name in ("team/app", "team/deep/app")}
    async with site.open(database=NOWHERE) as client:
        for name, layer in layers.items():
            assert 200 not in await statuses(client, name, layer), name
    # One that is made while the server is up is read when it is asked for.
    data = document.read_bytes()
    document.unlink()
    async with site.open(database=NOWHERE) as client:
        document.write_bytes(data)
        for name, layer in layers.items():
            assert 200 not in await statuses(client, name, layer), name
