from contextlib import suppress
from pathlib import Path

import pytest

from builder.errors import CorruptPackage, PackageError, UnsafePackage, UnsupportedPackage
from builder.install.contents import read_contents
from builder.install.limits import Limits
from builder.layer import LayerPackage
from conformance.channel.hostile import HOSTILE
from conformance.channel.writer import Package
from tests.builder.install.layers import Layer, assemble_bytes, record_of, store

REFUSED: dict[str, type[PackageError]] = {
    "absolute-path": UnsafePackage,
    "bad-json": CorruptPackage,
    "bad-types": CorruptPackage,
    "duplicate-paths": UnsafePackage,
    "entry-point-code": UnsafePackage,
    "entry-point-path": UnsafePackage,
    "hardlink-absolute": UnsafePackage,
    "hardlink-outside": UnsafePackage,
    "huge-paths-json": UnsafePackage,
    "listed-absolute-path": UnsafePackage,
    "listed-parent-path": UnsafePackage,
    "missing-file": CorruptPackage,
    "noarch-parent-path": UnsafePackage,
    "not-an-archive": CorruptPackage,
    "odd-names": UnsafePackage,
    "parent-path": UnsafePackage,
    "short-placeholder": UnsupportedPackage,
    "truncated": CorruptPackage,
    "truncated-bz2": CorruptPackage,
    "truncated-inside": CorruptPackage,
    "write-through-relative-symlink": UnsafePackage,
    "write-through-symlink": UnsafePackage,
    "wrong-name": CorruptPackage,
    "zstd-bomb": UnsafePackage,
}
#: Harmless once assembled; each has a test of its own below.
TAMED = {"device-nodes", "placeholder-in-link", "suid", "unlisted-file"}
#: The hash is checked when an archive is downloaded, before it gets here.
CHECKED_BEFORE = {"wrong-hash"}
#: What the bomb unpacks to is no attack where packages may have gigabytes.
SMALL = Limits(unpacked_bytes=16 * 1024 * 1024)


def _assemble(directory: Path, name: str) -> Layer:
    package, data = HOSTILE[name](Package(name, "1.0", subdir="linux-64", noarch=None))
    return assemble_bytes(directory, [(LayerPackage(record_of(package, data)), data)], limits=SMALL)


def test_every_attack_is_expected_to_fail_in_some_way() -> None:
    assert set(REFUSED) | TAMED | CHECKED_BEFORE == set(HOSTILE)


@pytest.mark.parametrize("name", REFUSED)
def test_an_attack_is_refused_in_one_sentence_and_leaves_nothing_behind(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(PackageError) as caught:
        _assemble(tmp_path / "in", name)
    assert type(caught.value) is REFUSED[name]
    assert "\n" not in str(caught.value)
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert all(len(archive) == 64 for archive in left), left


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_planning_an_attack_ends_with_contents_or_a_package_error(
    tmp_path: Path, name: str
) -> None:
    package, data = HOSTILE[name](Package(name, "1.0", subdir="linux-64", noarch=None))
    archive = store(tmp_path, data)
    with suppress(PackageError):
        contents = read_contents(archive, record_of(package, data), SMALL)
        assert all(not path.startswith(("/", "..")) for path in contents.paths)


def test_devices_and_pipes_are_left_out(tmp_path: Path) -> None:
    assert _assemble(tmp_path, "device-nodes").below_prefix() == []


def test_setuid_setgid_and_sticky_bits_are_dropped(tmp_path: Path) -> None:
    layer = _assemble(tmp_path, "suid")
    modes = {layer.members[f"opt/conda/bin/{n}"].mode for n in ("suid", "sgid", "sticky")}
    assert modes == {0o755}


def test_what_the_package_does_not_list_is_not_installed(tmp_path: Path) -> None:
    assert _assemble(tmp_path, "unlisted-file").below_prefix() == ["share/x"]


def test_a_symlink_into_the_build_prefix_leads_into_the_prefix(tmp_path: Path) -> None:
    layer = _assemble(tmp_path, "placeholder-in-link")
    assert layer.members["opt/conda/share/abs"].linkname == "/opt/conda/share/x"
