"""A company for the tests of a module."""

from collections.abc import Iterator

import pytest

from conformance.channel import ChannelPaths
from conformance.policy.company import Company


@pytest.fixture(scope="module")
def company(paths: ChannelPaths) -> Iterator[Company]:
    """Start two servers over one PostgreSQL and one bucket; they are stopped after the module."""
    with Company(paths) as company:
        yield company
