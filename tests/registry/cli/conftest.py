from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from registry.cli import app
from registry.storage.filesystem import FilesystemStore
from tests.registry.maintenance.store_builder import Shelf

#: Runs ``pullforge`` with arguments on the store of the test.
Run = Callable[..., Result]


@pytest.fixture
def shelf(tmp_path: Path, store: FilesystemStore) -> Shelf:
    return Shelf(tmp_path / "store", store)


@pytest.fixture
def run(tmp_path: Path, store: FilesystemStore, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("PULLFORGE_STORE", str(tmp_path / "store"))

    def run(*args: str) -> Result:
        result = CliRunner().invoke(app, args)
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        return result

    return run
