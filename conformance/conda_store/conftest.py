"""conda-store's server for the tests of this directory."""

from collections.abc import Iterator

import pytest

from conformance.conda_store.real_server import RealServer


@pytest.fixture(scope="session")
def empty_real_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """Return conda-store's own server, with nothing in it: tests add namespaces of their own."""
    with RealServer.start(tmp_path_factory.mktemp("conda-store") / "home") as server:
        yield server
