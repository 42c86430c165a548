import dataclasses
import json
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
        {"listed": '{"license":"MIT"}'},
    ],
)
def test_whatever_is_written_of_a_record_is_in_the_key_of_its_layer(
    changes: dict[str, Any],
) -> None:
    """Else a lock file that says something wrong would decide the bytes of others' layers."""
    changed = dataclasses.replace(ZLIB, **changes)
    assert prefix_record(changed, INFO, ()) != prefix_record(ZLIB, INFO, ())
    assert LayerPlan((LayerPackage(changed),)).key != LayerPlan((LayerPackage(ZLIB),)).key


LISTED = dataclasses.replace(ZLIB, listed='{"constrains":["a <2"],"license":"MIT"}')


@pytest.mark.parametrize(
    "changes",
    [
        {"listed": "{}"},
        {"depends": ()},
        {"timestamp_ms": None},
        {"noarch": "generic"},
        {"python_site_packages_path": "lib/python3.13t/site-packages"},
    ],
)
def test_whatever_an_index_says_is_in_the_key_of_its_layer(changes: dict[str, Any]) -> None:
    changed = dataclasses.replace(LISTED, **changes)
    assert prefix_record(changed, INFO, ()) != prefix_record(LISTED, INFO, ())
    assert LayerPlan((LayerPackage(changed),)).key != LayerPlan((LayerPackage(LISTED),)).key


def test_a_record_tells_what_the_index_says_and_not_what_it_left_out() -> None:
    said = {"depends": ["a"], "constrains": ["b"], "license": "BSD", "timestamp": 1, "app": 2}
    info = dataclasses.replace(INFO, index={**INFO.index, **said})
    record = json.loads(prefix_record(dataclasses.replace(LISTED, depends=()), info, ()))
    assert record["depends"] == []
    assert (record["constrains"], record["license"]) == (["a <2"], "MIT")
    assert (record["timestamp"], record["app"]) == (ZLIB.timestamp_ms, 2)
    record = json.loads(prefix_record(dataclasses.replace(LISTED, listed="{}"), info, ()))
    assert "constrains" not in record
    assert "license" not in record
