from pathlib import Path

import pytest

from registry.storage.filesystem import FilesystemStore
from tests.registry.maintenance.store_builder import Shelf


@pytest.fixture
def shelf(tmp_path: Path, store: FilesystemStore) -> Shelf:
    return Shelf(tmp_path / "store", store)
