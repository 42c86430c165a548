from pathlib import Path

import pytest

from builder.install.requires_dist import read_extras
from conformance.channel.writer import Entry, Package, package_bytes
from tests.builder.install.layers import record_of, store

METADATA = b"""Metadata-Version: 2.1
Name: Tool
Version: 1.0
Requires-Dist: library>=1
Requires-Dist: Speedup >=1 ; extra == 'fast'
Requires-Dist: other; python_version < "3" and extra == "slow"
Requires-Dist: elsewhere @ https://host/x.whl ; extra == "fast"
Requires-Dist: not a requirement; extra == "fast"

Requires-Dist: description>=1; extra == "fast"
"""


def _extras(directory: Path, path: str, data: bytes = METADATA) -> tuple[str, ...]:
    entries = [
        Entry("site-packages/other-1.0.dist-info/METADATA", b"Requires-Dist: x; extra == 'y'\n"),
        Entry(path, data),
    ]
    package = Package("tool", "1.0", noarch="python", subdir="noarch", entries=entries)
    archive = package_bytes(package)
    return read_extras(store(directory, archive), record_of(package, archive), "tool")


@pytest.mark.parametrize(
    "path",
    [
        "site-packages/Tool-1.0.dist-info/METADATA",
        "lib/python3.11/site-packages/tool-1.0.dist-info/METADATA",
        "site-packages/tool-1.0-py3.11.egg-info/PKG-INFO",
        "site-packages/tool-1.0-py3.11.egg-info",
    ],
)
def test_what_extras_need_is_read_from_the_metadata(tmp_path: Path, path: str) -> None:
    assert _extras(tmp_path, path) == (
        'Speedup>=1; extra == "fast"',
        'other; python_version < "3" and extra == "slow"',
    )


def test_a_distribution_that_does_not_say_needs_nothing(tmp_path: Path) -> None:
    assert _extras(tmp_path, "site-packages/tool-1.0.dist-info/METADATA", b"\xff\0") == ()
    assert _extras(tmp_path, "site-packages/tool-1.0.dist-info/RECORD") == ()
