"""Channels that behave as conda.anaconda.org and prefix.dev do."""

from __future__ import annotations

import datetime
import json
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from builder.errors import ChannelUnavailable, PackageUnavailable
from builder.lock import Lock
from builder.solve import Solver
from builder.spec import Channel
from conformance.channel import ChannelPaths
from conformance.lookalikes import AnacondaOrg, Credentials, PrefixDev
from conformance.lookalikes.channel_index import Record
from conformance.lookalikes.channels import Form, SignedChannels
from registry.settings import Settings
from registry.telemetry import Metrics
from registry.wiring.building import Builder, open_builder

pytestmark = pytest.mark.anyio

TODAY = datetime.date(2026, 11, 1)
KINDS = pytest.mark.parametrize("kind", [AnacondaOrg, PrefixDev])

OpenBuilder = Callable[[str], AbstractAsyncContextManager[Builder]]


@pytest.fixture
def anyio_backend() -> str:
    """The loop of the server."""
    return "asyncio"


@pytest.fixture
def building(tmp_path: Path) -> OpenBuilder:
    """Open a builder over one channel; what was kept is kept for the next one."""

    @asynccontextmanager
    async def opened(url: str) -> AsyncIterator[Builder]:
        settings = Settings.model_validate(
            {
                "store": str(tmp_path / "store"),
                "channels": {"conda-forge": url},
                "repodata_ttl_seconds": 0.001,
                "pypi": False,
                "private_networks": ["127.0.0.0/8"],
            }
        )
        async with open_builder(settings, Metrics()) as builder:
            yield builder

    return opened


async def lock(builder: Builder, name: str = "env/click", tag: str = "py3.11-bare") -> Lock:
    """Return what a name means."""
    spec = await builder.resolver.spec(name, tag, builder.policy, TODAY)
    return await builder.resolver.lock(spec, lambda _: None)


async def download(builder: Builder, locked: Lock, name: str = "click") -> Path:
    """Download one package of a lock."""
    record = next(record for record in locked.platforms["linux-64"] if record.name == name)
    return await builder.packages.archive(record)


@KINDS
@pytest.mark.parametrize("form", ["shards", "zst", "bz2", "json"])
async def test_an_index_in_any_one_form_will_do(
    paths: ChannelPaths, building: OpenBuilder, kind: type[SignedChannels], form: Form
) -> None:
    """All of them say the same."""
    with kind(paths.channel, forms=[form]) as channel:
        async with building(channel.url) as builder:
            locked = await lock(builder)
    assert {"click", "python"} <= {record.name for record in locked.platforms["linux-64"]}


@KINDS
async def test_packages_come_from_the_store_that_the_channel_sends_to(
    paths: ChannelPaths, building: OpenBuilder, kind: type[SignedChannels]
) -> None:
    """With a GET, as it signs no other; what is locked is the channel's own address."""
    with kind(paths.channel) as channel:
        async with building(channel.url) as builder:
            locked = await lock(builder)
            assert (await download(builder, locked)).stat().st_size > 0
        record = next(record for record in locked.platforms["linux-64"] if record.name == "click")
        assert record.url.startswith(f"{channel.url}/noarch/click-")
        (asked,) = channel.asked(channel.STORE_HOST)
        assert asked.startswith("GET /conda-forge/noarch/click-")
        assert "X-Amz-Signature" in asked


async def test_an_address_that_has_expired_is_asked_for_once_more(
    paths: ChannelPaths, building: OpenBuilder
) -> None:
    """A cache may have kept the redirect for longer than the signature lasts."""
    with AnacondaOrg(paths.channel, seconds=-1) as channel:
        async with building(channel.url) as builder:
            locked = await lock(builder)
            with pytest.raises(
                PackageUnavailable, match=r"click.* answered 403 for it; pull again"
            ):
                await download(builder, locked)
            assert len(channel.asked(channel.STORE_HOST)) > 1
            channel.seconds = 60
            await download(builder, locked)


async def test_an_index_behind_signed_addresses_is_read_and_renewed(
    paths: ChannelPaths, building: OpenBuilder
) -> None:
    """Each time with another address, which is no part of anything that is kept.

    What is signed for a GET cannot be asked for by HEAD, which is how rattler finds out what there
    is besides `repodata.json`.
    """
    with PrefixDev(paths.channel, forms=["zst", "json"], sign_index=True) as channel:
        async with building(channel.url) as builder:
            first = await lock(builder)
            assert await lock(builder) == first
    assert "cloudflarestorage" not in str(first)


async def test_what_has_not_changed_is_not_sent_again(
    paths: ChannelPaths, building: OpenBuilder
) -> None:
    """304 with validators, as a CDN answers, and cookies that nobody has to send back."""
    with AnacondaOrg(paths.channel, forms=["zst", "json"]) as channel:
        channel.max_age_seconds = 0
        async with building(channel.url) as builder:
            first = await lock(builder)
            assert await lock(builder) == first
        fetched = [seen for seen in channel.seen if "linux-64/repodata.json.zst" in seen.path]
        statuses = [seen.status for seen in fetched if seen.method == "GET"]
        assert statuses[0] == 200
        assert set(statuses[1:]) == {304}


@pytest.fixture
def simple_server(paths: ChannelPaths, tmp_path: Path) -> Iterator[str]:
    """The address of `python -m http.server` in a channel that was indexed just now.

    An index that is older is taken as fresh for a tenth of its age, and not asked for.
    """

    def copy(source: str, target: str) -> None:
        if ".conda" in source or ".tar.bz2" in source:
            Path(target).symlink_to(source)
        else:
            shutil.copyfile(source, target)

    directory = shutil.copytree(paths.channel, tmp_path / "channel", copy_function=copy)
    handler = partial(_Quiet, directory=str(directory))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Write nothing."""


async def test_pythons_own_server_can_be_a_channel(
    simple_server: str, building: OpenBuilder
) -> None:
    """It answers 304 without validators; it is the first that people try."""
    async with building(simple_server) as builder:
        first = await lock(builder)
        # Their shards have not been read, and the list of shards has not changed.
        for name in ("env/six", "env/idna", "env/requests"):
            await lock(builder, name)
        await download(builder, first)
    async with building(simple_server) as builder:
        assert await lock(builder) == first
        await lock(builder, "env/attrs")


async def test_an_index_that_is_limited_is_told_as_such(
    paths: ChannelPaths, building: OpenBuilder
) -> None:
    """By its name, and with what it answers."""
    with AnacondaOrg(paths.channel) as channel:
        channel.limit()
        async with building(channel.url) as builder:
            with pytest.raises(ChannelUnavailable) as error:
                await lock(builder)
    assert str(error.value) == (
        "channel 'conda-forge' cannot be used: it answers 429 Too Many Requests"
    )


async def test_a_download_that_is_limited_waits_as_long_as_it_is_told(
    paths: ChannelPaths, building: OpenBuilder
) -> None:
    """And not longer."""
    with AnacondaOrg(paths.channel) as channel:
        async with building(channel.url) as builder:
            locked = await lock(builder)
            channel.limit(2, retry_after="0")
            await download(builder, locked)


@pytest.mark.parametrize("status", [403, 404])
async def test_a_package_that_is_gone_is_told_with_who_had_it(
    paths: ChannelPaths, building: OpenBuilder, status: int
) -> None:
    """Servers over a bucket say 403 for what is missing."""
    with AnacondaOrg(paths.channel) as full:
        async with building(full.url) as builder:
            locked = await lock(builder)
            full.missing_status = status
            full.lose("noarch/click-*")
            with pytest.raises(PackageUnavailable, match=f"click-.* answered {status} for it"):
                await download(builder, locked)


@KINDS
async def test_shards_that_are_listed_and_missing_are_done_without(
    paths: ChannelPaths, building: OpenBuilder, kind: type[SignedChannels]
) -> None:
    """As prefix-dev/prefix-dev#92 has it; the whole index is there all the while."""
    with kind(paths.channel) as channel:
        channel.lose("*/shards/*")
        async with building(channel.url) as builder:
            first = await lock(builder)
            assert await lock(builder) == first
            assert channel.asked(channel.STORE_HOST) == []


@pytest.mark.parametrize("status", [403, 404])
async def test_forms_of_the_index_that_are_missing_are_passed_over(
    paths: ChannelPaths, building: OpenBuilder, status: int
) -> None:
    """Whatever a server says of what it does not have."""
    with AnacondaOrg(paths.channel, forms=["json"], missing=status) as channel:
        async with building(channel.url) as builder:
            await lock(builder)


async def test_a_hotfix_of_the_index_counts_and_not_what_is_in_the_package(
    paths: ChannelPaths, building: OpenBuilder
) -> None:
    """The index has been patched since: click needs six, and a version of it is removed."""

    def patched(record: Record) -> None:
        if record["name"] == "click":
            record["depends"] = [*record["depends"], "six"]

    with AnacondaOrg(paths.channel) as unpatched:
        async with building(unpatched.url) as builder:
            before = {r.name: r for r in (await lock(builder)).platforms["linux-64"]}
    assert "six" not in before
    with AnacondaOrg(paths.channel, edit=patched, removed=[before["click"].file_name]) as channel:
        async with building(channel.url) as builder:
            locked = await lock(builder)
            after = {record.name: record for record in locked.platforms["linux-64"]}
    assert "six" in after
    assert after["click"].version != before["click"].version


def test_what_wants_credentials_gives_nothing_without_and_its_store_none_with(
    paths: ChannelPaths,
) -> None:
    """The three ways that channels have; a store refuses who shows a credential besides."""
    credentials = Credentials(basic=("me", "secret"), bearer="abc", token="t-0")
    with PrefixDev(paths.channel, "acme", credentials=credentials) as channel:
        place = "noarch/repodata.json"
        assert httpx.get(f"{channel.url}/{place}").status_code == 403
        host = channel.address("prefix.dev")
        assert httpx.get(f"{host}/t/t-0/acme/{place}").status_code == 200
        assert httpx.get(f"{channel.url}/{place}", auth=("me", "secret")).status_code == 200
        headers = {"Authorization": "Bearer abc"}
        index = httpx.get(f"{channel.url}/{place}", headers=headers).json()
        package = next(iter(index["packages.conda"]))
        answer = httpx.get(f"{channel.url}/noarch/{package}", headers=headers)
        assert answer.status_code == 302
        assert httpx.head(answer.headers["location"]).status_code == 403
        assert httpx.get(answer.headers["location"]).status_code == 200
        assert httpx.get(answer.headers["location"], headers=headers).status_code == 400


def test_the_index_can_lack_what_old_channels_lack(paths: ChannelPaths) -> None:
    """Sums, a whole subdir, and a place beside the index."""
    with AnacondaOrg(
        paths.channel,
        edit=lambda record: record.pop("sha256"),
        noarch=False,
        base_url="https://elsewhere.example/",
    ) as channel:
        assert httpx.get(f"{channel.url}/noarch/repodata.json").status_code == 404
        index = httpx.get(f"{channel.url}/linux-64/repodata.json").json()
        assert index["info"]["base_url"] == "https://elsewhere.example/"
        assert not any("sha256" in record for record in index["packages.conda"].values())


@KINDS
async def test_an_archive_in_the_old_format_beside_a_new_one_is_found_where_there_are_shards(
    tmp_path: Path, kind: type[SignedChannels]
) -> None:
    """A shard has both, but what reads it gives one of them; so the whole index is asked."""
    record = {
        "name": "both",
        "version": "1.0",
        "build": "0",
        "build_number": 0,
        "depends": [],
        "subdir": "linux-64",
        "md5": "a" * 32,
        "sha256": "b" * 64,
    }
    for subdir, records in (("linux-64", {"both-1.0-0": record}), ("noarch", {})):
        index = {
            "info": {"subdir": subdir},
            "packages": {f"{name}.tar.bz2": r | {"md5": "c" * 32} for name, r in records.items()},
            "packages.conda": {f"{name}.conda": r for name, r in records.items()},
        }
        (tmp_path / "channel" / subdir).mkdir(parents=True)
        (tmp_path / "channel" / subdir / "repodata.json").write_text(json.dumps(index))
    places = {f"linux-64/both-1.0-0{ending}" for ending in (".tar.bz2", ".conda")}
    solver = Solver(tmp_path / "cache", max_retries=0)
    with kind(tmp_path / "channel", forms=["shards", "zst"]) as channel:
        found = await solver.find(Channel("main", channel.url), "linux-64", places)
    await solver.close()
    assert {place: record.md5[0] for place, record in found.items()} == {
        "linux-64/both-1.0-0.conda": "a",
        "linux-64/both-1.0-0.tar.bz2": "c",
    }
