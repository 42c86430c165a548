import dataclasses

from builder.exports import PackageChange, diff
from builder.exports.diff import LicenceChange, fetched_bytes
from builder.oci.digest import digest_of
from builder.oci.models import OCI_CONFIG, OCI_LAYER_ZSTD, Descriptor, ImageManifest
from tests.builder.exports.locks import DATEUTIL, PANDAS, PYTHON, SIX, ZLIB, arm, lock
from tests.builder.records_for_tests import record


def part(text: str, size: int, media_type: str = OCI_LAYER_ZSTD) -> Descriptor:
    return Descriptor(media_type=media_type, digest=digest_of(text.encode()), size=size)


def image(*layers: Descriptor) -> ImageManifest:
    config = part(repr(layers), 7, OCI_CONFIG)
    return ImageManifest(config=config, layers=list(layers))


def test_a_lock_does_not_differ_from_itself() -> None:
    same = diff(lock(), lock())
    assert same.packages == {"linux-64": (), "linux-aarch64": ()}
    assert (same.variables, same.base) == ({}, None)


def test_what_is_added_removed_and_changed_is_told_for_each_platform() -> None:
    newer = dataclasses.replace(ZLIB, version="1.3.1", build="1")
    other = lock(
        platforms={"linux-64": (PYTHON, newer, record("xz")), "linux-aarch64": (arm(PYTHON),)},
        wheels={"linux-64": (dataclasses.replace(SIX, version="1.18.0"),)},
    )
    found = diff(lock(), other).packages
    assert found["linux-64"] == (
        PackageChange("conda", "pandas", "1.0 0", None, "removed"),
        PackageChange("conda", "xz", None, "1.0 0", "added"),
        PackageChange("conda", "zlib", "1.3 0", "1.3.1 1", "up"),
        PackageChange("pip", "python-dateutil", "2.9.0", None, "removed"),
        PackageChange("pip", "six", "1.17.0", "1.18.0", "up"),
    )
    assert [change.name for change in found["linux-aarch64"]] == ["pandas", "zlib"]


def test_another_archive_of_the_same_version_is_a_change() -> None:
    other = dataclasses.replace(SIX, sha256="6" * 64)
    (change,) = diff(lock(), lock(wheels={"linux-64": (other, DATEUTIL)})).packages["linux-64"]
    assert change.before == f"1.17.0 sha256:{'5' * 12}"
    assert change.after == f"1.17.0 sha256:{'6' * 12}"
    assert change.direction == "changed"


def test_it_is_told_which_way_versions_go_and_which_licences_come_and_go() -> None:
    old = (
        dataclasses.replace(record("six", version="1.10"), listed='{"license": "MIT"}'),
        record("xz", version="5.2.0a"),
    )
    new = (
        dataclasses.replace(record("six", version="1.9"), listed='{"license": "BSD"}'),
        record("xz", version="5.2.0"),
    )
    found = diff(
        lock(platforms={"linux-64": old}, wheels={}), lock(platforms={"linux-64": new}, wheels={})
    )
    six, xz = found.packages["linux-64"]
    assert (six.direction, six.licence_before, six.licence_after) == ("down", "MIT", "BSD")
    assert xz.direction == "up"
    assert found.licences["linux-64"] == LicenceChange(("BSD",), ("MIT",))


def test_variables_and_the_base_differ_too() -> None:
    found = diff(lock(), lock(variables={"MODE": "slow", "A": "1"}, base=None))
    assert found.variables == {"A": (None, "1"), "MODE": ("fast", "slow")}
    assert found.base is not None
    assert found.base[1] is None
    assert str(found.base[0]).startswith("docker.io/library/debian@sha256:")


def test_a_platform_of_one_lock_alone_has_all_its_packages_added() -> None:
    found = diff(lock(platforms={"linux-64": (ZLIB,)}, wheels={}), lock(wheels={}))
    added = found.packages["linux-aarch64"]
    assert [(change.name, change.before) for change in added] == [
        ("pandas", None),
        ("python", None),
        ("zlib", None),
    ]
    assert PANDAS.name in {change.name for change in found.packages["linux-64"]}


def test_a_node_fetches_the_layers_it_does_not_have_and_each_once() -> None:
    base, old, new = part("base", 1000), part("old", 100), part("new", 10)
    assert fetched_bytes(image(base, old), image(base, new, new)) == 10 + 7
    assert fetched_bytes(image(base, old), image(base, old)) == 0
    assert fetched_bytes(None, image(base, old)) == 1107
