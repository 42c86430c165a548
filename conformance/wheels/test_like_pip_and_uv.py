"""What the builder makes of real wheels is what pip and uv make of them, file by file.

Compared are paths, modes, content, the rest of scripts behind their interpreter, and what RECORD
lists. Where pip and uv differ, docs/pypi.md says which of them is followed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from conformance.channel.wheel_lock import Wheel
from conformance.wheels.pinned import ensure
from conformance.wheels.trees import PYTHON, Installer, Tree, groups, ours, theirs

LEAST_WHEELS = 200
#: Wheels with a signature that their RECORD does not name; uv installs it and does not list it.
UNLISTED_BY_UV = ("wheel-0.22.0.dist-info/RECORD", "wheel-0.24.0.dist-info/RECORD")


@pytest.fixture(scope="session")
def wheels() -> dict[Path, Wheel]:
    """Have the wheels on disk."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip(f"the wheels are for Python {PYTHON.short}")
    return ensure()


@pytest.fixture(scope="session")
def built(
    wheels: Mapping[Path, Wheel], tmp_path_factory: pytest.TempPathFactory
) -> dict[Path, Tree | str]:
    """Return what the builder makes of each."""
    scratch = tmp_path_factory.mktemp("built")
    return {path: ours(wheel, path, scratch) for path, wheel in wheels.items()}


def test_no_wheel_that_others_made_is_refused(built: Mapping[Path, Tree | str]) -> None:
    """Every one is installed by pip and by uv."""
    assert len(built) >= LEAST_WHEELS
    assert {path.name: said for path, said in built.items() if isinstance(said, str)} == {}


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_every_file_is_as_the_installer_has_it(
    wheels: Mapping[Path, Wheel],
    built: Mapping[Path, Tree | str],
    installer: Installer,
    tmp_path: Path,
) -> None:
    """Nothing is missing, added, changed, or of another mode."""
    differing: dict[str, object] = {}
    for number, members in enumerate(groups(wheels)):
        expected = theirs(installer, members, tmp_path / str(number))
        assert not isinstance(expected, str), expected
        found: Tree = {}
        for path in members:
            made = built[path]
            found |= made if not isinstance(made, str) else {}
        for path_below in sorted(found.keys() | expected.keys()):
            pair = (found.get(path_below), expected.get(path_below))
            is_known = installer == "uv" and path_below.endswith(UNLISTED_BY_UV)
            if pair[0] != pair[1] and not is_known:
                differing[path_below] = pair
    assert differing == {}
