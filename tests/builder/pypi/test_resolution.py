import asyncio
import contextlib
import datetime
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

import pytest

from builder.errors import (
    IndexUnavailable,
    NoWheel,
    SolveError,
    SolveTimeout,
    UnknownPackage,
    UnsafePackage,
    Unsatisfiable,
)
from builder.layer import PythonTarget
from builder.pypi import Provided, Pypi, Target, Uv
from conformance.channel.server import ChannelServer
from conformance.pypi import settings
from tests.tiny_index import write_tiny_index

pytestmark = pytest.mark.anyio

PYTHON = PythonTarget("3.11.9", "lib/python3.11/site-packages")
TARGET = Target("linux-64", PYTHON, "2.36")
ARM = Target("linux-aarch64", PythonTarget("3.12.1", "lib/python3.12/site-packages"), "2.36")
#: Tells uv not to try again, which takes seconds.
ONCE = {"UV_HTTP_RETRIES": "0"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_index(tmp_path_factory.mktemp("index"))


@pytest.fixture
def server(index: Path) -> Iterator[ChannelServer]:
    with ChannelServer(index) as served:
        yield served


class Asking:
    """Resolves against a server; remembers whose extras were asked for."""

    def __init__(self, server: ChannelServer, directory: Path) -> None:
        self.directory = directory
        self.url = f"{server.url}/simple"
        self.hosts = [str(host) for host in _list(settings(server.url)["pypi_hosts"])]
        self.asked: list[str] = []

    async def __call__(
        self,
        *wanted: str,
        conda: dict[str, str] | None = None,
        extras: Sequence[str] = (),
        target: Target = TARGET,
        until: datetime.date | None = None,
        timeout_seconds: float = 60,
        hashes: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> dict[str, str]:
        """Return the versions of the wheels by name."""

        async def read_extras(name: str) -> Sequence[str]:
            self.asked.append(name)
            return extras

        uv = Uv(
            self.url,
            self.directory / "cache",
            environment=ONCE,
            timeout_seconds=timeout_seconds,
        )
        pypi = Pypi(uv, self.directory, self.directory / "stubs", self.hosts)
        provided = Provided(conda or {}, read_extras)
        self.wheels = await pypi.resolve(sorted(wanted), provided, target, until, hashes)
        return {wheel.name: wheel.version for wheel in self.wheels}


@pytest.fixture
def ask(server: ChannelServer, tmp_path: Path) -> Asking:
    return Asking(server, tmp_path)


async def test_requirements_become_exact_wheels_with_what_they_need(
    ask: Asking, index: Path
) -> None:
    assert await ask("tool") == {"library": "2.0", "tool": "2.0"}
    library, tool = ask.wheels
    assert tool.requires == ("library",)
    assert library.requires == ()
    assert tool.file_name == "tool-2.0-py3-none-any.whl"
    data = (index / urlsplit(tool.url).path[1:]).read_bytes()
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (tool.sha256, tool.size_bytes)


async def test_what_has_another_hash_than_was_asked_for_is_not_taken(ask: Asking) -> None:
    await ask("tool")
    _, tool = ask.wheels
    assert await ask("tool", hashes={"tool": [tool.sha256]}) == {"library": "2.0", "tool": "2.0"}
    with pytest.raises(NoWheel, match=r"no wheel of 'library' 2\.0 has the sha256"):
        await ask("tool", hashes={"library": [tool.sha256]})


async def test_the_answer_is_the_same_each_time_and_leaves_nothing_behind(ask: Asking) -> None:
    await ask("tool", "native")
    first = ask.wheels
    await ask("tool", "native")
    assert ask.wheels == first
    assert [path.name for path in ask.directory.iterdir()] == ["cache"]


async def test_the_wheel_is_the_one_for_the_target(ask: Asking) -> None:
    await ask("native")
    assert ask.wheels[0].file_name == "native-1.0-cp311-cp311-manylinux_2_28_x86_64.whl"
    await ask("native", target=ARM)
    assert ask.wheels[0].file_name == "native-1.0-cp312-cp312-manylinux_2_28_aarch64.whl"


async def test_what_conda_installs_is_taken_as_it_is_and_never_asked_for(
    ask: Asking, server: ChannelServer
) -> None:
    assert await ask("array-user", "library", conda={"array": "2.5", "library": "1.0"}) == {
        "array-user": "1.0"
    }
    assert ask.wheels[0].requires == ("array", "library")
    assert [path for path in server.requests() if path.startswith("/simple/")] == [
        "/simple/array-user/"
    ]


@pytest.mark.parametrize(
    "wanted", ["array==2.5", "array>=2", "array~=2.0", "array==2.*", "array", "Array<3,!=2.4"]
)
@pytest.mark.parametrize("version", ["2.5", "2.5+cu121"])
async def test_a_condition_that_condas_version_meets_is_met(
    ask: Asking, wanted: str, version: str
) -> None:
    assert await ask(wanted, conda={"array": version}) == {}


async def test_a_marker_that_does_not_hold_asks_for_nothing(ask: Asking) -> None:
    assert await ask('tool; python_version < "3"', 'tool; sys_platform == "win32"') == {}
    assert await ask('tool==1.0; platform_machine == "aarch64"', target=ARM) == {
        "library": "1.0",
        "tool": "1.0",
    }


async def test_extras_are_part_of_what_is_wanted(ask: Asking) -> None:
    assert await ask("tool[fast]") == {"library": "2.0", "speedup": "1.0", "tool": "2.0"}
    assert await ask("extra-user") == {
        "extra-user": "1.0",
        "library": "2.0",
        "speedup": "1.0",
        "tool": "2.0",
    }
    assert ask.asked == []


async def test_extras_of_what_conda_installs_come_from_its_metadata(ask: Asking) -> None:
    conda = {"tool": "1.5", "library": "1.0"}
    extras = ['speedup>=1; extra == "fast"', 'gone; extra == "slow"']
    assert await ask("tool[fast]", conda=conda, extras=extras) == {"speedup": "1.0"}
    assert ask.asked == ["tool"]
    assert await ask("extra-user", conda=conda, extras=extras) == {
        "extra-user": "1.0",
        "speedup": "1.0",
    }
    assert await ask("tool[none]", conda=conda) == {}


async def test_a_date_leaves_out_what_was_uploaded_later(ask: Asking) -> None:
    found = await ask("tool", until=datetime.date(2024, 12, 31))
    assert found == {"library": "1.0", "tool": "1.0"}
    # The last day counts until its end.
    found = await ask("tool", until=datetime.date(2025, 1, 1))
    assert found == {"library": "2.0", "tool": "2.0"}


NOTHING = "no packages of PyPI fit linux-64: "
REFUSALS = [
    (["nunpy"], UnknownPackage, "no package 'nunpy' in PyPI for linux-64"),
    (["tool>=3"], Unsatisfiable, NOTHING + "only tool<=2.0 is available and you require tool>=3"),
    (["tool==1.0", "library>=2"], Unsatisfiable, " depends on library<2 and "),
    (["array>=3"], Unsatisfiable, NOTHING + "conda provides array 2.5 and you require array>=3"),
    (["array==2.5+cpu"], Unsatisfiable, NOTHING + "conda provides array 2.5 and you require array"),
    (["array==1.*"], Unsatisfiable, NOTHING + "conda provides array 2.5 and you require array==1"),
    (["source-only"], NoWheel, "'source-only==1.0' is on PyPI as source only, which is not built"),
    (["needs-source"], NoWheel, "all versions of needs-source depend on source-only"),
]


@pytest.mark.parametrize(("wanted", "kind", "said"), REFUSALS)
async def test_what_cannot_be_is_said_in_one_sentence(
    ask: Asking, wanted: list[str], kind: type[SolveError], said: str
) -> None:
    with pytest.raises(kind) as caught:
        await ask(*wanted, conda={"array": "2.5"})
    assert said in caught.value.message
    assert not caught.value.transient
    assert "conclude" not in caught.value.message
    assert len(caught.value.message) < 400


async def test_wheels_for_other_machines_do_not_fit(ask: Asking) -> None:
    with pytest.raises(NoWheel) as caught:
        await ask("amd-only", target=replace(ARM, python=PYTHON))
    assert (
        "no wheel of 'amd-only==1.0' on PyPI fits Python 3.11 on linux-aarch64; there are wheels "
        in (caught.value.message)
    )
    with pytest.raises(NoWheel):
        await ask("native", target=replace(TARGET, glibc="2.17"))


async def test_a_date_is_part_of_the_sentence(ask: Asking) -> None:
    with pytest.raises(Unsatisfiable) as caught:
        await ask("tool==2.0", until=datetime.date(2024, 6, 1))
    assert caught.value.message == (
        "no packages of PyPI until 2024-06-01 fit linux-64: there is no version of tool==2.0 and "
        "you require tool==2.0"
    )


async def test_an_index_that_is_down_is_worth_another_try(
    ask: Asking, server: ChannelServer
) -> None:
    server.fail("simple/*", 503)
    with pytest.raises(IndexUnavailable) as caught:
        await ask("tool")
    assert caught.value.transient
    assert "does not answer: HTTP status server error (503" in caught.value.message
    server.reset()
    assert await ask("tool") == {"library": "2.0", "tool": "2.0"}
    server.stop()
    with pytest.raises(IndexUnavailable, match="Connection refused"):
        await ask("native")


async def test_an_index_that_lets_nobody_in_is_no_index_without_packages(
    ask: Asking, server: ChannelServer
) -> None:
    server.fail("simple/*", 403)
    with pytest.raises(IndexUnavailable, match="403 Forbidden"):
        await ask("tool")


async def test_an_index_that_takes_too_long_is_given_up(ask: Asking, server: ChannelServer) -> None:
    server.slow("simple/*", 30)
    with pytest.raises(SolveTimeout, match="were not resolved within"):
        await ask("tool", timeout_seconds=0.5)
    await _ended(ask.directory)


async def test_a_resolution_may_be_cancelled(ask: Asking) -> None:
    connected, left = asyncio.Event(), asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        while await reader.read(1024):
            pass
        writer.close()
        await writer.wait_closed()
        left.set()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as silent:
        ask.url = f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/simple"
        task = asyncio.create_task(ask("tool"))
        await connected.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await left.wait()
    await _ended(ask.directory)
    assert not list(ask.directory.glob("pypi-*"))


async def test_wheels_from_other_hosts_are_refused(ask: Asking) -> None:
    ask.hosts = ["files.example"]
    with pytest.raises(UnsafePackage, match=r"library-2.0-py3-none-any.whl lies on '127.0.0.1:"):
        await ask("library")


async def test_uv_has_nothing_of_the_servers_configuration(
    ask: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/evil")
    monkeypatch.setenv("UV_FIND_LINKS", "/nowhere")
    monkeypatch.setenv("UV_EXCLUDE_NEWER", "2000-01-01")
    assert await ask("library") == {"library": "2.0"}


async def _ended(directory: Path) -> None:
    """Return when no process has the cache; what was killed may need a moment on a busy machine."""
    async with asyncio.timeout(10):
        while _running(directory):  # noqa: ASYNC110 (nobody announces that a stranger ended)
            await asyncio.sleep(0.01)


def _running(directory: Path) -> bool:
    """Return whether a process was given the cache; not every machine has ``pgrep``."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended since
            if str(directory / "cache").encode() in process.read_bytes():
                return True
    return False


def _list(value: object) -> list[object]:
    assert isinstance(value, list)
    return value
