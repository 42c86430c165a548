from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from builder.errors import CorruptPackage, PackageError, UnsafePackage, UnsupportedPackage
from builder.install.limits import Limits
from builder.install.wheel.contents import read_wheel_contents, wheel_paths
from builder.layer import LayerPackage
from tests.builder.install.layers import PYTHON, assemble_bytes, store
from tests.tiny_wheels import TinyWheel, wheel_bytes, wheel_record

#: What a bomb unpacks to is no attack where wheels may have gigabytes.
SMALL = Limits(
    unpacked_bytes=1024 * 1024, entries=50, info_bytes=100_000, path_bytes=300, directory_bytes=9000
)


def _wheel(**fields: object) -> bytes:
    return wheel_bytes(TinyWheel("demo", **fields))  # type: ignore[arg-type]  # as named


def _files(*paths: str) -> bytes:
    return _wheel(files=dict.fromkeys(paths, b"x"))


def _record(text: str) -> bytes:
    return _wheel(info={"RECORD": text.encode()})


def _points(text: str) -> bytes:
    return _wheel(entry_points=text)


def _patched(old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new)
    return _files("first.py", "other.py").replace(old, new)


INFO = "demo-1.0.dist-info"
ATTACKS: dict[str, tuple[Callable[[], bytes], type[PackageError], str]] = {
    "absolute": (lambda: _files("/etc/passwd"), UnsafePackage, "is absolute"),
    "parent": (lambda: _files("../../x"), UnsafePackage, "leaves the prefix"),
    "parent-in-data": (lambda: _files("{data}/data/../../../x"), UnsafePackage, "leaves the"),
    "empty-segment": (lambda: _files("{data}/data//etc/x"), UnsafePackage, "empty segment"),
    "newline": (lambda: _files("a\nb.py"), UnsafePackage, "control characters"),
    "nul": (lambda: _patched(b"first.py", b"firs\0.py"), UnsafePackage, "not its whole name"),
    "long-name": (lambda: _files("n" * 256), UnsafePackage, "too long"),
    "long-path": (lambda: _files("n/" * 200 + "n"), UnsafePackage, "is too long"),
    "file-and-directory": (lambda: _files("a", "a/b.py"), UnsafePackage, "file or symlink"),
    "history": (lambda: _files("{data}/data/conda-meta/history"), UnsafePackage, "conda's"),
    "nowhere": (lambda: _files("{data}/platinclude/x"), CorruptPackage, "goes nowhere"),
    "nowhere-at-all": (lambda: _files("{data}/scripts"), CorruptPackage, "goes nowhere"),
    "not-a-zip": (lambda: b"MZ" + _files("a.py"), CorruptPackage, "not a zip file"),
    "truncated": (lambda: _files("a.py")[:-30], CorruptPackage, "damaged"),
    "bomb": (lambda: _wheel(files={"big": bytes(2**20)}), UnsafePackage, "unpacks to more"),
    "many-files": (lambda: _files(*map(str, range(60))), UnsafePackage, "unpacks to more"),
    "long-directory": (
        lambda: _files(*(f"{number:0200}" for number in range(40))),
        UnsafePackage,
        "unpacks to more",
    ),
    "large-metadata": (
        lambda: _wheel(metadata=f"Summary: {'x' * 200_000}\n"),
        UnsafePackage,
        "unpacks to more",
    ),
    "no-dist-info": (
        lambda: _wheel(info={}).replace(b"dist-info", b"dist-inf_"),
        CorruptPackage,
        "exactly one",
    ),
    "two-dist-infos": (lambda: _files("other-1.dist-info/METADATA"), CorruptPackage, "exactly one"),
    "no-metadata": (lambda: _wheel(info={"METADATA": None}), CorruptPackage, "no METADATA"),
    "no-record": (lambda: _wheel(info={"RECORD": None}), CorruptPackage, "no RECORD"),
    "other-name": (
        lambda: _wheel(info={"METADATA": b"Name: numpy\nVersion: 1.0\n"}),
        CorruptPackage,
        "its archive holds 'numpy-1.0'",
    ),
    "other-version": (
        lambda: _wheel(info={"METADATA": b"Name: demo\nVersion: 2.0\n"}),
        CorruptPackage,
        "its archive holds 'demo-2.0'",
    ),
    "no-version": (
        lambda: _wheel(info={"METADATA": b"Name: demo\nVersion: one\n"}),
        CorruptPackage,
        "its archive holds 'demo-one'",
    ),
    "next-format": (
        lambda: _wheel(info={"WHEEL": b"Wheel-Version: 2.0\n"}),
        UnsupportedPackage,
        "format that is not known",
    ),
    "record-not-text": (
        lambda: _wheel(info={"RECORD": b"\xff\xfe"}),
        CorruptPackage,
        "RECORD cannot be read",
    ),
    "entry-point-path": (
        lambda: _points("[console_scripts]\n../evil = a:b\n"),
        UnsafePackage,
        "which is not one",
    ),
    "entry-point-code": (
        lambda: _points("[console_scripts]\nevil = os:system('x')\n"),
        UnsafePackage,
        "which is not one",
    ),
    "entry-points-not-ini": (lambda: _points("no section"), UnsafePackage, "cannot be read"),
    "encrypted": (
        lambda: _patched(b"PK\x01\x02\x14\x03\x14\0\0\0", b"PK\x01\x02\x14\x03\x14\0\x01\0"),
        UnsupportedPackage,
        "unknown way",
    ),
    "lzma": (
        lambda: _patched(
            b"PK\x01\x02\x14\x03\x14\0\0\0\x08\0", b"PK\x01\x02\x14\x03\x14\0\0\0\x0e\0"
        ),
        UnsupportedPackage,
        "unknown way",
    ),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_in_one_sentence_and_leaves_nothing_behind(
    tmp_path: Path, name: str
) -> None:
    make, error, words = ATTACKS[name]
    data = make()
    record = wheel_record(TinyWheel("demo"), data)
    with pytest.raises(PackageError, match=words) as caught:
        assemble_bytes(tmp_path / "in", [(LayerPackage(record), data)], limits=SMALL)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert left == [record.sha256]


@pytest.mark.parametrize("name", ATTACKS)
def test_planning_an_attack_ends_with_paths_below_the_prefix_or_a_package_error(
    tmp_path: Path, name: str
) -> None:
    data = ATTACKS[name][0]()
    record = wheel_record(TinyWheel("demo"), data)
    try:
        contents = read_wheel_contents(store(tmp_path, data), record, SMALL)
        paths = wheel_paths(contents, PYTHON)
    except PackageError:
        return
    assert all(not path.startswith(("/", "..")) for path in paths)


@pytest.mark.parametrize("position", range(0, 900, 7))
def test_a_damaged_wheel_is_refused_or_read_as_it_was(tmp_path: Path, position: int) -> None:
    good = _wheel(files={"demo.py": b"x = 1\n" * 9}, entry_points="[console_scripts]\nd = d:m\n")
    data = bytearray(good)
    data[position % len(good)] ^= 0x55
    record = wheel_record(TinyWheel("demo"), bytes(data))
    with suppress(PackageError):
        layer = assemble_bytes(tmp_path, [(LayerPackage(record), bytes(data))], limits=SMALL)
        assert layer.text(f"{PYTHON.site_packages}/demo.py") == "x = 1\n" * 9


def test_a_name_of_any_length_in_a_damaged_wheel_is_told_in_a_short_sentence(
    tmp_path: Path,
) -> None:
    name = b"a" * 60_000 + b".py"
    data = _wheel(files={name.decode(): b"x = 1\n"})
    at = data.index(name)
    data = data[:at] + name.replace(b"a", b"b") + data[at + len(name) :]
    record = wheel_record(TinyWheel("demo"), data)
    with pytest.raises(PackageError) as caught:
        assemble_bytes(tmp_path, [(LayerPackage(record), data)], limits=Limits(path_bytes=70_000))
    assert len(caught.value.message) < 1000
