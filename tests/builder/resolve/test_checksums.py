"""Channels whose index lacks checksums, with packages that others made."""

import asyncio
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from builder.errors import CorruptPackage, InputError
from builder.inputs import read_request
from builder.keys import package_key
from builder.lock import Lock, to_yaml
from registry.settings import Settings
from registry.telemetry import Metrics
from registry.wiring.building import environment_policy, open_builder
from tests.made_by_others import copy_of

ZLIB = "zlib-1.2.11-h7b6447c_3.tar.bz2"
SPECS = b'{"specs": ["zlib"], "platforms": ["linux-64"]}'
LACKING = pytest.mark.parametrize("lacking", [["sha256"], ["md5"], ["sha256", "md5"]], ids="+".join)


class ServedChannel:
    """A channel of one package of pkgs/main, whose index may be changed."""

    def __init__(self, directory: Path, url: str) -> None:
        self.directory = directory
        self.url = url
        #: The paths of the archives that were sent.
        self.sent: list[str] = []
        for subdir in ("linux-64", "noarch"):
            (directory / subdir).mkdir(parents=True)
        self.archive = directory / "linux-64" / ZLIB
        copy_of(f"real/packages/{ZLIB}", self.archive)
        self.sums = _sums(self.archive)
        self.index()

    def index(self, *lacking: str, **fields: Any) -> None:
        """Write the index anew, without some fields and with others."""
        record = {
            "name": "zlib",
            "version": "1.2.11",
            "build": "h7b6447c_3",
            "build_number": 3,
            "depends": [],
            "subdir": "linux-64",
            "size": self.archive.stat().st_size,
            **self.sums,
            **fields,
        }
        for field in lacking:
            del record[field]
        for subdir, packages in (("linux-64", {ZLIB: record}), ("noarch", {})):
            content = {"info": {"subdir": subdir}, "packages": packages, "packages.conda": {}}
            (self.directory / subdir / "repodata.json").write_text(json.dumps(content))


def _sums(path: Path) -> dict[str, str]:
    data = path.read_bytes()
    return {kind: hashlib.new(kind, data).hexdigest() for kind in ("sha256", "md5")}


@pytest.fixture
def channel(tmp_path: Path) -> Iterator[ServedChannel]:
    directory = tmp_path / "channel"

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            if self.path.endswith(".tar.bz2"):
                served.sent.append(self.path)

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=directory)) as server:
        served = ServedChannel(directory, f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield served
        server.shutdown()
        thread.join()


def lock(channel: ServedChannel, store: Path, wanted: bytes = SPECS, *, forget: str = "") -> Lock:
    """Return the lock that a server with this store makes of ``wanted``.

    With ``forget``, the archive of that sha256 has been evicted before.
    """
    settings = Settings.model_validate(
        {
            "store": str(store),
            "scratch": str(store.with_name(f"{store.name}-{len(list(store.parent.iterdir()))}")),
            "channels": {"conda-forge": channel.url},
            "pypi": False,
        }
    )

    async def scenario() -> Lock:
        async with open_builder(settings, Metrics()) as builder:
            if forget:
                (store / package_key(forget)).unlink()
            offered = replace(environment_policy(settings), base=None)
            asked = read_request(wanted, offered, max_bytes=10_000)
            return await builder.resolver.settle(asked, builder.policy, lambda _: None)

    return asyncio.run(scenario())


@LACKING
def test_what_the_index_lacks_is_computed(
    channel: ServedChannel, tmp_path: Path, lacking: list[str]
) -> None:
    whole = lock(channel, tmp_path / "store")
    assert not channel.sent

    channel.index(*lacking)
    computed = lock(channel, tmp_path / "another")

    assert computed == whole
    (record,) = computed.platforms["linux-64"]
    assert {"sha256": record.sha256, "md5": record.md5} == channel.sums
    assert len(channel.sent) == 1


@LACKING
def test_what_was_computed_is_remembered(
    channel: ServedChannel, tmp_path: Path, lacking: list[str]
) -> None:
    channel.index(*lacking)
    first = lock(channel, tmp_path / "store")

    assert lock(channel, tmp_path / "store") == first
    assert len(channel.sent) == 1


def test_one_sum_is_enough_to_remember_the_other_without_the_archive(
    channel: ServedChannel, tmp_path: Path
) -> None:
    channel.index("sha256")
    first = lock(channel, tmp_path / "store")

    again = lock(channel, tmp_path / "store", forget=channel.sums["sha256"])

    assert again == first
    assert len(channel.sent) == 1


def test_an_archive_that_no_sum_protects_may_be_replaced_once_it_is_not_kept(
    channel: ServedChannel, tmp_path: Path
) -> None:
    channel.index("sha256", "md5", "size")
    lock(channel, tmp_path / "store")
    with channel.archive.open("ab") as file:
        file.write(b"more")

    again = lock(channel, tmp_path / "store", forget=channel.sums["sha256"])

    (record,) = again.platforms["linux-64"]
    assert {"sha256": record.sha256, "md5": record.md5} == _sums(channel.archive)


@pytest.mark.parametrize(
    ("lacking", "wrong", "said"),
    [
        (["sha256"], {"md5": "0" * 32}, "that do not have the md5 its index promises"),
        (["md5"], {"sha256": "0" * 64}, "that do not have the sha256 its index promises"),
        (["sha256", "md5"], {"size": 200_000}, "and not the 200000 its index promises"),
    ],
)
def test_bytes_that_do_not_have_what_the_index_gives_are_not_locked(
    channel: ServedChannel,
    tmp_path: Path,
    lacking: list[str],
    wrong: dict[str, Any],
    said: str,
) -> None:
    channel.index(*lacking, **wrong)

    with pytest.raises(CorruptPackage, match=said):
        lock(channel, tmp_path / "store")

    assert not list((tmp_path / "store").glob("packages/*/*"))
    assert not list((tmp_path / "store").glob("sums/*/*"))


@LACKING
def test_a_list_is_compared_with_what_was_computed(
    channel: ServedChannel, tmp_path: Path, lacking: list[str]
) -> None:
    address = f"@EXPLICIT\n{channel.url}/linux-64/{ZLIB}#"
    whole = lock(channel, tmp_path / "store")
    channel.index(*lacking)

    for listed in (channel.sums["md5"], f"sha256:{channel.sums['sha256']}", ""):
        sent = (address + listed).rstrip("#").encode()
        assert lock(channel, tmp_path / "store", sent).platforms == whole.platforms
    with pytest.raises(InputError, match=f"its sha256 is {'f' * 64} in the file and"):
        lock(channel, tmp_path / "store", f"{address}sha256:{'f' * 64}".encode())


@pytest.mark.parametrize("lacking", ["sha256", "md5"])
def test_a_lock_of_another_tool_may_have_one_sum_though_the_channel_has_forgotten_the_package(
    channel: ServedChannel, tmp_path: Path, lacking: str
) -> None:
    content = yaml.safe_load(to_yaml(lock(channel, tmp_path / "store")))
    del content["metadata"]["custom_metadata"]
    del content["package"][0]["hash"][lacking]
    channel.index(name="other")

    (record,) = lock(channel, tmp_path / "another", json.dumps(content).encode()).platforms[
        "linux-64"
    ]

    assert {"sha256": record.sha256, "md5": record.md5} == channel.sums
