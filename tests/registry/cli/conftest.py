from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from registry.cli import app
from registry.storage.filesystem import FilesystemStore
from tests.registry.cli.servers import MakePerson, Person, Served, serving
from tests.registry.maintenance.store_builder import Shelf
from tests.registry.web.api.catalog import make_site
from tests.registry.web.api.site import Site

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


@pytest.fixture
def people_site(tmp_path: Path) -> Site:
    """A site with a database, and with root, ada and bob in its auth file."""
    (tmp_path / "server").mkdir()
    return make_site(tmp_path / "server")


@pytest.fixture
def served(people_site: Site) -> Iterator[Served]:
    with serving(people_site.configured()) as served:
        yield served


@pytest.fixture
def person(served: Served, tmp_path: Path) -> MakePerson:
    """Give somebody who has logged in."""

    def person(name: str) -> Person:
        home = tmp_path / name
        home.mkdir(exist_ok=True)
        return Person(name, home).log_in(served.host)

    return person


@pytest.fixture
def specs(tmp_path: Path) -> Path:
    """A directory with files to send: ``old.yml``, ``new.yml``, ``none.yml``, ``bad.yml``."""
    for name, wanted in {
        "old": "tool=1.0",
        "new": "tool=2.0",
        "none": "nothing-like-this",
    }.items():
        text = f"channels: [main]\ndependencies: [{wanted}]\n"
        (tmp_path / f"{name}.yml").write_text(text)
    (tmp_path / "bad.yml").write_text("dependencies:\n  - tool\n  - a b c d\n")
    return tmp_path
