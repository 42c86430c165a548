"""Packages that lie elsewhere than in their channel: ``base_url`` of CEP 15."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from builder.errors import InputError
from builder.image_name import NameDefaults
from builder.inputs import read_request
from builder.lock import Lock, to_yaml
from builder.solve import Solver
from builder.spec import Channel, EnvironmentSpec, Requirement
from tests.builder.test_solve import TTL_SECONDS, run
from tests.made_by_others import made_by_others


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base names it
        pass


@pytest.fixture
def channel() -> Iterator[Channel]:
    """The channel of a report, whose packages lie beside it, on a server."""
    served = made_by_others("cases/report-22/served")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=served)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Channel("baseurl", f"http://127.0.0.1:{server.server_port}/baseurl")
        server.shutdown()
        thread.join()


def _locked(tmp_path: Path, channel: Channel) -> Lock:
    spec = EnvironmentSpec((Requirement("baseurlpkg"),), (channel,), ("linux-64",), ())
    solver = Solver(tmp_path / "cache", repodata_ttl_seconds=TTL_SECONDS, max_retries=0)
    return Lock({"linux-64": run(solver, lambda: solver.solve(spec))["linux-64"]}, (channel,), ())


def test_a_record_knows_where_it_lies_and_whose_it_is(tmp_path: Path, channel: Channel) -> None:
    (record,) = _locked(tmp_path, channel).platforms["linux-64"]

    assert record.url.endswith("/baseurl-packages/noarch/baseurlpkg-1.0-0.conda")
    assert record.channel_url == channel.url


def test_a_lock_of_such_a_package_is_taken_back(tmp_path: Path, channel: Channel) -> None:
    lock = _locked(tmp_path, channel)

    read = read_request(to_yaml(lock), NameDefaults((channel,)), max_bytes=100_000)

    assert isinstance(read, Lock)
    assert read == lock
    assert read.key == lock.key


@pytest.mark.parametrize("where", ["https://evil.example", "file:///etc"])
def test_a_lock_does_not_lead_to_another_host(tmp_path: Path, channel: Channel, where: str) -> None:
    lock = _locked(tmp_path, channel)
    (record,) = lock.platforms["linux-64"]
    moved = replace(record, url=f"{where}/noarch/{record.file_name}")

    with pytest.raises(InputError, match="does not lie on the host of a channel"):
        read_request(
            to_yaml(replace(lock, platforms={"linux-64": (moved,)})),
            NameDefaults((channel,)),
            max_bytes=100_000,
        )
