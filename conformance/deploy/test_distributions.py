"""The wheel and the source distribution: what is in them, and nothing that lies about."""

import os
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from conformance.clients.engines.program import run
from conformance.clients.server import ROOT

PACKAGES = ("builder", "registry")
#: What git ignores, or what somebody has left beside what they worked on.
LEFT = ("deploy/.env", "auth.toml", "notes.txt", "builder/__pycache__/lock.cpython-311.pyc")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build both in a checkout where secrets lie about."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in (*PACKAGES, "docs", "deploy", "conformance"):
        shutil.copytree(
            ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
    for path in (*ROOT.glob("*.md"), ROOT / "pyproject.toml", ROOT / ".gitignore"):
        shutil.copy2(path, checkout)
    for name in LEFT:
        place = checkout / name
        place.parent.mkdir(exist_ok=True)
        place.write_text("secret", encoding="utf-8")
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert uv is not None
    outcome = run([uv, "build", "--quiet", "--out-dir", checkout / "dist", checkout])
    assert outcome.returncode == 0, outcome.output
    return checkout / "dist"


def source_files() -> set[str]:
    """Return the files of the packages, as they are in the checkout."""
    return {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def test_the_wheel_has_the_packages_and_nothing_else(built: Path) -> None:
    """Beside what describes it."""
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
    assert names == source_files()


def test_the_source_distribution_has_no_more_than_it_is_made_of(built: Path) -> None:
    """And it has all of it: a wheel can be made of it."""
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        names = {name.partition("/")[2] for name in file.getnames()}
    kinds = ("docs/**/*.md", "docs/images/*.png")
    documents = {str(path.relative_to(ROOT)) for kind in kinds for path in ROOT.glob(kind)}
    own = {"CHANGELOG.md", "README.md", "SECURITY.md", "pyproject.toml", ".gitignore", "PKG-INFO"}
    assert names == source_files() | documents | own
