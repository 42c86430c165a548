import json
import time
from pathlib import Path

import pytest
from conda_package_handling import api as handling
from conda_package_streaming.package_streaming import stream_conda_component

from conformance.channel.packing import Habit, habit, pack
from conformance.channel.writer import EPOCH_SECONDS, PLACEHOLDER, Entry, Package

LICENSE = "info/licenses/LICENSE"
PACKAGE = Package(
    "thing",
    "1.0",
    subdir="linux-64",
    noarch=None,
    timestamp_ms=1_704_067_200_000,
    license="MIT",
    extra_info={LICENSE: b"free\n"},
    entries=[
        Entry("bin/thing", f"#!{PLACEHOLDER}/bin/sh\n".encode(), mode=0o755),
        Entry("bin/same", hardlink="bin/thing", mode=0o755),
        Entry("lib/thing.so", link="thing.so.1"),
        Entry("lib/thing.so.1", b"\x7fELF\0", mode=0o4755),
        Entry("share/empty", directory=True),
    ],
)
HABITS: tuple[Habit, ...] = ("tar.bz2", "licences in the payload", "conda")


def names(package: Path, component: str) -> list[str]:
    # A stream's members are gone when the next one is read.
    return [member.name for _, member in stream_conda_component(str(package), component=component)]


@pytest.mark.parametrize(
    ("timestamp_ms", "way"),
    [
        (1_620_000_000_000, "tar.bz2"),
        (1_670_000_000_000, "licences in the payload"),
        (1_770_000_000_000, "conda"),
        # No date of its own.
        (EPOCH_SECONDS * 1000, "licences in the payload"),
    ],
)
def test_a_package_is_packed_as_those_of_its_time_were(timestamp_ms: int, way: Habit) -> None:
    assert habit(Package("thing", "1.0", timestamp_ms=timestamp_ms)) == way


@pytest.mark.parametrize("way", HABITS)
def test_every_file_link_and_mode_comes_out_again(way: Habit, tmp_path: Path) -> None:
    root = tmp_path / "root"
    handling.extract(str(pack(PACKAGE, tmp_path / "channel", way)), str(root))
    assert (root / "bin/thing").read_bytes() == f"#!{PLACEHOLDER}/bin/sh\n".encode()
    assert (root / "bin/thing").stat().st_ino == (root / "bin/same").stat().st_ino
    assert (root / "lib/thing.so").readlink() == Path("thing.so.1")
    assert (root / "bin/thing").stat().st_mode & 0o777 == 0o755
    assert (root / "share/empty").is_dir()
    assert (root / LICENSE).read_bytes() == b"free\n"
    paths = json.loads((root / "info/paths.json").read_bytes())["paths"]
    assert {path["_path"] for path in paths} == {entry.path for entry in PACKAGE.entries}


@pytest.mark.parametrize(
    ("way", "component"), [("licences in the payload", "pkg"), ("conda", "info")]
)
def test_licences_are_where_the_habit_has_them(way: Habit, component: str, tmp_path: Path) -> None:
    package = pack(PACKAGE, tmp_path, way)
    assert LICENSE in names(package, component)
    assert "info/index.json" in names(package, "info")


def test_information_comes_first_in_a_tar_bz2(tmp_path: Path) -> None:
    found = names(pack(PACKAGE, tmp_path, "tar.bz2"), "pkg")
    places = [name.startswith("info/") for name in found]
    assert places == sorted(places, reverse=True)


@pytest.mark.parametrize("way", HABITS)
def test_the_same_package_gives_the_same_bytes_at_another_time(
    way: Habit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = pack(PACKAGE, tmp_path / "a", way)
    monkeypatch.setattr(time, "localtime", lambda *_: time.gmtime(2_000_000_000))
    assert pack(PACKAGE, tmp_path / "b", way).read_bytes() == first.read_bytes()


def test_nothing_is_left_beside_the_packages(tmp_path: Path) -> None:
    packed = pack(PACKAGE, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [packed]
    assert [path.name for path in tmp_path.iterdir()] == ["linux-64"]
