"""A server that watches directories, for the tests of a module."""

from collections.abc import Iterator

import pytest

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.sources.place import FILES, Place


@pytest.fixture(scope="module")
def place(paths: ChannelPaths, channel: ChannelServer) -> Iterator[Place]:
    """Start a server that watches three empty directories, which differ in what is removed."""
    watched = {
        FILES: {"removed": "keep"},
        "archived": {"removed": "archive"},
        "deleted": {"removed": "delete"},
    }
    with Place(paths, channel.url, watched) as place:
        yield place
