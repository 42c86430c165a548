"""Two servers for the tests of a module."""

from collections.abc import Iterator

import pytest

from conformance.catalog.pair import Pair
from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer


@pytest.fixture(scope="module")
def pair(paths: ChannelPaths, channel: ChannelServer) -> Iterator[Pair]:
    """Start two servers over one PostgreSQL and one bucket; they are stopped after the module."""
    with Pair(paths, channel.url) as pair:
        yield pair
