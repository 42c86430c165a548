"""Files are sent to a server that takes them, refuses them, or is away."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from registry.catalog.source_patterns import parse_patterns
from registry.cli.api import Api, Document, Refused
from registry.cli.remote import RemoteError
from registry.cli.sending import Sending
from registry.watcher.directories import DirectoryTree
from registry.watcher.looking import KnownFile, Looking
from registry.watcher.settling import Settling

pytestmark = pytest.mark.anyio

TEXT = "dependencies: [numpy]\n"


class Server:
    """Keeps what it is sent, as a source's files."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.problems: dict[str, str] = {}
        self.requests: list[str] = []
        #: What it answers next instead; a status, or that it does not answer.
        self.faults: list[int | Exception] = []
        #: Paths it does not take, and with which status.
        self.refused: dict[str, int] = {}
        self.changed = asyncio.Event()

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix("/api/v1/sources/7/files/")
        self.requests.append(f"{request.method} {path}")
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, Exception):
                raise fault
            return refusal(fault)
        problem = request.url.params.get("problem", "")
        if path in self.refused and not problem:
            return refusal(self.refused[path])
        self.changed.set()
        if request.method == "DELETE":
            self.files.pop(path, None)
            return httpx.Response(204)
        self.problems[path] = problem
        if not problem:
            self.files[path] = request.content.decode()
        name = request.url.params.get("environment")
        return httpx.Response(200, json={"path": path, "environment": name, "problem": problem})


def refusal(status: int) -> httpx.Response:
    error = {"code": "ODD", "message": f"this is answered with {status}"}
    return httpx.Response(status, content=json.dumps({"error": error}))


class Told:
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.has_waited = asyncio.Event()

    def sent(self, path: str, file: Document) -> None:
        self.lines.append(f"{path}: {file['problem'] or file['environment']}")

    def gone(self, path: str) -> None:
        self.lines.append(f"{path} is gone")

    def waiting(self, sentence: str) -> None:
        self.lines.append(f"waiting: {sentence}")
        self.has_waited.set()

    def going_on(self) -> None:
        self.lines.append("going on")


class Case:
    """A directory, a server, and what sends the one to the other."""

    def __init__(self, files: Path) -> None:
        self.files = files
        self.server = Server()
        self.told = Told()
        self.known: dict[str, KnownFile] = {}

    def write(self, name: str, text: str = TEXT) -> None:
        path = self.files / name / "environment.yml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[Sending]:
        settling = Settling(self.known, quiet_seconds=0.0, most_seconds=0.0)
        patterns = parse_patterns(None, has_namespace=True, root_name="files")
        looking = Looking(DirectoryTree(self.files, 10_000), patterns, self.known, settling)
        transport = httpx.MockTransport(self.server)
        async with httpx.AsyncClient(transport=transport) as http:
            yield Sending(Api(http, "http://host"), 7, looking, self.told, pause_seconds=0.01)

    async def once(self) -> None:
        async with self.sending() as sending:
            await sending.once()

    @asynccontextmanager
    async def for_ever(self) -> AsyncIterator[Callable[[], bool]]:
        """Send until the end of the block."""
        async with self.sending() as sending:
            task = asyncio.create_task(sending.for_ever())
            try:
                yield task.done
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return when something holds that the server can see."""
        async with asyncio.timeout(10):
            while not holds():
                self.server.changed.clear()
                await self.server.changed.wait()


@pytest.fixture
def case(tmp_path: Path) -> Case:
    (tmp_path / "files").mkdir()
    return Case(tmp_path / "files")


async def test_all_files_are_sent_once(case: Case) -> None:
    case.write("a")
    case.write("deep/b", "dependencies: [pandas]\n")
    await case.once()
    assert case.server.files == {
        "a/environment.yml": TEXT,
        "deep/b/environment.yml": "dependencies: [pandas]\n",
    }
    assert case.told.lines == ["a/environment.yml: a", "deep/b/environment.yml: b"]


async def test_what_the_server_has_is_not_sent(case: Case) -> None:
    case.write("a")
    case.known["a/environment.yml"] = KnownFile(hashlib.sha256(TEXT.encode()).hexdigest())
    await case.once()
    assert case.server.requests == []


async def test_what_could_not_be_used_is_sent_again(case: Case) -> None:
    case.write("a")
    case.known["a/environment.yml"] = KnownFile()
    await case.once()
    assert case.server.requests == ["PUT a/environment.yml"]


async def test_what_is_gone_is_told(case: Case) -> None:
    case.write("a")
    case.known["b/environment.yml"] = KnownFile("0" * 64)
    await case.once()
    assert case.server.requests == ["PUT a/environment.yml", "DELETE b/environment.yml"]
    assert case.told.lines[-1] == "b/environment.yml is gone"


async def test_odd_names_are_told_from_one_another(case: Case) -> None:
    """A path has slashes, and may have whatever else an address would take for its own."""
    names = ["a b", "a?b", "a#b", "a%2Fb", "ü", "a+b", "a&b=c"]
    for name in names:
        case.write(name)
    await case.once()
    assert set(case.server.files) == {f"{name}/environment.yml" for name in names}


async def test_what_cannot_be_used_is_told_to_the_server(case: Case) -> None:
    """Also what this machine does not read at all."""
    case.write("empty", "")
    (case.files / "elsewhere").mkdir()
    (case.files / "elsewhere" / "environment.yml").symlink_to("/etc/passwd")
    case.write("large", TEXT + "#" * 20_000)
    case.write("good")
    await case.once()
    problems = case.server.problems
    assert problems["good/environment.yml"] == ""
    assert "empty" in problems["empty/environment.yml"]
    assert "link" in problems["elsewhere/environment.yml"]
    assert "20" in problems["large/environment.yml"]
    assert list(case.server.files) == ["good/environment.yml"]


@pytest.mark.parametrize("status", [400, 409, 413, 422])
async def test_a_file_that_is_refused_stops_no_other(case: Case, status: int) -> None:
    """The server is told what it said, so that it can show it."""
    case.write("a")
    case.write("b")
    case.server.refused["a/environment.yml"] = status
    await case.once()
    assert f"answered with {status}" in case.server.problems["a/environment.yml"]
    assert list(case.server.files) == ["b/environment.yml"]


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_right_that_is_lost_ends_it(case: Case, status: int) -> None:
    case.write("a")
    case.write("b")
    case.server.faults = [status] * 10
    with pytest.raises(Refused, match=str(status)):
        await case.once()
    assert len(case.server.requests) == 1
    async with case.sending() as sending:
        with pytest.raises(Refused, match=str(status)):
            await asyncio.wait_for(sending.for_ever(), 10)


@pytest.mark.parametrize("fault", [503, 502, 429, httpx.ConnectError("refused")])
async def test_once_says_that_the_server_is_away(case: Case, fault: int | Exception) -> None:
    case.write("a")
    case.server.faults = [fault] * 10
    with pytest.raises(RemoteError):
        await case.once()


async def test_for_ever_waits_for_a_server_that_is_away(case: Case) -> None:
    """It is told of once, and so is that it is back; nothing is lost."""
    case.write("a")
    case.server.faults = [503, httpx.ConnectError("refused"), 500, 429]
    async with case.for_ever() as is_over:
        await case.until(lambda: bool(case.server.files))
        case.write("b")
        await case.until(lambda: len(case.server.files) == 2)
        assert not is_over()
    assert [line.partition(":")[0] for line in case.told.lines] == [
        "waiting",
        "a/environment.yml",
        "going on",
        "b/environment.yml",
    ]


async def test_for_ever_follows_what_is_saved_and_removed(case: Case) -> None:
    case.write("a")
    case.write("b")
    async with case.for_ever():
        await case.until(lambda: len(case.server.files) == 2)
        case.write("a", "dependencies: [pandas]\n")
        await case.until(lambda: "pandas" in case.server.files["a/environment.yml"])
        (case.files / "b" / "environment.yml").unlink()
        await case.until(lambda: "b/environment.yml" not in case.server.files)


async def test_a_directory_that_is_not_there_removes_nothing(case: Case) -> None:
    case.known["a/environment.yml"] = KnownFile("0" * 64)
    with pytest.raises(RemoteError, match="nothing was removed"):
        await case.once()
    case.files.rmdir()
    with pytest.raises(RemoteError, match="is not there"):
        await case.once()
    assert case.server.requests == []


async def test_for_ever_waits_for_a_directory(case: Case) -> None:
    """It is perhaps mounted in a moment."""
    case.files.rmdir()
    async with case.for_ever():
        await asyncio.wait_for(case.told.has_waited.wait(), 10)
        case.files.mkdir()
        case.write("a")
        await case.until(lambda: bool(case.server.files))
