import pytest

from builder.build.conflicts import InstalledPaths, resolve_conflicts
from builder.errors import UnsupportedPackage
from builder.layer import LayerPackage
from tests.builder.records_for_tests import record, wheel

FIRST, SECOND = record("first"), record("second")


def resolve(first: InstalledPaths, second: InstalledPaths) -> tuple[LayerPackage, ...]:
    return resolve_conflicts([FIRST, SECOND], {FIRST.sha256: first, SECOND.sha256: second})


def test_packages_that_share_nothing_change_nothing_in_each_other() -> None:
    resolved = resolve(InstalledPaths(["bin/a"]), InstalledPaths(["bin/b"]))
    assert resolved == (LayerPackage(FIRST), LayerPackage(SECOND))


def test_the_package_linked_later_keeps_a_path_that_both_have() -> None:
    resolved = resolve(InstalledPaths(["bin/a", "bin/x"]), InstalledPaths(["bin/x"]))
    assert resolved[0].omit == ("bin/x",)
    assert resolved[1].omit == ()


def test_files_below_another_packages_symlink_move_to_where_it_leads() -> None:
    resolved = resolve(
        InstalledPaths(["lib/a", "lib64"], {"lib64": "lib"}), InstalledPaths(["lib64/b"])
    )
    assert resolved[0].redirects == ()
    assert resolved[1].redirects == (("lib64", "lib"),)


def test_a_file_that_moves_onto_another_packages_file_wins_like_any_later_one() -> None:
    resolved = resolve(
        InstalledPaths(["lib/x", "lib64"], {"lib64": "lib"}), InstalledPaths(["lib64/x"])
    )
    assert resolved[0].omit == ("lib/x",)
    assert resolved[1].omit == ()


def test_a_chain_of_symlinks_is_followed_to_its_end() -> None:
    resolved = resolve(
        InstalledPaths(["a", "b", "real/x"], {"a": "b", "b": "real"}), InstalledPaths(["a/y"])
    )
    assert resolved[1].redirects == (("a", "real"),)


def test_a_circle_of_symlinks_is_refused() -> None:
    with pytest.raises(UnsupportedPackage, match="circle"):
        resolve(InstalledPaths(["a", "b"], {"a": "b", "b": "a"}), InstalledPaths(["a/y"]))


def test_a_symlink_that_leaves_the_prefix_moves_nothing() -> None:
    resolved = resolve(
        InstalledPaths(["share"], {"share": "../../etc"}), InstalledPaths(["share/y"])
    )
    assert resolved[1].redirects == ()


def test_a_file_gives_way_to_a_directory_of_the_same_name() -> None:
    resolved = resolve(InstalledPaths(["share/x"]), InstalledPaths(["share/x/y"]))
    assert resolved[0].omit == ("share/x",)


def test_a_symlink_that_leads_below_another_symlink_takes_both_along() -> None:
    resolved = resolve(
        InstalledPaths(["a", "b", "real/c/x"], {"a": "b/c", "b": "real"}), InstalledPaths(["a/y"])
    )
    assert resolved[1].redirects == (("a", "b/c"), ("b", "real"))


def test_symlinks_that_lead_below_each_other_in_a_circle_are_refused() -> None:
    with pytest.raises(UnsupportedPackage, match="circle"):
        resolve(InstalledPaths(["a", "b"], {"a": "b/c", "b": "a/d"}), InstalledPaths(["a/y"]))


def test_a_wheel_linked_after_a_package_keeps_a_path_that_both_have() -> None:
    demo = wheel("demo")
    resolved = resolve_conflicts(
        [FIRST, demo],
        {
            FIRST.sha256: InstalledPaths(["bin/demo", "lib/a"]),
            demo.sha256: InstalledPaths(["bin/demo"]),
        },
    )
    assert resolved == (LayerPackage(FIRST, omit=("bin/demo",)), LayerPackage(demo))


def test_paths_that_lie_so_deep_that_memory_would_not_do_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("builder.build.conflicts.MAX_DIRECTORY_CHARACTERS", 100_000)
    deep = [f"{number}/" + "d/" * 100 + "x" for number in range(100)]
    with pytest.raises(UnsupportedPackage, match="more directories than are allowed"):
        resolve(InstalledPaths(deep), InstalledPaths([]))
