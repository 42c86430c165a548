import asyncio
import base64
import gzip
import hashlib
import io
import re
import tarfile

import pytest

from builder.exports import Exports
from builder.ports import Progress
from registry.web.api import timeouts as patience
from tests.registry.asgi import Client
from tests.registry.web.api.site import Site, build, wish

pytestmark = pytest.mark.anyio


async def test_every_form_is_there_whole_in_part_and_by_its_headers(client: Client) -> None:
    document = (await build(client, wish("tool"))).json()
    links = document["links"]
    for form in ("lock", "explicit", "environment.yml", "pixi.lock", "sbom", "provenance"):
        reply = await client.get(links[form])
        assert reply.status == 200, (form, reply.body)
        assert reply.headers["content-disposition"].startswith('attachment; filename="')
        assert reply.headers["accept-ranges"] == "bytes"
        part = await client.get(links[form], range="bytes=5-9")
        assert (part.status, part.body) == (206, reply.body[5:10])
        head = await client.head(links[form])
        assert head.status == 200
        assert head.headers["content-length"] == reply.headers["content-length"]
        same = await client.get(links[form], if_none_match=reply.headers["etag"])
        assert same.status == 304
        beyond = await client.get(links[form], range="bytes=99999999-")
        assert beyond.status == 416
        assert beyond.json()["error"]["code"] == "RANGE_INVALID"
    spdx = (await client.get(f"{links['sbom']}?format=spdx")).json()
    cyclonedx = (await client.get(f"{links['sbom']}?format=cyclonedx")).json()
    assert spdx["spdxVersion"] == "SPDX-2.3"
    assert cyclonedx["bomFormat"] == "CycloneDX"


async def test_a_package_of_a_build_is_the_archive_of_its_channel(
    client: Client, site: Site
) -> None:
    document = (await build(client, wish("tool"))).json()
    lock = (await client.get(document["links"]["lock"])).body.decode()
    for path in site.files("packages"):
        path.unlink()
    sums = re.findall("sha256: ([0-9a-f]{64})", lock)
    assert sums
    for sha256 in sums:
        url = f"{document['links']['self']}/packages/{sha256}"
        head = await client.head(url)
        reply = await client.get(url)
        assert reply.status == 200, reply
        assert hashlib.sha256(reply.body).hexdigest() == sha256
        assert head.headers["content-length"] == str(len(reply.body))
        digest = base64.b64encode(bytes.fromhex(sha256)).decode()
        assert reply.headers["repr-digest"] == f"sha-256=:{digest}:"
        name = re.search('filename="(.*)"', reply.headers["content-disposition"])
        assert name is not None
        assert name[1].endswith((".conda", ".tar.bz2"))
        part = await client.get(url, range="bytes=5-9")
        assert (part.status, part.body) == (206, reply.body[5:10])
        same = await client.get(url, if_none_match=reply.headers["etag"])
        assert same.status == 304


async def test_what_a_build_does_not_have_is_no_package_of_it(client: Client) -> None:
    one = (await build(client, wish("tool"))).json()["links"]
    other = (await build(client, wish("library"))).json()["links"]
    theirs = set(
        re.findall("sha256: ([0-9a-f]{64})", (await client.get(one["lock"])).body.decode())
    )
    mine = set(
        re.findall("sha256: ([0-9a-f]{64})", (await client.get(other["lock"])).body.decode())
    )
    for sha256 in (*(theirs - mine), "0" * 64, "x", "%0d%0a", "a" * 5000):
        reply = await client.get(f"{other['self']}/packages/{sha256}")
        assert reply.status == 404, reply
        error = reply.json()["error"]
        assert error["code"] == "ARCHIVE_UNKNOWN"
        assert "installation.json" in error["message"]


def names_in(tar: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        return {name.removeprefix("./") for name in opened.getnames()}


async def test_archives_and_images_are_files_too(client: Client) -> None:
    links = (await build(client, wish("tool"))).json()["links"]
    archive = await client.get(f"{links['archive.tar.gz']}?platform=linux-64")
    assert "bin/tool" in names_in(gzip.decompress(archive.body))
    image = await client.get(links["image.tar"])
    assert "manifest.json" in names_in(image.body)


async def test_an_archive_says_its_digest_also_in_part_and_when_it_was_lost(
    client: Client, site: Site
) -> None:
    links = (await build(client, wish("tool"))).json()["links"]
    for form in ("archive.tar.gz", "archive.tar.zst"):
        whole = await client.get(links[form])
        digest = base64.b64encode(hashlib.sha256(whole.body).digest()).decode()
        assert whole.headers["repr-digest"] == f"sha-256=:{digest}:"
        for path in site.files("forms"):
            if path.name == f"{form}.digest":
                path.unlink()
        part = await client.get(links[form], range="bytes=5-9")
        assert (part.status, part.body) == (206, whole.body[5:10])
        assert part.headers["repr-digest"] == f"sha-256=:{digest}:"


async def test_a_platform_that_the_build_does_not_have_is_refused(client: Client) -> None:
    links = (await build(client, wish("tool"))).json()["links"]
    reply = await client.get(f"{links['explicit']}?platform=linux-aarch64")
    assert reply.status == 422
    assert "linux-64" in reply.json()["error"]["message"]


async def test_who_waits_too_long_for_a_form_is_sent_round(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = (await build(client, wish("tool"))).json()["links"]
    make = Exports.get
    calls = 0

    async def slow(self: Exports, *args: object) -> object:
        nonlocal calls
        calls += 1
        if calls < 3:
            on_progress = args[-1]
            assert callable(on_progress)
            on_progress(Progress("assemble", 1, 9))
            await asyncio.Event().wait()
        return await make(self, *args)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(Exports, "get", slow)
    monkeypatch.setattr(patience, "HOP_SECONDS", 0.5)
    first = await client.get(f"{links['lock']}?platform=linux-64")
    assert first.status == 307
    assert first.headers["location"] == "lock?platform=linux-64&wait=1"
    assert first.json()["status"] == "assembling layers (1 of 9)"
    reply, hops = await client.follow("GET", links["lock"])
    assert reply.status == 200
    assert hops >= 1
    calls = -100
    reply = await client.get(f"{links['lock']}?wait=9")
    assert reply.status == 503
    assert reply.headers["retry-after"] == "10"
    assert "the lock is still being" in reply.json()["error"]["message"]


async def test_a_form_that_is_evicted_right_away_is_made_again(
    site: Site, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = (await build(client, wish("tool"))).json()["links"]
    text = (await client.get(links["explicit"])).body
    make, evictions = Exports.get, 0

    async def evicted(self: Exports, *args: object) -> object:
        nonlocal evictions
        file = await make(self, *args)  # type: ignore[arg-type]  # handed on as they came
        if evictions < 2:
            evictions += 1
            (site.store / file.key).unlink()
        return file

    monkeypatch.setattr(Exports, "get", evicted)
    reply = await client.get(links["explicit"])
    assert (reply.status, reply.body) == (200, text)
