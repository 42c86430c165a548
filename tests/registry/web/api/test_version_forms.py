"""Files of versions, for whoever may see the environment, where builds are private."""

import pytest

from registry.web.api.documents import FORM_LINKS
from tests.registry.accounts import HASH, write_policy
from tests.registry.asgi import Client
from tests.registry.web.api.catalog import (
    ADA,
    BOB,
    NAMESPACES,
    NOTEBOOK,
    ROOT,
    ask,
    made,
    make_notebook,
    refused,
    send,
)
from tests.registry.web.api.site import BUILDS, Site, wish

pytestmark = pytest.mark.anyio

VERSION = f"{NOTEBOOK}/versions/1"


@pytest.fixture
def site(catalog_site: Site) -> Site:
    lines = ['private = ["env/**", "build/**"]']
    for name, rights in (("root", '["**:*"]'), ("ada", '["**:build"]'), ("bob", "[]")):
        lines += [f"[users.{name}]", f"hash = '{HASH}'", f"rights = {rights}"]
    write_policy(catalog_site.root / "auth.toml", *lines)
    return catalog_site


async def test_a_viewer_has_every_form_as_the_build_gives_it_and_not_the_build(
    client: Client,
) -> None:
    key = (await make_notebook(client, wish("tool")))["key"]
    refused(await send(client, "GET", f"{VERSION}/lock", BOB), 404, "ENVIRONMENT_UNKNOWN")
    grant = {"subject": "bob", "role": "viewer", "environment": "notebook"}
    await made(client, f"{NAMESPACES}/ada/grants", ADA, grant)
    for form in FORM_LINKS:
        of_build = await send(client, "GET", f"{BUILDS}/{key}/{form}", ROOT)
        assert of_build.status == 200, (form, of_build)
        reply = await send(client, "GET", f"{VERSION}/{form}", BOB)
        assert (reply.status, reply.body) == (200, of_build.body), form
        for name in ("etag", "content-type", "content-disposition", "accept-ranges"):
            assert reply.headers[name] == of_build.headers[name], (form, name)
        assert reply.headers.get("repr-digest") == of_build.headers.get("repr-digest")
        assert reply.headers["cache-control"] == "private, no-cache"
        part = await send(client, "GET", f"{VERSION}/{form}", BOB, range="bytes=5-9")
        assert (part.status, part.body) == (206, reply.body[5:10])
        head = await send(client, "HEAD", f"{VERSION}/{form}", BOB)
        assert (head.status, head.headers["content-length"]) == (200, str(len(reply.body)))
        etag = reply.headers["etag"]
        same = await send(client, "GET", f"{VERSION}/{form}", BOB, if_none_match=etag)
        assert same.status == 304
        assert (await send(client, "GET", f"{BUILDS}/{key}/{form}", BOB)).status == 403
    assert "repr-digest" in (await send(client, "GET", f"{VERSION}/archive.tar.zst", BOB)).headers


async def test_parameters_are_those_of_builds(client: Client) -> None:
    await make_notebook(client, wish("tool"))
    cyclonedx = await send(client, "GET", f"{VERSION}/sbom?format=cyclonedx&wait=1", ADA)
    assert cyclonedx.json()["bomFormat"] == "CycloneDX"
    there = await send(client, "GET", f"{VERSION}/explicit?platform=linux-64", ADA)
    assert there.status == 200
    absent = await send(client, "GET", f"{VERSION}/explicit?platform=linux-aarch64", ADA)
    assert absent.status == 422
    for odd in ("explicit?platform=win-64", "sbom?format=x", "lock?format=spdx", "lock?wait=10"):
        refused(await send(client, "GET", f"{VERSION}/{odd}", ADA), 400, "PARAMETER_INVALID")


async def test_what_is_no_built_version_has_no_files(client: Client) -> None:
    await make_notebook(client)
    await ask(client, wish("nothing-like-this"))
    told = refused(await send(client, "GET", f"{VERSION}/lock", ADA), 409, "VERSION_NOT_BUILT")
    assert "version 1 of 'ada/notebook' is failed" in told
    url = f"{NOTEBOOK}/versions/9/lock"
    refused(await send(client, "GET", url, ADA), 404, "VERSION_UNKNOWN")
    url = f"{NOTEBOOK}/versions/v1/lock"
    refused(await send(client, "GET", url, ADA), 404, "ENDPOINT_UNKNOWN")
