import asyncio
import json
import stat
from pathlib import Path

import pytest

from registry.catalog.namespaces import Namespaces
from registry.catalog.records import EVERYTHING, Actor
from registry.database import open_database
from tests.registry.catalog.house import Pushed
from tests.registry.cli.conftest import Run


async def fill(url: str, name: str) -> None:
    async with open_database(url) as database:
        await Namespaces(database, Pushed()).create(Actor("ada"), name)


async def names(url: str) -> list[str]:
    async with open_database(url) as database:
        page = await Namespaces(database, Pushed()).list(EVERYTHING)
        return [one.slug for one in page.items]


def test_a_database_goes_through_a_file_into_another(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "it had none" in run("database", "upgrade").output
    assert "already" in run("database", "upgrade").output
    url = f"sqlite:///{tmp_path}/store/database/pullforge.db"
    asyncio.run(fill(url, "analytics"))
    file = tmp_path / "all.jsonl"
    assert "Exported" in run("database", "export", str(file)).output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text().splitlines()[0])["pullforge"] == "database"
    assert "not empty" in run("database", "import", str(file)).output
    monkeypatch.setenv("PULLFORGE_DATABASE", f"sqlite:///{tmp_path}/other.db")
    assert "Imported" in run("database", "import", str(file)).output
    assert asyncio.run(names(f"sqlite:///{tmp_path}/other.db")) == ["analytics"]


def test_a_file_that_is_none_is_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "odd").write_text("{}\n")
    result = run("database", "import", str(tmp_path / "odd"))
    assert result.exit_code == 1
    assert result.output.startswith("pullforge: the file is none")
    assert run("database", "import", str(tmp_path / "gone")).exit_code == 2
    assert run("database", "export", str(tmp_path / "gone/x")).exit_code == 2


def test_without_a_place_for_one_the_setting_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULLFORGE_STORE", "s3://bucket/prefix")
    result = run("database", "upgrade")
    assert result.exit_code == 1
    assert "PULLFORGE_DATABASE" in result.output


def test_a_store_that_is_not_there_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "all.jsonl").write_text("{}\n")
    monkeypatch.setenv("PULLFORGE_STORE", str(tmp_path / "gone"))
    for verb in ("export", "import"):
        result = run("database", verb, str(tmp_path / "all.jsonl"))
        assert result.exit_code == 1
        assert f"there is no store in {tmp_path / 'gone'}: set PULLFORGE_STORE" in result.output
        assert "try again" not in result.output
    assert not (tmp_path / "gone").exists()
