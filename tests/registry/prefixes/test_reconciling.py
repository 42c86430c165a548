"""What a pass makes of a root."""

import asyncio
import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from registry.errors import RootUnusable
from registry.prefixes.layout import preset
from registry.prefixes.status import read_status
from tests.registry.prefixes.shelf import OPTIONS, Kept, Shelf, hello, keep, names_in, tool, until

pytestmark = pytest.mark.anyio


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return keep(tmp_path / "root")


async def test_a_root_has_a_prefix_for_each_build_and_links_for_versions(kept: Kept) -> None:
    one = kept.shelf.put("analytics/forecast", 1, tool(), hello())
    two = kept.shelf.put("web/shop", 4, tool())
    report = await kept.sync()
    assert kept.tree() == {
        f"builds/{one.key}",
        f"builds/{two.key}",
        f"analytics/envs/forecast -> ../../builds/{one.key}",
        f"analytics/envs/forecast@v1 -> ../../builds/{one.key}",
        f"web/envs/shop -> ../../builds/{two.key}",
        f"web/envs/shop@v4 -> ../../builds/{two.key}",
    }
    assert kept.text("analytics/envs/forecast", "share/tool/text").startswith("tool 1.0")
    prefix = kept.path / "builds" / one.key
    assert kept.text("analytics/envs/forecast", "bin/tool") == f"#!{prefix}/bin/sh\n"
    assert (prefix / "lib/python3.11/site-packages/__pycache__").is_dir()
    assert {link.path for link in report.links if link.is_active} == {
        kept.path / "analytics/envs/forecast",
        kept.path / "web/envs/shop",
    }
    assert (report.prefixes, report.packages, report.unwanted) == (2, 2, 0)
    assert report.bytes_on_disk > 0


async def test_a_package_of_several_builds_is_fetched_and_unpacked_once(kept: Kept) -> None:
    for number in range(6):
        kept.shelf.put(f"a/e{number}", 1, tool(), tool(f"own{number}"))
    await kept.sync()
    counts = [count for what, count in kept.shelf.asked.items() if what.startswith("package")]
    assert counts == [1] * 7
    inodes = {path.stat().st_ino for path in kept.path.glob("builds/*/share/tool/text")}
    assert len(inodes) == 1


async def test_a_second_pass_finds_nothing_to_do_and_asks_nothing(kept: Kept) -> None:
    kept.shelf.put("a/b", 1, tool(), hello())
    await kept.sync()
    kept.shelf.asked.clear()
    report = await kept.sync()
    assert not report.changes
    assert not kept.shelf.asked


async def test_a_switch_leaves_the_older_prefix_for_the_time_of_grace(tmp_path: Path) -> None:
    kept = keep(tmp_path / "root", options=replace(OPTIONS, grace_seconds=100))
    old = kept.shelf.put("a/b", 1, tool())
    await kept.sync()
    new = kept.shelf.put("a/b", 2, tool(version="2.0"))
    report = await kept.sync()
    assert [(one.what, one.path) for one in report.changes] == [
        ("made", f"builds/{new.key}"),
        ("linked", "a/envs/b"),
        ("linked", "a/envs/b@v2"),
        ("unlinked", "a/envs/b@v1"),
        ("unwanted", f"builds/{old.key}"),
    ]
    assert report.unwanted == 1
    kept.time += 99
    await kept.sync()
    assert kept.packages() == {"tool 1.0", "tool 2.0"}, "of both prefixes"
    kept.time += 1
    report = await kept.sync()
    assert ("removed", f"builds/{old.key}") in {(one.what, one.path) for one in report.changes}
    gone = [one.about for one in report.changes if one.path.startswith(".packages/")]
    assert [label.partition("-")[0] for label in gone] == ["tool"]
    assert kept.packages() == {"tool 2.0"}
    assert kept.tree() == {
        f"builds/{new.key}",
        f"a/envs/b -> ../../builds/{new.key}",
        f"a/envs/b@v2 -> ../../builds/{new.key}",
    }


async def test_a_prefix_that_is_wanted_again_begins_a_new_time_of_grace(tmp_path: Path) -> None:
    kept = keep(tmp_path / "root", options=replace(OPTIONS, grace_seconds=100))
    kept.shelf.put("a/b", 1, tool())
    await kept.sync()
    kept.shelf.put("a/b", 2, tool(version="2.0"))
    await kept.sync()
    kept.time += 90
    kept.shelf.activate("a/b", 1)
    await kept.sync()
    kept.shelf.activate("a/b", 2)
    await kept.sync()
    kept.time += 90
    await kept.sync()
    assert len(list((kept.path / "builds").iterdir())) == 2


async def test_a_clock_that_was_put_back_keeps_nothing_for_ever(tmp_path: Path) -> None:
    kept = keep(tmp_path / "root", options=replace(OPTIONS, grace_seconds=100))
    kept.shelf.put("a/b", 1, tool())
    await kept.sync()
    kept.shelf.remove("a/b")
    await kept.sync()
    kept.time -= 1_000_000
    await kept.sync()
    kept.time += 100
    await kept.sync()
    assert kept.tree() == set()


async def test_a_removed_environment_leaves_no_empty_directories(kept: Kept) -> None:
    kept.shelf.put("a/b", 1, tool())
    await kept.sync()
    kept.shelf.remove("a/b")
    report = await kept.sync()
    assert names_in(kept.path) == [".making", ".packages", ".pullforge", ".trash"]
    assert (report.prefixes, report.packages) == (0, 0)


async def test_a_blocked_build_goes_at_once_even_if_nothing_can_stand_for_it(
    tmp_path: Path,
) -> None:
    kept = keep(tmp_path / "root", options=replace(OPTIONS, grace_seconds=100))
    bad = kept.shelf.put("a/b", 1, tool())
    await kept.sync()
    kept.shelf.put("a/b", 2, tool(version="2.0"))
    kept.shelf.blocked.add(bad.key)
    kept.shelf.away = "the server is away"
    report = await kept.run()
    assert report.server_problem == "the server is away"
    assert kept.tree() == set()


async def test_older_versions_are_there_if_they_are_wanted(kept: Kept) -> None:
    kept.shelf.put("a/b", 1, tool())
    kept.shelf.put("a/b", 2, tool(version="2.0"))
    await kept.sync(versions=None)
    assert kept.text("a/envs/b", "share/tool/text").startswith("tool 2.0")
    assert kept.text("a/envs/b@v1", "share/tool/text").startswith("tool 1.0")
    await kept.sync()
    assert not os.path.lexists(kept.path / "a/envs/b@v1")


@pytest.mark.parametrize("name", ["conda-store", "nebari"])
async def test_presets_are_where_others_look(tmp_path: Path, name: str) -> None:
    kept = keep(tmp_path / "root", options=replace(OPTIONS, layout=preset(name)))
    one = kept.shelf.put("team/forecast", 3, tool())
    await kept.sync()
    assert (
        kept.tree()
        == {
            "conda-store": {
                f"team/{one.key}-3-forecast",
                f"team/envs/forecast -> ../{one.key}-3-forecast",
            },
            "nebari": {
                f"team/builds/{one.key}",
                f"team/envs/team-forecast -> ../builds/{one.key}",
            },
        }[name]
    )


async def test_another_layout_takes_away_what_the_last_one_made(tmp_path: Path) -> None:
    shelf = Shelf()
    one = shelf.put("team/forecast", 3, tool())
    await keep(tmp_path / "root", shelf).sync()
    kept = keep(tmp_path / "root", shelf, replace(OPTIONS, layout=preset("nebari")))
    await kept.sync()
    assert kept.tree() == {
        f"team/builds/{one.key}",
        f"team/envs/team-forecast -> ../builds/{one.key}",
    }
    assert not (await kept.sync()).changes


async def test_one_environment_that_cannot_be_made_stops_no_other(kept: Kept) -> None:
    bad = kept.shelf.put("a/bad", 1, tool())
    kept.shelf.put("a/good", 1, tool(version="2.0"))
    kept.shelf.refused[bad.key] = "its lock has nothing for linux-64"
    report = await kept.run()
    assert [(one.about, one.sentence) for one in report.problems] == [
        ("a/bad v1", "a/bad v1 is not made: its lock has nothing for linux-64")
    ]
    assert (kept.path / "a/envs/good/bin/tool").is_file()
    assert not os.path.lexists(kept.path / "a/envs/bad")


async def test_an_environment_whose_new_version_fails_keeps_the_older_one(kept: Kept) -> None:
    old = kept.shelf.put("a/b", 1, tool())
    await kept.sync()
    new = kept.shelf.put("a/b", 2, tool(version="2.0"))
    kept.shelf.refused[new.key] = "no"
    for _ in range(2):
        report = await kept.run()
        assert not report.is_equal
        assert kept.text("a/envs/b", "share/tool/text").startswith("tool 1.0")
    assert f"builds/{old.key}" in kept.tree()
    kept.shelf.refused.clear()
    await kept.sync()
    assert kept.text("a/envs/b", "share/tool/text").startswith("tool 2.0")
    assert f"builds/{old.key}" not in kept.tree()


async def test_without_a_server_what_needs_none_is_done(kept: Kept) -> None:
    kept.shelf.put("a/there", 1, tool())
    kept.shelf.put("a/goes", 1, tool(version="2.0"))
    await kept.sync()
    (kept.path / "a/envs/there").unlink()
    kept.shelf.remove("a/goes")
    for number in range(5):
        kept.shelf.put(f"a/new{number}", 1, tool(version=f"3.{number}"))
    kept.shelf.away = "the server cannot be reached"
    report = await kept.run()
    assert report.server_problem == "the server cannot be reached"
    assert [one.sentence for one in report.problems] == ["the server cannot be reached"]
    assert (kept.path / "a/envs/there/bin/tool").is_file()
    assert not os.path.lexists(kept.path / "a/envs/goes")
    assert kept.shelf.asked["installation"] <= 2 + 2, "it is not asked for each"


def _no_mark(prefix: Path) -> None:
    (prefix / "conda-meta/pullforge").unlink()


def _no_records(prefix: Path) -> None:
    next((prefix / "conda-meta").glob("*.json")).unlink()


def _no_folder(prefix: Path) -> None:
    shutil.rmtree(prefix / "conda-meta")


def _pipe(prefix: Path) -> None:
    (prefix / "conda-meta/pullforge").unlink()
    os.mkfifo(prefix / "conda-meta/pullforge")


def _endless(prefix: Path) -> None:
    (prefix / "conda-meta/pullforge").unlink()
    (prefix / "conda-meta/pullforge").symlink_to("/dev/zero")


def _emptied(prefix: Path) -> None:
    shutil.rmtree(prefix)
    prefix.mkdir()


def _odd_mark(prefix: Path) -> None:
    (prefix / "conda-meta/pullforge").unlink()
    (prefix / "conda-meta/pullforge").write_text("{")


def _other_mark(prefix: Path) -> None:
    mark = prefix / "conda-meta/pullforge"
    content = json.loads(mark.read_text()) | {"key": "f" * 32}
    mark.unlink()
    mark.write_text(json.dumps(content))


def _gone(prefix: Path) -> None:
    shutil.rmtree(prefix)


@pytest.mark.parametrize(
    "harm",
    [
        *(_no_mark, _no_records, _no_folder, _odd_mark, _other_mark, _gone, _emptied),
        *(_pipe, _endless),
    ],
)
async def test_a_prefix_that_was_damaged_by_hand_is_made_anew(kept: Kept, harm: object) -> None:
    one = kept.shelf.put("a/b", 1, tool(), hello())
    await kept.sync()
    before = kept.tree()
    prefix = kept.path / "builds" / one.key
    assert callable(harm)
    harm(prefix)
    await kept.sync()
    assert kept.tree() == before
    assert len(list((prefix / "conda-meta").glob("*.json"))) == 2
    assert kept.text("a/envs/b", "share/tool/text").startswith("tool 1.0")
    assert not (await kept.sync()).changes


async def test_links_that_are_gone_or_lead_elsewhere_are_put_right(kept: Kept) -> None:
    one = kept.shelf.put("a/b", 1, tool())
    two = kept.shelf.put("a/c", 1, tool(version="2.0"))
    await kept.sync()
    before = kept.tree()
    folder = kept.path / "a/envs"
    (folder / "b").unlink()
    for name, text in {
        "c": f"../../builds/{one.key}",
        "b@v1": f"{kept.path}/builds/{one.key}",
        "c@v1": "../../builds/nowhere",
        "left@v7": f"../../builds/{two.key}",
    }.items():
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(text)
    await kept.sync()
    assert kept.tree() == before


async def test_a_link_to_nowhere_that_is_not_in_the_way_is_left_alone(kept: Kept) -> None:
    kept.shelf.put("a/b", 1, tool())
    await kept.sync()
    (kept.path / "a/envs/mine").symlink_to("../../builds/nowhere")
    (kept.path / "a/envs/b").unlink()
    (kept.path / "a/envs/b").symlink_to("/nowhere")
    report = await kept.run()
    assert [one.about for one in report.problems] == ["a/b v1"]
    assert names_in(kept.path / "a/envs") == ["b", "b@v1", "mine"]


async def test_a_directory_that_others_have_closed_stops_nothing_else(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = kept.shelf.put("a/b", 1, tool())
    kept.shelf.put("c/d", 1, tool(version="2.0"))
    await kept.sync()
    kept.shelf.put("a/b", 2, tool(version="3.0"))
    new = kept.shelf.put("c/d", 2, tool(version="4.0"))
    really, closed = os.open, (kept.path / "a/envs").stat().st_ino

    def opened(path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        descriptor = really(path, flags, mode, dir_fd=dir_fd)
        if os.fstat(descriptor).st_ino == closed:
            os.close(descriptor)
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return descriptor

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", opened)
        report = await kept.run()
    said = [one.sentence for one in report.problems]
    assert f"{kept.path}/a/envs cannot be looked into" in said[0]
    assert len(said) == 3  # and neither link of it can be made
    assert (kept.path / "c/envs/d").readlink() == Path(f"../../builds/{new.key}")
    assert kept.text("a/envs/b", "share/tool/text").startswith("tool 1.0")
    assert (kept.path / "builds" / old.key).is_dir()
    await kept.sync()
    assert not (kept.path / "builds" / old.key).exists()


async def test_a_prefix_that_others_may_have_put_there_is_not_believed(tmp_path: Path) -> None:
    kept = keep(tmp_path / "root", options=replace(OPTIONS, layout=preset("nebari")))
    one = kept.shelf.put("mallory/env", 1, tool())
    kept.shelf.put("ada/env", 1, tool())
    await kept.sync()
    builds = kept.path / ".pullforge/builds.json"
    assert len(json.loads(builds.read_text())[one.key]) == 2
    (kept.path / "mallory").chmod(0o777)
    (kept.path / "mallory/envs/mallory-env").unlink()
    report = await kept.run()
    (problem,) = report.problems
    assert problem.about == "mallory/env v1"
    assert f"run 'chmod go-w {kept.path}/mallory'" in problem.sentence
    assert json.loads(builds.read_text())[one.key] == [f"ada/builds/{one.key}"]
    assert names_in(kept.path / "mallory/envs") == []
    assert [link.namespace for link in report.links] == ["ada"]
    (kept.path / "mallory").chmod(0o755)
    await kept.sync()
    assert names_in(kept.path / "mallory/envs") == ["mallory-env"]


async def test_what_others_have_put_there_is_told_and_left_alone(kept: Kept) -> None:
    one = kept.shelf.put("a/b", 1, tool())
    kept.shelf.put("a/c", 1, tool(version="2.0"))
    kept.shelf.put("file/d", 1, tool(version="3.0"))
    kept.shelf.put("link/e", 1, tool(version="4.0"))
    kept.shelf.put("x/own", 1, tool(version="5.0"))
    folder = kept.path / "a/envs"
    folder.mkdir(parents=True)
    (folder / "c").write_text("mine")
    (folder / "mine").symlink_to("/etc")
    (kept.path / "file").write_text("mine")
    outside = kept.path.parent / "outside"
    outside.mkdir()
    (kept.path / "link").symlink_to(outside)
    foreign = kept.path / "builds" / one.key
    foreign.mkdir(parents=True)
    (foreign / "precious").write_text("mine")
    (kept.path / "x/envs").mkdir(parents=True)
    (kept.path / "x/envs/own").symlink_to("/etc")
    report = await kept.run()
    assert sorted(one.about for one in report.problems) == [
        "a/b v1",
        "a/c v1",
        *["file/d v1"] * 2,
        *["link/e v1"] * 2,
        "x/own v1",
    ]
    assert all("move it elsewhere" in one.sentence for one in report.problems)
    assert (folder / "c").read_text() == (kept.path / "file").read_text() == "mine"
    assert names_in(foreign) == ["precious"]
    assert names_in(outside) == []
    assert (folder / "mine").readlink() == (kept.path / "x/envs/own").readlink() == Path("/etc")
    assert (folder / "c@v1/bin/tool").is_file()
    foreign.rename(kept.path / "mine")
    (folder / "c").unlink()
    (kept.path / "file").unlink()
    (kept.path / "link").unlink()
    (kept.path / "x/envs/own").unlink()
    await kept.sync()


async def test_a_root_that_was_moved_is_made_anew_where_it_is(tmp_path: Path) -> None:
    shelf = Shelf()
    one = shelf.put("a/b", 1, tool())
    await keep(tmp_path / "root", shelf).sync()
    (tmp_path / "root").rename(tmp_path / "other")
    kept = keep(tmp_path / "other", shelf)
    report = await kept.sync()
    assert ("mended", f"builds/{one.key}") in {(one.what, one.path) for one in report.changes}
    assert kept.text("a/envs/b", "bin/tool") == f"#!{tmp_path}/other/builds/{one.key}/bin/sh\n"
    assert kept.shelf.asked["installation"] == 2
    assert sum(what.startswith("package") for what in kept.shelf.asked) == 1


async def test_a_damaged_package_is_fetched_again(kept: Kept) -> None:
    kept.shelf.put("a/b", 1, tool())
    await kept.sync()
    next(kept.path.glob(".packages/*/tree/share/tool/text")).unlink()
    kept.shelf.put("a/c", 1, tool(), tool("other"))
    await kept.sync()
    assert kept.text("a/envs/c", "share/tool/text").startswith("tool 1.0")


async def test_after_a_loss_of_power_only_what_had_reached_the_disk_is_used(kept: Kept) -> None:
    kept.shelf.put("a/b", 1, tool())
    await kept.sync()
    failing = kept.shelf.put("a/c", 1, tool(), tool("other"))
    (kept.path / "builds" / failing.key / "mine").mkdir(parents=True)
    await kept.run()
    written = kept.path / ".pullforge/made"
    before, _, after = written.read_text().partition('"start": "')
    assert before
    start = after.partition('"')[0]
    written.write_text(written.read_text().replace(start, "another start"))
    for text in kept.path.glob(".packages/*/tree/share/other/text"):
        text.chmod(0o644)
        text.write_text("")

    shutil.rmtree(kept.path / "builds" / failing.key)
    kept.shelf.asked.clear()
    await kept.sync()
    assert sum(what.startswith("package") for what in kept.shelf.asked) == 1
    assert kept.text("a/envs/c", "share/other/text").startswith("other 1.0")
    kept.shelf.asked.clear()
    written.write_text(written.read_text().replace(start, "another start"))
    kept.shelf.put("a/d", 1, tool(), tool("other"), tool("third"))
    await kept.sync()
    assert sum(what.startswith("package") for what in kept.shelf.asked) == 1, "the third alone"


async def test_packages_of_a_prefix_that_fails_stay_for_the_next_pass(kept: Kept) -> None:
    kept.shelf.put("a/b", 1, tool())
    foreign = kept.path / "builds" / kept.shelf.versions["a", "b", 1].key
    foreign.mkdir(parents=True)
    (foreign / "x").touch()
    await kept.run()
    assert kept.packages() == {"tool 1.0"}
    shutil.rmtree(foreign)
    kept.shelf.asked.clear()
    await kept.sync()
    assert set(kept.shelf.asked) == {"installation"}


async def test_a_dry_run_tells_what_a_pass_then_does(tmp_path: Path) -> None:
    kept = keep(tmp_path / "root", options=replace(OPTIONS, grace_seconds=10))

    async def plan_and_run() -> None:
        wanted = kept.shelf.now(versions=None)
        told = [(one.what, one.path) for one in await kept.reconciler.plan(wanted)]
        assert (kept.path / "a/envs/new").exists() is False
        report = await kept.sync(versions=None)
        done = [
            (one.what, one.path) for one in report.changes if not one.path.startswith(".packages")
        ]
        assert sorted(told) == sorted(done)

    kept.shelf.put("a/b", 1, tool())
    await kept.reconciler.plan(kept.shelf.now())
    assert not kept.path.exists()
    await plan_and_run()
    kept.shelf.put("a/b", 2, tool(version="2.0"))
    await plan_and_run()
    kept.shelf.remove("a/b")
    await plan_and_run()
    kept.time += 10
    await plan_and_run()
    assert kept.tree() == set()


async def test_two_of_one_root_make_their_passes_one_after_the_other(tmp_path: Path) -> None:
    shelf = Shelf()
    shelf.put("a/b", 1, tool())
    first, second = keep(tmp_path / "root", shelf), keep(tmp_path / "root", shelf)
    gate = asyncio.Event()
    shelf.before_package = gate.wait
    running = asyncio.create_task(first.sync())
    await until(lambda: shelf.asked)
    waiting = asyncio.create_task(second.sync())
    await until(lambda: second.said)
    gate.set()
    assert (await running).changes
    assert not (await waiting).changes
    assert f"waiting for process {os.getpid()} on " in second.said[0]
    with pytest.raises(RootUnusable, match=r"is being changed by process \d+"):
        async with first.root.locked(), second.root.locked(wait_seconds=0):
            pass


async def test_a_pass_that_is_cancelled_leaves_what_the_next_one_ends(kept: Kept) -> None:
    kept.shelf.put("a/b", 1, tool(), hello())
    gate = asyncio.Event()
    kept.shelf.before_package = gate.wait
    running = asyncio.create_task(kept.run())
    await until(lambda: kept.shelf.asked)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    gate.set()
    await kept.sync()
    assert (kept.path / "a/envs/b/bin/tool").is_file()


async def test_the_status_says_how_long_a_root_is_behind(kept: Kept) -> None:
    bad = kept.shelf.put("a/b", 1, tool())
    kept.shelf.refused[bad.key] = "no"
    began = kept.time
    await kept.run()
    kept.time += 50
    await kept.run()
    status = read_status(kept.path)
    assert status.lag_seconds(began + 60) == 60
    assert [one.sentence for one in status.problems] == ["a/b v1 is not made: no"]
    kept.shelf.refused.clear()
    await kept.sync()
    status = read_status(kept.path)
    assert (status.behind_since, status.problems, status.environments) == (None, (), 1)
    assert status.lag_seconds(began + 60) == 0


async def test_a_pass_that_is_outdated_begins_nothing_more_and_lets_nothing_go(kept: Kept) -> None:
    kept.shelf.put("a/first", 1, tool())
    await kept.sync()
    kept.shelf.remove("a/first")
    for number in range(6):
        kept.shelf.put(f"a/e{number}", 1, tool(f"own{number}"))
    report = await kept.reconciler.run(
        kept.shelf.now(), lambda: kept.shelf.asked["installation"] > 1
    )
    assert report.is_cut_short
    assert not report.is_equal
    assert not report.problems
    assert 1 < report.prefixes < 1 + 6, "what was begun is made to its end"
    assert all(link.path.exists() for link in report.links)
    assert not os.path.lexists(kept.path / "a/envs/first")
    assert read_status(kept.path).behind_since == kept.time
    await kept.sync()
    assert len(names_in(kept.path / "builds")) == 6
