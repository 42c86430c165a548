from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from registry.storage.filesystem import FilesystemStore
from tests.registry.asgi import Client, open_client
from tests.registry.fakes import FakeBuiltSource, FakeService
from tests.registry.shared_processes import make_quick


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have services start and end quickly."""
    make_quick(monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FilesystemStore]:
    store = FilesystemStore(tmp_path / "store")
    yield store
    store.close()


@pytest.fixture
def house(store: FilesystemStore, tmp_path: Path) -> Iterator[FakeService]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    house = FakeService(store, scratch)
    yield house
    house.uploads.close()


@pytest.fixture
def pulls(house: FakeService) -> FakeBuiltSource:
    return house.pulls


@pytest.fixture
async def client(house: FakeService, anyio_backend: str) -> AsyncIterator[Client]:
    async with open_client(house.app()) as client:
        yield client
