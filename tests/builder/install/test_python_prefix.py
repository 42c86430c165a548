import tarfile
from pathlib import Path

import pytest

from builder.errors import CorruptPackage, UnsafePackage
from builder.install.python_prefix import unpack_python
from conformance.channel.hostile import HOSTILE
from conformance.channel.writer import (
    PLACEHOLDER,
    Entry,
    Package,
    archive_bytes,
    file_member,
    info_members,
    package_bytes,
)
from tests.builder.install.layers import store

PYTHON = Package(
    "python",
    "3.11.7",
    entries=[
        Entry("bin/python3.11", f"#!{PLACEHOLDER}/bin/sh\n".encode(), mode=0o755),
        Entry("bin/python3", hardlink="bin/python3.11", prefix_mode="text"),
        Entry("bin/python", link="python3.11"),
        Entry("lib/os.py", b"# os\n", mode=0o600),
    ],
)


def test_a_python_is_unpacked_whole(tmp_path: Path) -> None:
    other = Package("libz", "1.0", entries=[Entry("lib/os.py", b"# later\n"), Entry("lib/z.so")])
    archives = [store(tmp_path, package_bytes(package)) for package in (PYTHON, other)]
    dest = tmp_path / "python"
    unpack_python(archives, dest)
    assert (dest / "bin/python").read_text() == "#!/opt/conda/bin/sh\n"
    assert (dest / "bin/python3").samefile(dest / "bin/python3.11")
    assert (dest / "bin/python3.11").stat().st_mode & 0o777 == 0o755
    assert (dest / "lib/os.py").read_text() == "# os\n"
    assert (dest / "lib/os.py").stat().st_mode & 0o777 == 0o644
    assert (dest / "lib/z.so").exists()
    assert sorted(path.name for path in tmp_path.iterdir() if len(path.name) < 64) == ["python"]


def test_what_is_there_already_is_left_alone(tmp_path: Path) -> None:
    dest = tmp_path / "python"
    dest.mkdir()
    unpack_python([tmp_path / "missing"], dest)
    assert list(dest.iterdir()) == []


def test_nothing_is_left_of_a_python_that_is_damaged(tmp_path: Path) -> None:
    archive = store(tmp_path, package_bytes(PYTHON)[:-40])
    with pytest.raises(CorruptPackage):
        unpack_python([archive], tmp_path / "python")
    assert list(tmp_path.iterdir()) == [archive]


def test_a_package_cannot_write_through_a_symlink_of_another(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    packages = [
        Package("a", "1.0", entries=[Entry("share/out", link=str(outside))]),
        Package("b", "1.0", entries=[Entry("share/out/evil", b"evil")]),
    ]
    archives = [store(tmp_path, package_bytes(package)) for package in packages]
    with pytest.raises(UnsafePackage, match="share/out"):
        unpack_python(archives, tmp_path / "python")
    assert list(outside.iterdir()) == []


def test_a_package_cannot_link_to_a_file_through_a_symlink(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    package = Package("a", "1.0")
    symlink, _ = file_member("share/out", b"")
    symlink.type, symlink.linkname = tarfile.SYMTYPE, str(tmp_path)
    link, _ = file_member("share/stolen", b"")
    link.type, link.linkname = tarfile.LNKTYPE, "share/out/secret"
    info = info_members(package, [Entry("share/out", link="x"), Entry("share/stolen")])
    archive = store(tmp_path, archive_bytes(package, [(symlink, b""), (link, b"")], info))
    with pytest.raises(UnsafePackage, match="share/stolen"):
        unpack_python([archive], tmp_path / "python")


@pytest.mark.parametrize("name", ["write-through-symlink", "parent-path", "hardlink-outside"])
def test_attacks_are_refused(tmp_path: Path, name: str) -> None:
    _, data = HOSTILE[name](Package(name, "1.0", subdir="linux-64", noarch=None))
    with pytest.raises(UnsafePackage):
        unpack_python([store(tmp_path, data)], tmp_path / "python")
