import tracemalloc

import pytest

from builder.install import paths
from builder.install.paths import PathTaken, PathTree, path_fault


@pytest.mark.parametrize(
    "path", ["bin/python", "share/a b", "lib/…/ä", "a/..b/c..", "share/back\\slash", "." * 3]
)
def test_an_ordinary_path_has_no_fault(path: str) -> None:
    assert path_fault(path) is None


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/etc/passwd", "is absolute"),
        ("..", "leaves the prefix"),
        ("share/../../x", "leaves the prefix"),
        ("share/..", "leaves the prefix"),
        ("", "has an empty segment"),
        ("a//b", "has an empty segment"),
        ("a/./b", "has an empty segment"),
        ("a/", "has an empty segment"),
        ("a\nb", "has control characters"),
        ("a\0b", "has control characters"),
        ("a\x1b[31m", "has control characters"),
        ("a\x85b", "has control characters"),
        ("share/" + "x" * 256, "has a name that is too long"),
        ("share/" + "€" * 100, "has a name that is too long"),
        ("a/" * 2000 + "x", "is too long"),
        ("€/" * 1000 + "x", "is too long"),
    ],
)
def test_a_path_that_leaves_the_prefix_or_hides_something_has_a_fault(
    path: str, fault: str
) -> None:
    assert path_fault(path) == fault


def test_a_leaf_names_the_directories_that_are_new_above_it() -> None:
    tree = PathTree()
    assert tree.add_leaf("a/b/c") == ["a", "a/b"]
    assert tree.add_leaf("a/d/e") == ["a/d"]
    assert tree.add_directory("a/d/f/g") == ["a/d/f", "a/d/f/g"]
    assert tree.add_directory("a/d") == []


@pytest.mark.parametrize(
    ("first", "second"), [("a/b", "a/b"), ("a", "a/b"), ("a/b/c", "a/b"), ("a/b", "a/b/c/d")]
)
def test_no_path_is_taken_twice_or_lies_below_a_leaf(first: str, second: str) -> None:
    tree = PathTree()
    tree.add_leaf(first)
    with pytest.raises(PathTaken):
        tree.add_leaf(second)


def test_a_directory_is_refused_where_a_leaf_is() -> None:
    tree = PathTree()
    tree.add_leaf("a/b")
    with pytest.raises(PathTaken):
        tree.add_directory("a/b/c")


def test_deep_paths_take_no_memory_without_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "MAX_DIRECTORY_CHARACTERS", 1_000_000)
    deep = (f"{number}/" + "d/" * 1500 + "x" for number in range(1000))
    tree = PathTree()
    tracemalloc.start()
    try:
        with pytest.raises(PathTaken, match="more directories than are allowed"):
            list(map(tree.add_leaf, deep))
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
