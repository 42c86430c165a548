"""Links lead where they are to from one moment to the next, and stay in the root."""

import os
import threading
from pathlib import Path

import pytest

from registry.errors import PrefixUnusable
from registry.prefixes.exchange import exchange, rename_new
from registry.prefixes.layout import preset
from registry.prefixes.links import place_link, remove_link
from registry.prefixes.root import Root
from registry.prefixes.seen import led_to, look
from tests.registry.prefixes.shelf import OPTIONS, names_in

ONE, TWO = f"builds/{'1' * 32}", f"builds/{'2' * 32}"


@pytest.fixture
def root(tmp_path: Path) -> Root:
    root = Root(tmp_path / "root", OPTIONS)
    root.open()
    return root


def test_a_link_is_there_at_every_moment_of_a_switch(root: Root) -> None:
    for prefix in (ONE, TWO):
        (root.path / prefix).mkdir(parents=True)
    place_link(root, "a/envs/b", ONE)
    has_ended = threading.Event()
    seen: set[str] = set()

    def read() -> None:
        while not has_ended.is_set():
            seen.add(os.path.realpath(root.path / "a/envs/b", strict=True))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(400):
            place_link(root, "a/envs/b", (ONE, TWO)[number % 2])
    finally:
        has_ended.set()
        reader.join()
    assert seen <= {str(root.path / ONE), str(root.path / TWO)}
    assert names_in(root.making) == []


def test_what_is_no_link_of_the_root_is_neither_switched_nor_removed(root: Root) -> None:
    folder = root.path / "a/envs"
    folder.mkdir(parents=True)
    (root.path / "builds").mkdir()
    (folder / "file").touch()
    (folder / "directory").mkdir()
    for name, text in {"etc": "/etc", "up": "../../..", "beside": "../../builds"}.items():
        (folder / name).symlink_to(text)
    before = names_in(folder)
    for name in before:
        with pytest.raises(PrefixUnusable, match="move it elsewhere"):
            place_link(root, f"a/envs/{name}", ONE)
        with pytest.raises(PrefixUnusable, match="move it elsewhere"):
            remove_link(root, f"a/envs/{name}")
    assert names_in(folder) == before


def test_a_link_is_removed_with_directories_that_are_empty_then(root: Root) -> None:
    place_link(root, "a/envs/b", ONE)
    (root.path / "a/notes").touch()
    remove_link(root, "a/envs/b")
    assert names_in(root.path / "a") == ["notes"]
    remove_link(root, "a/envs/b")  # has gone
    assert names_in(root.path / "a") == ["notes"]


@pytest.mark.parametrize(
    "text",
    [
        *("/etc", "../../../etc", "../../builds", f"../../{ONE}/lib", f"../{ONE}", "", "."),
        *(f"../../../{ONE}", f"/{ONE}", f"/rootx/{ONE}", "../../builds/../../etc"),
    ],
)
def test_links_of_others_are_known_as_such(text: str) -> None:
    assert led_to("/root", "a/envs/b", text, [preset("own").builds]) is None


@pytest.mark.parametrize("text", [f"../../{ONE}", f"/root/{ONE}", f"../envs/../../builds/../{ONE}"])
def test_links_that_lead_to_builds_are_ours(text: str) -> None:
    assert led_to("/root", "a/envs/b", text, [preset("own").builds]) == ONE


def test_a_look_goes_only_where_templates_lead(root: Root) -> None:
    outside = root.path.parent / "outside"
    (outside / "envs").mkdir(parents=True)
    (outside / "envs/b").symlink_to(f"{root.path}/{ONE}")
    (root.path / "link").symlink_to(outside)
    (root.path / "deep/deeper/envs").mkdir(parents=True)
    (root.path / "deep/deeper/envs/b").symlink_to(f"{root.path}/{ONE}")
    (root.path / ONE / "envs").mkdir(parents=True)
    (root.path / ONE / "envs/in").symlink_to(f"{root.path}/{TWO}")
    (root.path / ".hidden/envs").mkdir(parents=True)
    (root.path / ".hidden/envs/b").symlink_to(f"{root.path}/{ONE}")
    (root.path / "a/envs").mkdir(parents=True)
    (root.path / "a/envs/b").symlink_to(f"../../{ONE}")
    seen = look(root.path, (preset("own"), preset("nebari")))
    assert set(seen.links) == {"a/envs/b"}
    assert set(seen.directories) == {ONE}


def test_directories_change_places_or_are_not_covered(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(FileExistsError):
            rename_new(directory, "a", directory, "b")
        assert exchange(directory, "a", directory, "b")
        assert (names_in(tmp_path / "a"), names_in(tmp_path / "b")) == (["b"], ["a"])
        rename_new(directory, "a", directory, "c")
        with pytest.raises(FileNotFoundError):
            exchange(directory, "a", directory, "c")
    finally:
        os.close(directory)
    assert names_in(tmp_path) == ["b", "c"]
