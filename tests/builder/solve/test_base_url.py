"""Packages that lie elsewhere than in their channel: ``base_url`` of CEP 15."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import rattler

from builder.build.interpreters import CompilingPythons
from builder.errors import InputError, UnsafePackage
from builder.exports.pixi_lock import to_pixi_lock
from builder.image_name import EnvironmentPolicy
from builder.inputs import read_request
from builder.lock import Lock, to_explicit, to_yaml
from builder.resolve.resolver import Resolver
from builder.solve import Solver
from builder.spec import Channel, EnvironmentSpec, Requirement
from tests.builder.counting import CountingMetrics
from tests.builder.fetch.test_packages import Channel as Answers
from tests.builder.fetch.test_packages import fetch
from tests.builder.records_for_tests import record as a_record
from tests.builder.solve.test_solve import TTL_SECONDS, run
from tests.made_by_others import copy_of


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base names it
        pass


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """A copy of the channels of a report, whose packages lie beside them."""
    copy = tmp_path / "served"
    copy_of("cases/report-22/served", copy)
    for compressed in copy.rglob("*.zst"):
        compressed.unlink()
    for subdir in ("linux-64", "noarch"):
        (copy / "innocent" / subdir).mkdir(parents=True)
        content = {"info": {"subdir": subdir}, "packages": {}, "packages.conda": {}}
        (copy / "innocent" / subdir / "repodata.json").write_text(json.dumps(content))
    return copy


@pytest.fixture
def root(served: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=served)) as server:
        index = served / "baseurlabs/noarch/repodata.json"
        index.write_text(index.read_text().replace("18771", str(server.server_port)))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def channel(root: str) -> Channel:
    return Channel("baseurl", f"{root}/baseurl")


def _locked(tmp_path: Path, channel: Channel, name: str = "baseurlpkg") -> Lock:
    spec = EnvironmentSpec((Requirement(name),), (channel,), ("linux-64",), ())
    solver = Solver(tmp_path / "cache", repodata_ttl_seconds=TTL_SECONDS, max_retries=0)
    return Lock({"linux-64": run(solver, lambda: solver.solve(spec))["linux-64"]}, (channel,), ())


def _sent_back(tmp_path: Path, sent: bytes, *channels: Channel) -> Lock:
    """Return what a server of these channels makes of what is sent."""
    defaults = EnvironmentPolicy(channels)
    asked = read_request(sent, defaults, max_bytes=100_000)
    solver = Solver(tmp_path / "cache", repodata_ttl_seconds=TTL_SECONDS, max_retries=0)
    nothing = cast("Any", None)
    compilers = CompilingPythons(
        solver, nothing, nothing, tmp_path / "compilers", "linux-64", "none"
    )
    resolver = Resolver(solver, nothing, compilers, CountingMetrics())
    return run(solver, lambda: resolver.settle(asked, defaults, lambda _: None))


def test_a_record_knows_where_it_lies_and_whose_it_is(tmp_path: Path, channel: Channel) -> None:
    (record,) = _locked(tmp_path, channel).platforms["linux-64"]

    assert record.url.endswith("/baseurl-packages/noarch/baseurlpkg-1.0-0.conda")
    assert record.channel_url == channel.url


def test_a_lock_of_such_a_package_is_taken_back(tmp_path: Path, channel: Channel) -> None:
    lock = _locked(tmp_path, channel)

    read = _sent_back(tmp_path, to_yaml(lock), channel)

    assert read == lock
    assert read.key == lock.key


@pytest.mark.parametrize("where", ["https://evil.example", "file:///etc"])
def test_a_lock_does_not_lead_where_the_channel_does_not(
    tmp_path: Path, channel: Channel, where: str
) -> None:
    lock = _locked(tmp_path, channel)
    (record,) = lock.platforms["linux-64"]
    moved = replace(record, url=f"{where}/noarch/{record.file_name}")
    sent = to_yaml(replace(lock, platforms={"linux-64": (moved,)}))

    with pytest.raises(InputError, match=r"does not list it at|is no package of a channel"):
        _sent_back(tmp_path, sent, channel)


FORMS: dict[str, Callable[[Lock], bytes]] = {
    "lock": to_yaml,
    "list": lambda lock: to_explicit(lock, "linux-64").encode(),
    "pixi.lock": to_pixi_lock,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("where", ["beside", "same host", "other host", "directory"])
def test_what_was_locked_is_taken_back_in_every_form(
    tmp_path: Path, served: Path, root: str, form: str, where: str
) -> None:
    """An index may name any host; a list cannot say whose index does."""
    name = "baseurlpkg" if where in {"beside", "directory"} else "baseurlabspkg"
    directory = "baseurl" if name == "baseurlpkg" else "baseurlabs"
    home = root if where != "directory" else served.as_uri()
    channel = Channel(directory, f"{home}/{directory}")
    if where == "other host":
        index = served / "baseurlabs/noarch/repodata.json"
        index.write_text(index.read_text().replace("127.0.0.1", "localhost"))
    lock = _locked(tmp_path, channel, name)
    sent = FORMS[form](lock)

    if (form, where) == ("list", "other host"):
        with pytest.raises(InputError, match="is no package of a channel of this server"):
            _sent_back(tmp_path, sent, channel)
        return
    back = _sent_back(tmp_path, sent, Channel("innocent", f"{root}/innocent"), channel)

    assert back.platforms == lock.platforms
    assert back.channels == lock.channels
    if form == "lock":
        assert back.key == lock.key


def test_a_list_names_no_place_that_no_channel_names(tmp_path: Path, channel: Channel) -> None:
    lock = _locked(tmp_path, channel)
    sent = to_explicit(lock, "linux-64").replace("baseurl-packages", "elsewhere")

    with pytest.raises(InputError, match="no channel of this server lists it at 'http"):
        _sent_back(tmp_path, sent.encode(), channel)


def test_rattler_reads_the_pixi_lock(tmp_path: Path, channel: Channel) -> None:
    (tmp_path / "pixi.lock").write_bytes(to_pixi_lock(_locked(tmp_path, channel)))

    environment = rattler.LockFile.from_path(tmp_path / "pixi.lock").default_environment()

    assert environment is not None
    (package,) = list(environment.packages(environment.platforms()[0]) or [])
    assert package.location.endswith("/baseurl-packages/noarch/baseurlpkg-1.0-0.conda")


@pytest.mark.parametrize(
    ("url", "home", "allowed"),
    [
        ("https://store.test/x/noarch/a-1-0.conda", "https://channel.test/main", True),
        ("https://store.test/x/noarch/a-1-0.conda", "https://other.test/main", False),
        ("https://store.test/x/noarch/a-1-0.conda", "", False),
        ("file:///etc/noarch/a-1-0.conda", "https://channel.test/main", False),
    ],
)
def test_packages_come_from_where_an_offered_channel_has_them(
    tmp_path: Path, url: str, home: str, *, allowed: bool
) -> None:
    data = b"archive"
    wanted = replace(a_record("a", data=data), url=url, channel=home)
    answer = Answers(httpx.Response(200, content=data))

    if allowed:
        assert fetch(answer, tmp_path, wanted)[0] == [data]
        return
    with pytest.raises(UnsafePackage, match="which is not the host of a channel"):
        fetch(answer, tmp_path, wanted)
    assert not answer.requests
