from pathlib import Path

from registry.prefixes.mounting import Mount, mounts

#: As a kernel writes it: a blank, a mount over another, optional fields, a name that is no Unicode.
TOLD = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 8:1 / / rw,relatime shared:1 master:2 - ext4 /dev/sda1 rw
49 27 0:40 / /srv/my\040envs/builds/a ro,nosuid shared:3 - fuse /srv/my\040envs/a.squashfs ro
50 27 999:1 / /srv/b ro - squashfs /dev/loop77 ro,errors=continue
51 27 0:41 / /srv/b rw - tmpfs mine rw
52 27 0:42 / /srv/b\374 rw - tmpfs none rw
"""


def test_mounts_are_read_as_the_kernel_writes_them(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_bytes(TOLD)
    found = mounts(tmp_path / "mountinfo")
    assert found[Path("/srv/my envs/builds/a")] == Mount("fuse", "/srv/my envs/a.squashfs")
    assert found[Path("/")] == Mount("ext4", "/dev/sda1")


def test_the_uppermost_of_several_mounts_counts(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_bytes(TOLD)
    assert mounts(tmp_path / "mountinfo")[Path("/srv/b")] == Mount("tmpfs", "mine")


def test_mounts_of_this_machine_can_be_read() -> None:
    assert Path("/proc") in mounts()
