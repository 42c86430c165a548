import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from builder.install.prefix.errors import DirectoryUnusable
from builder.install.prefix.sharing import Sharer, Sharing

MEMORY = Path("/dev/shm")


@contextmanager
def sharing(source: Path, target: Path, how: Sharing) -> Iterator[tuple[Sharer, int]]:
    target.mkdir()
    files = [os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (source, target)]
    try:
        yield Sharer(how, files[1]), files[0]
    finally:
        for file in files:
            os.close(file)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory with a file, another name for it, and a program."""
    directory = tmp_path / "source"
    directory.mkdir()
    (directory / "a").write_bytes(b"a" * 3_000_000)
    (directory / "b").hardlink_to(directory / "a")
    (directory / "run").write_bytes(b"#!/bin/sh\n")
    for name, mode in (("a", 0o444), ("run", 0o555)):
        (directory / name).chmod(mode)
        os.utime(directory / name, ns=(1, 1_577_836_800_123_456_789))
    return directory


NAMES = (b"a", b"b", b"run")


def test_a_hard_link_is_the_same_file(source: Path, tmp_path: Path) -> None:
    with sharing(source, tmp_path / "made", "hardlink") as (sharer, tree):
        sharer.share(tree, NAMES)
        assert (sharer.how, sharer.files, sharer.files_copied) == ("hardlink", 3, 0)
    for name in ("a", "b", "run"):
        assert (tmp_path / "made" / name).samefile(source / name)


def test_a_copy_is_another_file_with_the_same_content_mode_and_time(
    source: Path, tmp_path: Path
) -> None:
    with sharing(source, tmp_path / "made", "copy") as (sharer, tree):
        sharer.share(tree, NAMES)
        assert (sharer.how, sharer.files, sharer.files_copied) == ("copy", 3, 2)
        assert sharer.bytes_copied == 3_000_010
    for name in ("a", "b", "run"):
        theirs, ours = source / name, tmp_path / "made" / name
        assert not ours.samefile(theirs)
        assert ours.read_bytes() == theirs.read_bytes()
        assert ours.stat().st_mode == theirs.stat().st_mode
        assert ours.stat().st_mtime_ns == theirs.stat().st_mtime_ns
    assert (tmp_path / "made/a").samefile(tmp_path / "made/b")


@pytest.mark.skipif(not os.access(MEMORY, os.W_OK), reason="this machine has no /dev/shm")
def test_what_is_on_another_device_is_copied(source: Path, tmp_path: Path) -> None:
    target = MEMORY / f"pullforge-{os.getpid()}"
    try:
        with sharing(source, target, "auto") as (sharer, tree):
            sharer.share(tree, NAMES)
            assert sharer.how == "copy"
        assert (target / "run").read_bytes() == b"#!/bin/sh\n"
    finally:
        for path in target.iterdir():
            path.unlink()
        target.rmdir()


@pytest.mark.skipif(not os.access(MEMORY, os.W_OK), reason="this machine has no /dev/shm")
@pytest.mark.parametrize("how", ["reflink", "hardlink"])
def test_a_way_that_is_asked_for_and_impossible_is_refused(
    source: Path, tmp_path: Path, how: Sharing
) -> None:
    target = MEMORY / f"pullforge-{os.getpid()}"
    said = (
        rf"the file system cannot share files by {how} \('[^']+'\): choose another way, or 'auto'"
    )
    try:
        with (
            sharing(source, target, how) as (sharer, tree),
            pytest.raises(DirectoryUnusable, match=said),
        ):
            sharer.share(tree, NAMES)
        assert list(target.iterdir()) == []
    finally:
        target.rmdir()


@pytest.mark.parametrize("how", ["hardlink", "copy"])
def test_a_path_that_is_there_is_not_overwritten(
    source: Path, tmp_path: Path, how: Sharing
) -> None:
    with sharing(source, tmp_path / "made", how) as (sharer, tree):
        (tmp_path / "made/b").write_text("other")
        with pytest.raises(FileExistsError):
            sharer.share(tree, NAMES)
    assert (tmp_path / "made/b").read_text() == "other"


def test_no_files_decide_nothing(source: Path, tmp_path: Path) -> None:
    with sharing(source, tmp_path / "made", "auto") as (sharer, tree):
        sharer.share(tree, ())
        assert sharer.how is None
        sharer.share(tree, (b"run",))
        assert sharer.how is not None
