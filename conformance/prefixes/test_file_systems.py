"""Roots on small and odd file systems, in files, as root.

What is there stays whole whatever there is no room for, and each trouble is one sentence.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.prefixes.nobody import run_python
from conformance.prefixes.site import SPACE, Built, Node, Site
from conformance.prefixes.trees import Tree, differences, of_prefix
from tests.builder.install.prefix.loop_disk import FileSystem, loop_disk

#: Has room for the small environment, and not for both.
SMALL_MIB: Final = 64
#: So do these.
FEW_INODES: Final = 2000
#: More than ext4 gives a file.
MOST_LINKS: Final = 65_000
#: What of a prefix that shares its files may be its own, and a file system adds.
OWN_SHARE: Final = 0.35


@dataclass(frozen=True)
class Rooms:
    """A server, and environments of it that take some room or more."""

    site: Site
    small: Built
    large: Built
    #: Two that differ in a package.
    pair: tuple[Built, Built]


@pytest.fixture(scope="module")
def rooms(paths: ChannelPaths, channel: ChannelServer) -> Iterator[Rooms]:
    """Build all of them."""
    with Site(paths, channel.url) as site:
        yield Rooms(
            site,
            site.build(f"{SPACE}/small", "bzip2-tools", "hardlinkdemo", "openssl"),
            site.build(f"{SPACE}/large", "numpy", "pandas"),
            (
                site.build(f"{SPACE}/one", "python=3.11", "click=8.1.7"),
                site.build(f"{SPACE}/other", "python=3.11", "click=8.2.1"),
            ),
        )


@contextmanager
def small_disk(kind: FileSystem, size_mib: int = 1024, *options: str) -> Iterator[Path]:
    """Mount a file system that others may enter, too."""
    with loop_disk(kind, size_mib, options) as disk:
        disk.parent.chmod(0o755)
        yield disk


def only(*built: Built) -> list[str]:
    """Return the options that limit a root to some environments."""
    return [word for one in built for word in ("--only", one.path)]


def sentence(node: Node, *built: Built) -> str:
    """Return the one sentence of a command that cannot do everything."""
    done = node.sync(*only(*built), code=1)
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert lines, done.stdout
    return " ".join(lines)


@contextmanager
def kept(node: Node, *built: Built) -> Iterator[dict[Built, Tree]]:
    """Give what is in the prefixes of a root; they are as they were when it ends."""
    before = {one: of_prefix(node.prefix(one)) for one in built}
    yield before
    for one, tree in before.items():
        assert differences(of_prefix(node.prefix(one)), tree) == {}
        assert node.link(one.path).readlink().name == one.key


def used_bytes(directory: Path) -> int:
    """Return what is used of a file system, when all is written."""
    os.sync()
    found = os.statvfs(directory)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def shares_inodes(node: Node, one: Built, other: Built) -> bool:
    """Tell whether two prefixes share the inode of a file of Python."""
    path = Path("lib/python3.11/os.py")
    return (node.prefix(one) / path).samefile(node.prefix(other) / path)


def test_without_room_what_is_there_stays_and_it_goes_on_with_room(rooms: Rooms) -> None:
    """Nothing of the large environment is left, not even what takes the last room."""
    with small_disk("ext4", SMALL_MIB) as disk:
        node = rooms.site.node(root=disk / "root")
        node.sync(*only(rooms.small))
        with kept(node, rooms.small):
            said = sentence(node, rooms.small, rooms.large)
            assert "no room" in said, said
            assert node.builds() == {rooms.small.key}
            node.require_nothing_under_way()
            node.sync(*only(rooms.small))
        (disk / "filling").write_bytes(bytes(8 << 20))
        node.sync(*only(rooms.small))


def test_without_inodes_what_is_there_stays(rooms: Rooms) -> None:
    """And the sentence says that it is not bytes that are missing."""
    with small_disk("ext4", 512, "-N", str(FEW_INODES)) as disk:
        node = rooms.site.node(root=disk / "root")
        node.sync(*only(rooms.small))
        with kept(node, rooms.small):
            said = sentence(node, rooms.small, rooms.large)
            assert "inode" in said, said
            node.require_nothing_under_way()
            node.sync(*only(rooms.small))


def test_a_file_with_as_many_links_as_can_be_is_copied(rooms: Rooms) -> None:
    """ext4 gives a file no more than 65 000 of them."""
    one, other = rooms.pair
    with small_disk("ext4") as disk:
        node = rooms.site.node(root=disk / "root")
        node.sync(*only(one))
        shared = node.prefix(one) / "lib/python3.11/os.py"
        links = disk / "links"
        links.mkdir()
        for number in range(MOST_LINKS - shared.stat().st_nlink):
            os.link(shared, links / str(number))
        assert shared.stat().st_nlink == MOST_LINKS
        with kept(node, one):
            node.sync(*only(one, other))
        copied = node.prefix(other) / "lib/python3.11/os.py"
        assert not copied.samefile(shared)
        assert copied.read_bytes() == shared.read_bytes()
        neighbour = "lib/python3.11/json/decoder.py"
        assert (node.prefix(one) / neighbour).samefile(node.prefix(other) / neighbour)
        assert run_python(node.prefix(other), "import os, click; print(os.name)") == "posix"


def test_on_a_read_only_file_system_all_is_read_and_a_sentence_says_so(rooms: Rooms) -> None:
    """What is to be changed is told; programs run."""
    one, other = rooms.pair
    with small_disk("ext4") as disk:
        node = rooms.site.node(root=disk / "root")
        node.sync(*only(one))
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with kept(node, one):
            assert "read-only" in sentence(node, one, other).lower()
            assert run_python(node.link(one.path), "import click; print(1)") == "1"
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        node.sync(*only(one, other))


def test_packages_on_another_device_are_copied(rooms: Rooms) -> None:
    """A mount in the root, e.g. a disk for what can be had again."""
    one, other = rooms.pair
    with small_disk("ext4") as disk, small_disk("ext4") as packages:
        node = rooms.site.node(root=disk / "root")
        place = node.root / ".packages"
        place.mkdir(parents=True)
        subprocess.run(["mount", "--bind", packages, place], check=True)
        try:
            node.sync(*only(one, other))
            assert not shares_inodes(node, one, other)
            assert run_python(node.link(one.path), "import click; print(1)") == "1"
            with kept(node, one, other):
                node.sync(*only(one, other))
            node.require_nothing_under_way()
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_prefixes_share_what_a_file_system_lets_them_share(rooms: Rooms, kind: FileSystem) -> None:
    """By reflinks where there are any, and by hard links elsewhere."""
    one, other = rooms.pair
    with small_disk(kind) as disk:
        node = rooms.site.node(root=disk / "root")
        node.sync(*only(one))
        before = used_bytes(disk)
        node.sync(*only(one, other))
        tree = sum(path.stat().st_size for path in node.prefix(other).rglob("*") if path.is_file())
        added = used_bytes(disk) - before
        assert added < OWN_SHARE * tree, (added, tree)
        assert shares_inodes(node, one, other) == (kind == "ext4")
        assert run_python(node.link(other.path), "import click; print(1)") == "1"
        node.sync(*only(one), "--grace", "0s")
        assert node.builds() == {one.key}
        with kept(node, one):
            node.sync(*only(one))


@pytest.mark.parametrize("share", ["hardlink", "reflink", "copy"])
def test_how_files_are_shared_can_be_chosen(rooms: Rooms, share: str) -> None:
    """On xfs, which can do all of it."""
    one, other = rooms.pair
    with small_disk("xfs") as disk:
        node = rooms.site.node(root=disk / "root")
        node.sync(*only(one, other), "--share", share)
        assert shares_inodes(node, one, other) == (share == "hardlink")
        assert run_python(node.link(other.path), "import click; print(1)") == "1"
