"""Inputs that other people made: packages, indexes, lock files and reports, by path.

They are not part of the project. ``PULLFORGE_TEST_INPUTS`` says where they lie (default: the
folder ``shared`` beside the checkout), e.g. ``cases/report-05/channel``. Where there is no such
folder, tests that want one are skipped and say so; where the variable is set, they fail.
"""

import os
import shutil
from pathlib import Path
from typing import Final

import pytest

_VARIABLE: Final = "PULLFORGE_TEST_INPUTS"
_BESIDE: Final = Path(__file__).parents[2] / "shared"


def directory() -> Path | None:
    """Return where the inputs lie, or ``None`` if this machine has none."""
    chosen = Path(os.environ.get(_VARIABLE, _BESIDE))
    return chosen if chosen.is_dir() else None


def made_by_others(path: str) -> Path:
    """Return what is at ``path``, e.g. ``"cases/report-05/channel"``; skips without it."""
    found = directory()
    if found is not None and (found / path).exists():
        return found / path
    if _VARIABLE in os.environ:
        pytest.fail(f"{_VARIABLE} is set, and has no {path}")
    pytest.skip(f"no {path}: {_VARIABLE} says where the inputs of others lie")


def copy_of(path: str, to: Path) -> Path:
    """Copy what is at ``path`` to ``to``, which does not exist, so that it can be changed."""
    found = made_by_others(path)
    if found.is_file():
        return shutil.copyfile(found, to)
    to.mkdir()
    for one in sorted(found.iterdir()):
        copy_of(f"{path}/{one.name}", to / one.name)
    return to


def names(pattern: str) -> list[str]:
    """Return the paths that match, sorted, for ``parametrize``, e.g. of ``"real/packages/*"``."""
    found = directory()
    return sorted(str(p.relative_to(found)) for p in found.glob(pattern)) if found else []
