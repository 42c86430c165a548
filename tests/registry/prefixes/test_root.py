"""Whose a root may be, how it is kept, and who may change it now."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from registry.errors import PrefixUnusable, RootUnusable
from registry.prefixes.layout import preset
from registry.prefixes.root import Root
from tests.registry.prefixes.shelf import OPTIONS, Shelf, keep, names_in, tool

pytestmark = pytest.mark.anyio

NOBODY = 65_534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed")


@contextmanager
def as_nobody() -> Iterator[None]:
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def opened(path: Path) -> Root:
    root = Root(path, OPTIONS)
    root.open()
    return root


def test_a_root_is_made_closed_to_others_than_its_owner(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        opened(tmp_path / "root")
    finally:
        os.umask(before)
    modes = {
        name: oct((tmp_path / "root" / name).stat().st_mode & 0o7777)
        for name in ("", ".pullforge", ".packages", ".making", ".trash")
    }
    assert modes == {
        "": "0o755",
        ".pullforge": "0o755",
        ".packages": "0o755",
        ".making": "0o700",
        ".trash": "0o700",
    }


async def test_the_umask_of_the_options_is_that_of_directories(tmp_path: Path) -> None:
    kept = keep(tmp_path / "root", options=replace(OPTIONS, umask=0o027))
    kept.shelf.put("a/b", 1, tool())
    await kept.sync()
    for path in ("", "builds", "a", "a/envs", ".packages"):
        assert (kept.path / path).stat().st_mode & 0o777 == 0o750, path
    assert (kept.path / "a/envs/b/share/tool/text").stat().st_mode & 0o777 == 0o440


def test_a_root_is_not_made_where_there_is_no_directory_for_it(tmp_path: Path) -> None:
    with pytest.raises(RootUnusable, match=r"/away is not there: make it, or have its disk"):
        opened(tmp_path / "away/root")
    (tmp_path / "file").touch()
    with pytest.raises(RootUnusable, match="Not a directory"):
        opened(tmp_path / "file")


@needs_root
def test_a_root_of_another_user_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 1234, 1234)
    with pytest.raises(RootUnusable, match="belongs to user 1234: run this as that user"):
        opened(theirs)
    assert names_in(theirs) == []


@needs_root
def test_a_root_that_another_user_began_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "root"
    opened(path)
    for entry in (path, *path.iterdir()):
        os.chown(entry, 1234, 1234)
    with pytest.raises(RootUnusable, match="belongs to user 1234"):
        opened(path)


@needs_root
def test_a_user_cannot_keep_the_root_of_the_machine(tmp_path: Path) -> None:
    for directory in (tmp_path, *tmp_path.parents):
        if directory.stat().st_mode & 0o777 == 0o700:
            directory.chmod(0o755)
    path = tmp_path / "root"
    opened(path)
    with as_nobody(), pytest.raises(RootUnusable, match="belongs to user 0"):
        opened(path)
    with as_nobody(), pytest.raises(RootUnusable, match=r"belongs to user 0|Permission denied"):
        opened(tmp_path)
    with as_nobody():
        assert Root(path, OPTIONS).look(), "it can be looked at"


@pytest.mark.parametrize("mode", [0o775, 0o777, 0o757])
def test_a_root_in_which_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "root"
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(RootUnusable, match=r"run 'chmod go-w .*/root'"):
        opened(path)
    assert names_in(path) == []
    path.chmod(0o755)
    opened(path)
    (path / ".packages").chmod(mode)
    with pytest.raises(RootUnusable, match=r"run 'chmod go-w .*/\.packages'"):
        opened(path)


@pytest.mark.parametrize("name", [".pullforge", ".packages", ".making", ".trash"])
def test_a_link_in_the_place_of_its_own_directories_is_not_followed(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "outside").mkdir()
    path = tmp_path / "root"
    path.mkdir()
    (path / name).symlink_to(tmp_path / "outside")
    with pytest.raises(RootUnusable, match="is in the way, as it is no directory"):
        opened(path)
    assert names_in(tmp_path / "outside") == []


def test_directories_on_the_way_are_not_followed_elsewhere(tmp_path: Path) -> None:
    root = opened(tmp_path / "root")
    (tmp_path / "outside").mkdir()
    (root.path / "a").symlink_to(tmp_path / "outside")
    with (
        pytest.raises(PrefixUnusable, match="/root/a is in the way"),
        root.parent("a/envs/b", is_ours=False),
    ):
        pass
    root.prune("a/envs/b")
    root.prune("z/envs/b")
    assert names_in(tmp_path / "outside") == []
    assert "z" not in names_in(root.path)


def test_builds_lie_only_where_nobody_else_can_write(tmp_path: Path) -> None:
    root = opened(tmp_path / "root")
    (root.path / "builds").mkdir()
    (root.path / "builds").chmod(0o777)
    with (
        pytest.raises(PrefixUnusable, match=r"run 'chmod go-w .*/root/builds'"),
        root.parent("builds/x", is_ours=True),
    ):
        pass
    with root.parent("builds/x", is_ours=False):  # a link there leads where it says
        pass


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (replace(OPTIONS, umask=0o027), "umask 0022, not 0027"),
        (replace(OPTIONS, owner=7), "owner of the process, not 7"),
        (replace(OPTIONS, group=7), "group of the process, not 7"),
        (replace(OPTIONS, driver="squashfs"), "driver hardlink, not squashfs"),
        (replace(OPTIONS, subdir="linux-aarch64"), "platform linux-64, not linux-aarch64"),
    ],
)
def test_what_decides_bytes_stays_as_it_was_begun(
    tmp_path: Path, options: object, said: str
) -> None:
    path = tmp_path / "root"
    opened(path)
    assert isinstance(options, type(OPTIONS))
    with pytest.raises(RootUnusable, match=f"was begun with {said}: say that, or begin another"):
        Root(path, options).open()
    with pytest.raises(RootUnusable, match="was begun with"):
        Root(path, options).look()


def test_a_root_has_one_name(tmp_path: Path) -> None:
    path = tmp_path / "root"
    opened(path)
    (tmp_path / "again").symlink_to(path)
    with pytest.raises(RootUnusable, match=r"/again is the root that was begun as .*/root"):
        opened(tmp_path / "again")
    (tmp_path / "again").unlink()
    path.rename(tmp_path / "again")
    opened(tmp_path / "again")


def test_a_root_of_another_version_is_left_alone(tmp_path: Path) -> None:
    root = opened(tmp_path / "root")
    file = root.folder / "root.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 99}))
    with pytest.raises(RootUnusable, match="kept by another version of pullforge"):
        opened(root.path)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 10_000])
def test_notes_that_say_nothing_are_written_anew(tmp_path: Path, text: str) -> None:
    root = opened(tmp_path / "root")
    file = root.folder / "root.json"
    before = file.read_text()
    file.write_text(text)
    opened(root.path)
    assert file.read_text() == before


def test_notes_that_lack_something_are_refused(tmp_path: Path) -> None:
    root = opened(tmp_path / "root")
    (root.folder / "root.json").write_text('{"format": 1, "layouts": [1, ["a"], [1, 2, 3]]}')
    with pytest.raises(RootUnusable, match="begin another root"):
        opened(root.path)


def test_layouts_of_before_are_known(tmp_path: Path) -> None:
    path = tmp_path / "root"
    opened(path)
    Root(path, replace(OPTIONS, layout=preset("nebari"))).open()
    root = opened(path)
    assert root.layouts == (preset("nebari"), preset("own"))


async def test_whoever_adds_shares_a_root_and_whoever_removes_has_it_alone(tmp_path: Path) -> None:
    one, two = Root(tmp_path / "root", OPTIONS), Root(tmp_path / "root", OPTIONS)
    async with one.locked(shared=True), two.locked(shared=True, wait_seconds=0):
        third = Root(tmp_path / "root", OPTIONS)
        with pytest.raises(RootUnusable, match="wait until it has ended"):
            async with third.locked(wait_seconds=0):
                pass
    async with one.locked(), one.locked():
        with pytest.raises(RootUnusable):
            async with two.locked(shared=True, wait_seconds=0):
                pass
    async with two.locked(wait_seconds=0):
        pass


async def test_a_group_reads_what_others_may_not(tmp_path: Path) -> None:
    group = os.getgid() if os.geteuid() else 4321
    kept = keep(tmp_path / "root", options=replace(OPTIONS, umask=0o027, group=group))
    kept.shelf.put("a/b", 1, tool())
    await kept.sync()
    paths = ["builds", "a", "a/envs", "a/envs/b", "a/envs/b/share/tool/text", "a/envs/b/bin/tool"]
    assert {(kept.path / path).stat().st_gid for path in paths} == {group}
    assert (kept.path / "a/envs/b").lstat().st_gid == group


async def test_a_server_that_tells_odd_names_gets_nothing_outside(tmp_path: Path) -> None:
    shelf = Shelf()
    fine = shelf.put("fine/fine", 1, tool())
    for number, (namespace, environment) in enumerate(
        [
            ("..", "x"),
            ("a/../..", "x"),
            (".pullforge", "x"),
            ("a", ".."),
            ("a", "b/c"),
            ("a", ""),
            ("a", "b\0c"),
            ("a", "x" * 300),
            ("", "x"),
            ("a\nb", "x"),
            ("a", "b\u202ec"),
            ("a", "\ud800"),
            ("\udc80", "x"),
        ]
    ):
        odd = replace(fine, namespace=namespace, environment=environment, number=number)
        shelf.versions[namespace, environment, number] = odd
    shelf.versions["odd", "key", 1] = replace(fine, environment="key", key="../../etc")
    kept = keep(tmp_path / "root", shelf)
    report = await kept.run()
    assert len({one.about for one in report.problems}) == 14
    assert names_in(tmp_path) == ["root"]
    assert names_in(kept.path / "fine/envs") == ["fine", "fine@v1"]
