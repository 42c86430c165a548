"""A server, and the forms of what it serves, made beside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance import pypi
from conformance.channel import ChannelPaths, ensure
from conformance.channel.server import ChannelServer
from conformance.clients.matrix import Engines
from conformance.clients.server import Server
from conformance.forms.made import Made, make
from registry.settings import Settings

#: The first test also waits for the channel, the index and clients built from source.
TIMEOUT_SECONDS = 1800


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


@pytest.fixture(scope="session")
def paths() -> ChannelPaths:
    """Return the channel's directory and the base image's layout."""
    return ensure("full")


@pytest.fixture(scope="session")
def channel(paths: ChannelPaths) -> Iterator[ChannelServer]:
    """Serve the channel."""
    with ChannelServer(paths.channel) as channel:
        yield channel


@pytest.fixture(scope="session")
def index() -> Iterator[ChannelServer]:
    """Serve the index of wheels."""
    with ChannelServer(pypi.ensure()) as index:
        yield index


@pytest.fixture(scope="session")
def made(
    tmp_path_factory: pytest.TempPathFactory,
    paths: ChannelPaths,
    channel: ChannelServer,
    index: ChannelServer,
) -> Made:
    """Return every form, made with a store that the server does not know."""
    root = tmp_path_factory.mktemp("forms")
    settings = Settings.model_validate(
        {
            "store": str(root / "store"),
            "channels": {"conda-forge": channel.url},
            "base": f"oci:{paths.base}",
            **pypi.settings(index.url),
        }
    )
    return make(settings, root / "files")


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory,
    paths: ChannelPaths,
    channel: ChannelServer,
    index: ChannelServer,
) -> Iterator[Server]:
    """Return a server on the same channel and index."""
    store = tmp_path_factory.mktemp("server") / "store"
    with Server(store, channel.url, paths.base, pypi.settings(index.url)) as server:
        yield server
