import dataclasses
from typing import Any

import pytest

from builder.install.conda_meta import prefix_record
from builder.install.package_info import PackageInfo
from builder.layer import LayerPackage, LayerPlan
from tests.builder.records_for_tests import record

ZLIB = record("zlib", "libc >=2")
INFO = PackageInfo(
    index={"name": "zlib", "version": "1.0", "build": "0"},
    paths={},
    noarch=None,
    entry_points=(),
    placeholders=(),
    has_path_types=True,
)


@pytest.mark.parametrize(
    "changes",
    [
        {"url": ZLIB.url.replace("main", "other")},
        {"sha256": "0" * 64},
        {"md5": "0" * 32},
        {"size_bytes": 1},
        {"subdir": "noarch"},
        {"build_number": 7},
        {"depends": ("libc >=1",)},
    ],
)
def test_whatever_is_written_of_a_record_is_in_the_key_of_its_layer(
    changes: dict[str, Any],
) -> None:
    """Else a lock file that says something wrong would decide the bytes of others' layers."""
    changed = dataclasses.replace(ZLIB, **changes)
    assert prefix_record(changed, INFO, ()) != prefix_record(ZLIB, INFO, ())
    assert LayerPlan((LayerPackage(changed),)).key != LayerPlan((LayerPackage(ZLIB),)).key
