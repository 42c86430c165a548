"""Clients, channel, index and servers for all tests from outside."""

import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from conformance import pypi
from conformance.channel import ChannelPaths, ensure
from conformance.channel.server import ChannelServer
from conformance.clients.engines import Client, Runner
from conformance.clients.matrix import Engines
from conformance.clients.server import Server, StartServer
from conformance.workers.server import ServerWithWorker

#: The first test also waits for the channel, the index and programs that are built from source,
#: and the last one until everything is deleted.
TIMEOUT_SECONDS = 1800


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what decides where servers have their work done."""
    parser.addoption(
        "--executor",
        choices=["embedded", "celery"],
        default="embedded",
        help="servers of tests build by themselves, or have a worker each",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this directory time; what they wait for has limits of its own."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


@pytest.fixture(scope="session")
def engines() -> Iterator[Engines]:
    """Start clients when they are asked for; stop them at the end."""
    engines = Engines()
    yield engines
    engines.stop()


@pytest.fixture
def client(request: pytest.FixtureRequest, engines: Engines) -> Client:
    """Return the client that the test is run with."""
    return engines.get(request.param)


@pytest.fixture
def runner(request: pytest.FixtureRequest, engines: Engines) -> Runner:
    """Return the client that the test is run with, which can run what it pulls."""
    runner = engines.get(request.param)
    assert isinstance(runner, Runner)
    return runner


@pytest.fixture(scope="session")
def paths() -> ChannelPaths:
    """Return the channel's directory and the base image's layout."""
    return ensure("full")


@pytest.fixture(scope="module")
def channel(paths: ChannelPaths) -> Iterator[ChannelServer]:
    """Serve the channel, with the faults that tests ask for."""
    with ChannelServer(paths.channel) as channel:
        yield channel


@pytest.fixture(scope="module")
def index() -> Iterator[ChannelServer]:
    """Serve the index of wheels."""
    with ChannelServer(pypi.ensure()) as index:
        yield index


@pytest.fixture
def start_server(
    paths: ChannelPaths,
    channel: ChannelServer,
    index: ChannelServer,
    pytestconfig: pytest.Config,
) -> Iterator[StartServer]:
    """Start servers with an empty store each; they are stopped after the test."""
    with _starting(paths, channel, index, pytestconfig) as start:
        yield start


@pytest.fixture(scope="module")
def start_module_server(
    paths: ChannelPaths,
    channel: ChannelServer,
    index: ChannelServer,
    pytestconfig: pytest.Config,
) -> Iterator[StartServer]:
    """Start servers with an empty store each; they are stopped after the module."""
    with _starting(paths, channel, index, pytestconfig) as start:
        yield start


@pytest.fixture(scope="module")
def server(start_module_server: StartServer) -> Server:
    """Return the module's server."""
    return start_module_server()


@contextmanager
def _starting(
    paths: ChannelPaths, channel: ChannelServer, index: ChannelServer, config: pytest.Config
) -> Iterator[StartServer]:
    kind = ServerWithWorker if config.getoption("executor") == "celery" else Server
    home = Path(tempfile.mkdtemp(prefix="pf-server-"))
    with ExitStack() as stack:
        count = 0

        def start(**settings: object) -> Server:
            nonlocal count
            count += 1
            store = home / f"store-{count}"
            chosen = pypi.settings(index.url) | settings
            return stack.enter_context(kind(store, channel.url, paths.base, chosen))

        yield start
    shutil.rmtree(home, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what servers and engines logged to the report of a failure."""
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for name, value in item.funcargs.items():
            if hasattr(value, "log_end"):
                report.sections.append((f"log of {name}", value.log_end()))
    return report
