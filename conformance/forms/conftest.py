"""A server, and the forms of what it serves, made beside it."""

from collections.abc import Iterator

import pytest

from conformance import pypi
from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.server import Server
from conformance.forms.made import Made, make
from registry.settings import Settings


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
