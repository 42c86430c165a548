"""The driver, with the programs and mounts of this machine."""

import asyncio
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder.install.prefix.installation import InstallationPlan, dump_installation
from builder.install.prefix.link import LinkOptions
from conformance.channel.writer import PLACEHOLDER, Entry, Package
from registry.errors import PrefixUnusable
from registry.prefixes.drivers import Found
from registry.prefixes.drivers.squashfs import SquashfsDriver, SquashfsOptions
from registry.prefixes.mounting import Mounting, mounts
from registry.prefixes.room import is_full
from registry.prefixes.seen import Seen
from tests.builder.install.prefix.prefixes import Root

HOLDER = PLACEHOLDER.encode()
TOOL = Package(
    "tool",
    "1.0",
    subdir="linux-64",
    noarch=None,
    entries=[
        Entry("bin/tool", b"#!/bin/sh\necho " + HOLDER + b"\n", mode=0o755),
        Entry("empty", directory=True),
        Entry("lib/large", bytes(range(256)) * 4000),
        Entry("lib/libtool.so.1", link="../lib/large"),
        Entry("share/doc/readme", b"plain"),
        Entry("share/here", link=PLACEHOLDER + "/share"),
    ],
)
OTHER = Package("other", "2.0", noarch="generic", entries=[Entry("share/other", b"other")])
NOBODY = 65534


class House:
    """A root, its unpacked packages and a driver."""

    def __init__(self, path: Path, mounting: Mounting = "never", **options: Any) -> None:
        self.path = path / "root"
        (self.path / ".packages").mkdir(parents=True)
        self.options = SquashfsOptions(mounting, **options)
        self.driver = SquashfsDriver(self.path, self.path / ".packages", self.options)
        self._unpacked = Root(path)
        self._numbers = iter(range(1000))

    def plan(self, *packages: Package) -> InstallationPlan:
        plan = self._unpacked.plan(*packages, variables={"A": "1"})
        for directory in self._unpacked.unpacked(plan):
            with suppress(FileExistsError):
                (self.path / ".packages" / directory.name).symlink_to(directory)
        return plan

    def at(self, name: str = "one") -> Path:
        return self.path / "builds" / name

    def image(self, name: str = "one") -> Path:
        return self.path / ".images" / "builds" / f"{name}.squashfs"

    def again(self, mounting: Mounting | None = None) -> None:
        """Have another process look after the root."""
        options = replace(self.options, mounting=mounting or self.options.mounting)
        self.driver = SquashfsDriver(self.path, self.path / ".packages", options)

    def make(self, name: str = "one", *packages: Package) -> int:
        making = self.path / f"making-{next(self._numbers)}"
        making.mkdir()
        plan = self.plan(*(packages or (TOOL,)))
        return asyncio.run(self.driver.make(plan, making, self.at(name)))

    def found(self) -> dict[str, Found]:
        return dict(asyncio.run(self.driver.found(Seen())))

    def attach(self, name: str = "one") -> None:
        self.found()
        asyncio.run(self.driver.attach(self.at(name)))

    def retire(self, name: str = "one", *, now: bool = False) -> Path:
        self.found()
        trash = self.path / f"trash-{next(self._numbers)}"
        asyncio.run(self.driver.retire(self.at(name), trash, now=now))
        return trash

    def unmount_all(self) -> None:
        for at in mounts():
            if at.is_relative_to(self.path):
                subprocess.run(["umount", "-l", at], check=False)

    def is_mounted(self, name: str = "one") -> bool:
        return self.at(name) in mounts()


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture(params=["kernel", "fuse"])
def mounted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path, request.param)
    yield house
    house.unmount_all()


@pytest.fixture
def by_kernel(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path, "kernel")
    yield house
    house.unmount_all()


@pytest.fixture
def by_fuse(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path, "fuse")
    yield house
    house.unmount_all()


def test_a_mounted_prefix_is_that_of_its_packages(mounted: House) -> None:
    mounted.make()
    at = mounted.at()
    assert subprocess.check_output([at / "bin/tool"], text=True) == f"{at}\n"
    assert (at / "share/doc/readme").read_text() == "plain"
    assert (at / "lib/libtool.so.1").samefile(at / "lib/large")
    assert (at / "share/here").readlink() == at / "share"
    assert (at / "empty").is_dir()
    assert (at / "conda-meta/history").read_bytes() == b""
    (found,) = mounted.found().items()
    assert found[0] == "builds/one"
    assert found[1].mark is not None
    assert found[1].mark.prefix == str(at)


def test_all_files_are_roots_and_nobody_can_write(mounted: House) -> None:
    mounted.make()
    owners = {(path.lstat().st_uid, path.lstat().st_gid) for path in mounted.at().rglob("*")}
    assert owners == {(0, 0)}
    with pytest.raises(OSError, match="Read-only file system"):
        (mounted.at() / "new").write_bytes(b"")


def test_others_may_read_what_its_modes_let_them(mounted: House, tmp_path: Path) -> None:
    for directory in (tmp_path, *tmp_path.parents):
        if directory.is_relative_to("/tmp") and directory != Path("/tmp"):
            directory.chmod(0o755)
    mounted.make()
    cat = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "cat"]
    file = mounted.at() / "share/doc/readme"
    assert subprocess.check_output([*cat, file]) == b"plain"
    mounted.options = replace(mounted.options, link=LinkOptions(umask=0o027))
    mounted.again()
    mounted.make("closed")
    closed = mounted.at("closed") / "conda-meta/pullforge"
    refused = subprocess.run([*cat, closed], check=False, capture_output=True, text=True)
    assert "Permission denied" in refused.stderr


def test_an_image_has_the_owner_that_was_asked_for(tmp_path: Path) -> None:
    house = House(tmp_path, "kernel", link=LinkOptions(uid=1234, gid=0))
    try:
        house.make()
        status = (house.at() / "share/doc/readme").stat()
        assert (status.st_uid, status.st_gid) == (1234, 0)
        assert (house.image().stat().st_uid, house.image().stat().st_gid) == (1234, 0)
        package = next(iter((house.path / ".packages").iterdir())) / "tree/share/doc/readme"
        assert package.stat().st_uid == os.getuid(), "that of the package stays"
    finally:
        house.unmount_all()


_MAKE = """
import asyncio, os, sys
from pathlib import Path
from registry.prefixes.drivers.squashfs import SquashfsDriver, SquashfsOptions
from builder.install.prefix.link import LinkOptions
from builder.install.prefix.installation import parse_installation
os.umask(int(sys.argv[4], 8))
root = Path(sys.argv[1])
making = root / sys.argv[2]
making.mkdir()
options = SquashfsOptions(link=LinkOptions(share=sys.argv[3]))
driver = SquashfsDriver(root, root / ".packages", options)
plan = parse_installation(Path(sys.argv[5]).read_bytes())
asyncio.run(driver.make(plan, making, root / "builds/one"))
"""


def test_time_cores_zone_umask_and_how_files_are_shared_change_no_byte(
    house: House, tmp_path: Path
) -> None:
    plan = tmp_path / "plan"
    plan.write_bytes(dump_installation(house.plan(TOOL, OTHER)))
    made = []
    for number, (share, umask, processors, zone) in enumerate(
        [("hardlink", "022", "0", "UTC"), ("copy", "077", "0-1", "Asia/Tokyo")]
    ):
        subprocess.run(
            [
                *("taskset", "-c", processors, sys.executable, "-c", _MAKE),
                *(house.path, f"{number}", share, umask, plan),
            ],
            check=True,
            env={**os.environ, "TZ": zone, "SOURCE_DATE_EPOCH": "7"},
        )
        made.append(house.image().read_bytes())
        for path in (house.path / ".packages").resolve().rglob("*"):
            if path.is_dir():
                os.utime(path, (number, number))
    assert made[0] == made[1]
    assert house.image().stat().st_mode & 0o777 == 0o644


def test_an_image_may_be_compressed_with_gzip(tmp_path: Path) -> None:
    house = House(tmp_path, compression="gzip")
    house.make()
    told = subprocess.check_output(["unsquashfs", "-s", house.image()], text=True)
    assert "Compression gzip" in told
    subprocess.run(["unsquashfs", "-d", tmp_path / "out", house.image()], check=True)
    assert (tmp_path / "out/share/doc/readme").read_text() == "plain"


def test_an_image_that_is_left_for_others_is_not_mounted(house: House) -> None:
    house.make()
    house.attach()
    assert house.image().exists()
    assert not house.at().exists()
    trash = house.retire()
    assert trash.is_file()
    assert list((house.path / ".images").iterdir()) == []


def test_what_was_unmounted_is_mounted_by_the_next_pass(mounted: House) -> None:
    mounted.make()
    subprocess.run(["umount", mounted.at()], check=True)
    mounted.again()
    mounted.attach()
    assert (mounted.at() / "share/doc/readme").read_text() == "plain"
    mounted.attach()
    assert [at for at in mounts() if at == mounted.at()] == [mounted.at()]


def test_a_place_that_has_gone_is_made_again(mounted: House) -> None:
    mounted.make()
    subprocess.run(["umount", mounted.at()], check=True)
    mounted.at().rmdir()
    mounted.at().parent.rmdir()
    mounted.attach()
    assert mounted.is_mounted()


def test_a_fuse_process_that_was_killed_is_started_anew(by_fuse: House) -> None:
    by_fuse.make()
    asked = subprocess.run(
        ["pgrep", "-f", f"squashfuse.* {by_fuse.at()}$"], capture_output=True, text=True, check=True
    )
    for number in asked.stdout.split():
        process = os.pidfd_open(int(number))
        os.kill(int(number), 9)
        select.select([process], [], [])
        os.close(process)
    with pytest.raises(OSError, match="not connected"):
        (by_fuse.at() / "share").stat()
    by_fuse.again()
    by_fuse.attach()
    assert (by_fuse.at() / "share/doc/readme").read_text() == "plain"


@pytest.mark.parametrize("program", ["squashfuse", "squashfuse_ll", "mount -o loop,ro"])
def test_what_somebody_has_mounted_by_hand_is_taken(by_kernel: House, program: str) -> None:
    by_kernel.make()
    elsewhere = by_kernel.path / "elsewhere"
    elsewhere.hardlink_to(by_kernel.image())
    subprocess.run(["umount", by_kernel.at()], check=True)
    subprocess.run([*program.split(), elsewhere, by_kernel.at()], check=True)
    by_kernel.attach()
    assert (by_kernel.at() / "share/doc/readme").read_text() == "plain"
    assert by_kernel.retire().is_file()
    assert not by_kernel.is_mounted()


def test_something_else_that_is_mounted_stays(by_kernel: House) -> None:
    by_kernel.make()
    subprocess.run(["umount", by_kernel.at()], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "mine", by_kernel.at()], check=True)
    with pytest.raises(PrefixUnusable, match=r"something else is mounted at .*one \(mine\)"):
        by_kernel.attach()
    assert mounts()[by_kernel.at()].filesystem == "tmpfs"
    by_kernel.retire()
    assert mounts()[by_kernel.at()].filesystem == "tmpfs"
    assert not by_kernel.image().exists()


def test_files_in_the_way_are_told_and_stay(by_kernel: House) -> None:
    by_kernel.at().mkdir(parents=True)
    (by_kernel.at() / "mine").write_bytes(b"")
    with pytest.raises(PrefixUnusable, match="is in the way"):
        by_kernel.make()
    assert (by_kernel.at() / "mine").exists()
    by_kernel.at("two").symlink_to("elsewhere")
    with pytest.raises(PrefixUnusable, match="is in the way"):
        by_kernel.make("two")


def test_a_prefix_in_use_stays_until_nobody_uses_it(mounted: House) -> None:
    mounted.make()
    with (mounted.at() / "lib/large").open("rb"):
        with pytest.raises(PrefixUnusable, match="in use"):
            mounted.retire()
        assert (mounted.at() / "share/doc/readme").read_text() == "plain"
        assert list(mounted.found()) == ["builds/one"]
    trash = mounted.retire()
    assert trash.is_file()
    assert not mounted.at().exists()


def test_a_blocked_prefix_goes_at_once_and_its_programs_run_on(mounted: House) -> None:
    mounted.make()
    with (mounted.at() / "lib/large").open("rb") as file:
        trash = mounted.retire(now=True)
        trash.unlink()
        assert not mounted.at().exists()
        assert file.read(256) == bytes(range(256))
    assert mounted.found() == {}


def test_another_image_takes_the_place_of_one_in_use(mounted: House) -> None:
    mounted.make()
    with (mounted.at() / "share/doc/readme").open() as file:
        mounted.make("one", TOOL, OTHER)
        assert file.read() == "plain"
    assert (mounted.at() / "share/other").read_text() == "other"
    assert mounted.retire().is_file()


def test_a_file_that_is_not_whole_is_found_and_made_anew(by_kernel: House) -> None:
    by_kernel.make()
    os.truncate(by_kernel.image(), 5000)
    assert by_kernel.found()["builds/one"] == Found(None, "its file is not whole")
    by_kernel.make()
    found = by_kernel.found()["builds/one"]
    assert found.mark is not None
    assert (by_kernel.at() / "share/doc/readme").read_text() == "plain"


def test_a_file_that_was_deleted_while_mounted_is_found_and_can_go(mounted: House) -> None:
    mounted.make()
    mounted.image().unlink()
    (found,) = mounted.found().values()
    assert found.mark is None
    assert "has gone" in found.damage
    assert not mounted.retire().exists()
    assert not mounted.is_mounted()
    assert not mounted.at().exists()


def test_a_root_that_was_moved_has_its_prefixes_made_anew(house: House, tmp_path: Path) -> None:
    house.make()
    before = house.at()
    house.path.rename(tmp_path / "moved")
    house.path = tmp_path / "moved"
    house.again()
    assert house.found()["builds/one"].damage == f"its files say that they are at {before}"
    house.make()
    assert house.found()["builds/one"].mark is not None


def test_without_the_program_the_package_is_named(
    house: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("registry.prefixes.programs.ADMINISTRATORS", ())
    with pytest.raises(PrefixUnusable, match="install the package squashfs-tools"):
        house.make()


def test_without_squashfuse_the_package_is_named(
    by_fuse: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "mksquashfs").symlink_to("/usr/bin/mksquashfs")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PrefixUnusable, match="install the package squashfuse"):
        by_fuse.make()
    assert list(by_fuse.found()) == ["builds/one"], "the image stays for the next pass"


def test_an_image_without_room_is_told(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "small", small], check=True)
    try:
        house = House(small)
        noise = Package(
            "noise", "1", noarch="generic", entries=[Entry("noise", os.urandom(900_000))]
        )
        house.plan(noise)
        with pytest.raises(OSError, match="No space left on device") as caught:
            house.make("one", noise)
        assert is_full(caught.value)
        assert house.found() == {}
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_a_machine_without_loop_devices_says_so(by_kernel: House) -> None:
    by_kernel.make()
    by_kernel.unmount_all()
    told = subprocess.run(
        [
            *("unshare", "--mount", "sh", "-c"),
            'mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && exec "$@"',
            *("sh", sys.executable, "-c", _ATTACH, by_kernel.path),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "no loop device left" in told.stdout, told.stdout + told.stderr


def test_a_user_who_may_not_mount_is_told_what_to_do(by_kernel: House) -> None:
    by_kernel.make()
    by_kernel.unmount_all()
    told = subprocess.run(
        [
            *("setpriv", "--bounding-set=-all", "--inh-caps=-all"),
            *(sys.executable, "-c", _ATTACH, by_kernel.path),
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "run this as root, or choose --mount fuse or never" in told.stdout, told


_ATTACH = """
import asyncio, sys
from pathlib import Path
from registry.errors import PrefixUnusable
from registry.prefixes.drivers.squashfs import SquashfsDriver, SquashfsOptions
from registry.prefixes.seen import Seen
root = Path(sys.argv[1])
async def main():
    driver = SquashfsDriver(root, root / ".packages", SquashfsOptions("kernel"))
    await driver.found(Seen())
    await driver.attach(root / "builds/one")
try:
    asyncio.run(main())
except PrefixUnusable as exc:
    print(exc)
"""
