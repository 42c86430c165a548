import os
from pathlib import Path

import pytest

from registry.errors import PolicyTextInvalid
from registry.policy.places import Found, Place, PlaceUnreadable, Stamp, Watched


def place(path: Path, *, is_deep: bool = True) -> Place:
    return Place(path, (".json", ".toml"), is_deep=is_deep)


def test_files_are_found_by_their_ends_and_hidden_ones_are_left(tmp_path: Path) -> None:
    for name in ("a.json", "b/c.TOML", "b/.git/d.json", ".e.json", "readme.md", "b/f"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    found = place(tmp_path).files()
    assert sorted(found.stamps) == ["a.json", "b/c.TOML"]
    assert found.problems == {}
    assert sorted(place(tmp_path, is_deep=False).files().stamps) == ["a.json"]
    assert place(tmp_path).read("b/c.TOML", 100) == b"b/c.TOML"


def test_a_file_may_be_the_place(tmp_path: Path) -> None:
    (tmp_path / "all").write_bytes(b"x")
    (tmp_path / "link").symlink_to("all")
    for name in ("all", "link"):
        one = place(tmp_path / name)
        assert list(one.files().stamps) == [name]
        assert one.read(name, 10) == b"x"


def test_files_of_a_config_map_are_read_through_its_links(tmp_path: Path) -> None:
    def write(version: str) -> None:
        (tmp_path / f"..{version}").mkdir()
        (tmp_path / f"..{version}" / "a.json").write_text(version)
        (tmp_path / "..tmp").symlink_to(f"..{version}")
        (tmp_path / "..tmp").rename(tmp_path / "..data")

    write("one")
    (tmp_path / "a.json").symlink_to("..data/a.json")
    before = place(tmp_path).files().stamps["a.json"]
    assert place(tmp_path).read("a.json", 10) == b"one"
    write("two")
    assert place(tmp_path).files().stamps["a.json"] != before
    assert place(tmp_path).read("a.json", 10) == b"two"


def test_pipes_devices_and_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "secret.json").write_text("secret")
    (root / "out.json").symlink_to("../secret.json")
    (root / "far.json").symlink_to("/etc/passwd")
    (root / "device.json").symlink_to("/dev/zero")
    (root / "nowhere.json").symlink_to("gone.json")
    (root / "loop.json").symlink_to("loop.json")
    (root / "dir.json").mkdir()
    (root / "tree").symlink_to("sub")
    (root / "outside").symlink_to("/etc")
    os.mkfifo(root / "pipe.json")
    found = place(root).files()
    assert found.stamps == {}
    assert {name: problem.reason for name, problem in found.problems.items()} == {
        "out.json": "it is a link that leads out of the directory",
        "far.json": "it is a link that leads out of the directory",
        "device.json": "it is a link that leads out of the directory",
        "nowhere.json": "it cannot be read (No such file or directory)",
        "loop.json": found.problems["loop.json"].reason,
        "tree": "it is a link to a directory: write its files",
        "outside": "it is a link that leads out of the directory",
        "pipe.json": "it is no regular file",
    }
    # Also if they come between the look and the reading.
    for name in ("out.json", "far.json", "device.json", "pipe.json", "dir.json", "loop.json"):
        with pytest.raises((PolicyTextInvalid, PlaceUnreadable)):
            place(root).read(name, 100)
    with pytest.raises(PolicyTextInvalid):
        place(root).read("../secret.json", 100)
    with pytest.raises(PolicyTextInvalid, match="it is no regular file"):
        place(root / "pipe.json").read("pipe.json", 100)


def test_a_large_file_is_refused_and_one_that_is_gone_may_come_back(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"x" * 2049)
    with pytest.raises(PolicyTextInvalid, match="it is larger than 2 KiB"):
        place(tmp_path).read("a.json", 2048)
    assert len(place(tmp_path).read("a.json", 2049)) == 2049
    with pytest.raises(PlaceUnreadable, match="it cannot be read"):
        place(tmp_path).read("b.json", 10)
    with pytest.raises(PlaceUnreadable, match="cannot be read"):
        place(tmp_path / "nowhere").files()


def test_deep_trees_are_refused(tmp_path: Path) -> None:
    deep = tmp_path / "/".join("d" * 25)
    deep.mkdir(parents=True)
    with pytest.raises(PlaceUnreadable, match="more than 20 levels"):
        place(tmp_path).files()


def found(**sizes: int) -> Found:
    return Found({name: Stamp(1, 1, size, 1) for name, size in sizes.items()})


def test_what_is_there_at_first_is_taken_as_it_is() -> None:
    watched = Watched()
    assert watched.changes(found(a=1, b=1)) == (["a", "b"], [])
    assert watched.changes(found(a=1, b=1)) == ([], [])


def test_a_file_has_changed_once_two_looks_find_the_same() -> None:
    watched = Watched()
    watched.changes(found(a=1))
    assert watched.changes(found(a=2)) == ([], [])
    assert watched.changes(found(a=3, b=1)) == ([], [])
    assert watched.changes(found(a=3, b=1)) == (["a", "b"], [])
    assert watched.changes(found(a=3, b=1)) == ([], [])


def test_a_file_is_gone_once_two_looks_do_not_find_it() -> None:
    watched = Watched()
    watched.changes(found(a=1, b=1))
    assert watched.changes(found(b=1)) == ([], [])
    assert watched.changes(found(a=1, b=1)) == ([], [])
    assert watched.changes(found(b=1)) == ([], [])
    assert watched.changes(found(b=1)) == ([], ["a"])
    assert watched.changes(found(b=1)) == ([], [])


def test_a_file_that_cannot_be_used_any_more_is_not_gone() -> None:
    watched = Watched()
    watched.changes(found(a=1))
    refused = Found({}, {"a": PolicyTextInvalid("a", "it is no regular file")})
    assert watched.changes(refused) == ([], [])
    assert watched.changes(refused) == ([], [])


def test_a_file_can_be_looked_at_again_although_it_is_the_same() -> None:
    watched = Watched()
    watched.changes(found(a=1))
    watched.look_again(["a", "b"])
    assert watched.changes(found(a=1)) == (["a"], [])
