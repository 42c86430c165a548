"""What is seen of directories, also of those whose owner means ill."""

import os
import shutil
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from conformance.sources.saving import ConfigMap
from registry.errors import SourceFileUnreadable, SourceUnreachable
from registry.watcher import directories, walking
from registry.watcher.directories import DirectoryTree, root_name
from registry.watcher.trees import Listing

pytestmark = pytest.mark.anyio

MOST = 1000


def is_yaml(path: str) -> bool:
    return path.endswith(".yml")


async def looked(root: Path) -> Listing:
    return await DirectoryTree(root, MOST).list(is_yaml)


async def texts(tree: DirectoryTree) -> dict[str, bytes | None]:
    listing = await tree.list(is_yaml)
    return {path: await tree.read(file) for path, file in listing.files.items()}


async def test_wanted_files_are_found_at_any_depth_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for name in ("a.yml", "b/c/d.yml", ".hidden.yml", ".git/x.yml", "b/.venv/y.yml", "b/z.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    tree = DirectoryTree(tmp_path, MOST)
    assert await texts(tree) == {"a.yml": b"a.yml", "b/c/d.yml": b"b/c/d.yml"}
    listing = await tree.list(is_yaml)
    assert set(listing.folders) == {str(tmp_path / part) for part in ("", "b", "b/c")}
    assert not listing.problems
    assert not listing.is_empty


async def test_a_token_is_another_one_whenever_the_file_is(tmp_path: Path) -> None:
    file = tmp_path / "a.yml"
    file.write_text("one")
    times = file.stat()
    seen = [(await looked(tmp_path)).files["a.yml"].token]

    file.write_text("two")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # as 'cp -p' and 'rsync -t' do
    seen.append((await looked(tmp_path)).files["a.yml"].token)

    shutil.copy2(file, tmp_path / "b")
    (tmp_path / "b").rename(file)
    seen.append((await looked(tmp_path)).files["a.yml"].token)
    assert len(set(seen)) == 3
    assert (await looked(tmp_path)).files["a.yml"].token == seen[-1]


async def test_a_file_that_has_changed_since_it_was_listed_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "a.yml"
    file.write_text("one")
    tree = DirectoryTree(tmp_path, MOST)
    listed = (await tree.list(is_yaml)).files["a.yml"]
    file.write_text("another")
    assert await tree.read(listed) is None
    file.unlink()
    assert await tree.read(listed) is None


async def test_a_config_map_is_seen_through_its_links_and_changes_at_once(tmp_path: Path) -> None:
    volume = ConfigMap(tmp_path / "envs")
    tree = DirectoryTree(volume.directory, MOST)
    volume.write({"a.yml": "1", "team/b.yml": "1", "gone.yml": "1"})
    assert await texts(tree) == {"a.yml": b"1", "team/b.yml": b"1", "gone.yml": b"1"}
    before = await tree.list(is_yaml)
    volume.write({"a.yml": "2", "team/b.yml": "1"})
    assert await tree.read(before.files["a.yml"]) is None
    assert await texts(tree) == {"a.yml": b"2", "team/b.yml": b"1"}
    after = await tree.list(is_yaml)
    assert not after.problems
    # What is watched is where the links lead to, too: the file may be changed there.
    assert any(Path(folder).name.startswith("..2") for folder in after.folders)


async def test_links_are_followed_to_within_and_told_of_when_they_lead_elsewhere(
    tmp_path: Path,
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "v3", outside):
        folder.mkdir(parents=True)
        (folder / "a.yml").write_text(folder.name)
    (root / "latest").symlink_to("v3")
    (root / "same.yml").symlink_to("v3/a.yml")
    (root / "out").symlink_to(outside)
    (root / "secret.yml").symlink_to("/etc/shadow")
    (root / "up.yml").symlink_to("../outside/a.yml")
    (root / "nowhere.yml").symlink_to("nothing")
    tree = DirectoryTree(root, MOST)
    assert await texts(tree) == {"latest/a.yml": b"v3", "same.yml": b"v3", "v3/a.yml": b"v3"}
    elsewhere = "it is a link to a place outside of the source, which is not followed"
    assert (await tree.list(is_yaml)).problems == {
        "out": elsewhere,
        "secret.yml": elsewhere,
        "up.yml": elsewhere,
        "nowhere.yml": "it is a link to something that is not there",
    }


@pytest.mark.parametrize("target", [".", "..", "a", "loop"])
async def test_links_that_lead_in_circles_end(tmp_path: Path, target: str) -> None:
    (tmp_path / "r" / "a" / "b").mkdir(parents=True)
    (tmp_path / "r" / "a" / "x.yml").write_text("x")
    (tmp_path / "r" / "a" / "loop").symlink_to(target)
    (tmp_path / "r" / "a" / "b" / "back").symlink_to("../../a")
    listing = await looked(tmp_path / "r")
    assert "a/x.yml" in listing.files
    assert len(listing.files) < 10


async def test_folders_that_lead_to_each_other_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "MAX_ENTRIES", 2000)
    for one in "abcdefgh":
        (tmp_path / one).mkdir()
        for other in "abcdefgh":
            (tmp_path / one / other).symlink_to(f"../{other}")
    with pytest.raises(SourceUnreachable, match="more than 2000 files and folders"):
        await looked(tmp_path)


async def test_a_directory_with_too_much_in_it_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walking, "MAX_ENTRIES", 100)
    for number in range(101):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(SourceUnreachable, match="watch a folder that has the environments alone"):
        await looked(tmp_path)


async def test_nothing_but_a_regular_file_is_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yml")
    (tmp_path / "folder.yml").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket.yml"))
    (tmp_path / "to-pipe.yml").symlink_to("pipe.yml")
    listing = await looked(tmp_path)
    assert not listing.files
    assert set(listing.problems) == {"pipe.yml", "socket.yml", "to-pipe.yml"}
    assert set(listing.problems.values()) == {"it is no regular file, and is not opened"}


@pytest.mark.parametrize(
    "swap",
    [
        os.mkfifo,
        lambda file: file.symlink_to("/etc/shadow"),
        lambda file: file.mkdir(),
    ],
)
async def test_what_takes_the_place_of_a_file_after_the_look_is_not_opened(
    tmp_path: Path, swap: Callable[[Path], None]
) -> None:
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / "a.yml"
    file.write_text("one")
    tree = DirectoryTree(tmp_path, MOST)
    listed = (await tree.list(is_yaml)).files["a/a.yml"]
    file.unlink()
    swap(file)
    try:
        assert await tree.read(listed) is None
    except SourceFileUnreadable as exc:
        assert "symbolic links" in exc.message  # noqa: PT017


async def test_a_folder_that_becomes_a_link_after_the_look_is_not_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for folder in (root / "a", outside):
        folder.mkdir(parents=True)
    (root / "a" / "a.yml").write_text("one")
    os.link(root / "a" / "a.yml", outside / "a.yml")  # the same file, so that no token tells
    tree = DirectoryTree(root, MOST)
    listed = (await tree.list(is_yaml)).files["a/a.yml"]
    shutil.rmtree(root / "a")
    (root / "a").symlink_to(outside)
    assert await tree.read(listed) is None


async def test_too_large_a_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_bytes(b"x" * (MOST + 1))
    (tmp_path / "b.yml").write_bytes(b"x" * MOST)
    listing = await looked(tmp_path)
    assert listing.problems == {"a.yml": "it has 1001 bytes, and 1000 are the most that is read"}
    assert list(listing.files) == ["b.yml"]


async def test_names_that_cannot_be_written_down_are_told_of_in_one_line(tmp_path: Path) -> None:
    for name in (b"a\nb.yml", b"caf\xe9.yml", "tr\u202eap.yml".encode(), "ü.yml".encode()):
        Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))).write_text("x")  # noqa: PTH118
    long = tmp_path.joinpath(*["d" * 200] * 6)
    long.mkdir(parents=True)
    (long / "a.yml").touch()
    listing = await looked(tmp_path)
    assert list(listing.files) == ["ü.yml"]
    shown = {path: why for path, why in listing.problems.items() if not path.startswith("ddd")}
    assert shown == {
        "a\\nb.yml": "its name has characters that cannot be printed: give it another one",
        "caf\\xe9.yml": "its name is not in UTF-8: give it another one",
        "tr\\u202eap.yml": "its name has characters that cannot be printed: give it another one",
    }
    assert any("longer than 1000 bytes" in why for why in listing.problems.values())
    assert all(len(path.encode()) <= 1000 and path.isprintable() for path in listing.problems)


async def test_what_may_not_be_read_is_told_of_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b.yml").write_text("b")
    real = os.scandir

    def scandir(path: object) -> object:  # whoever runs the tests may read everything
        if str(path).endswith("/a"):
            raise PermissionError(13, "Permission denied")
        return real(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", scandir)
    listing = await looked(tmp_path)
    assert list(listing.files) == ["b.yml"]
    assert listing.problems == {"a": "it cannot be read: Permission denied"}


async def test_a_directory_that_is_not_there_is_no_empty_one(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreachable, match=r"^envs is not there: if it is to be mounted"):
        await looked(tmp_path / "envs")
    (tmp_path / "envs").mkdir()
    assert (await looked(tmp_path / "envs")).is_empty
    (tmp_path / "file").touch()
    with pytest.raises(SourceUnreachable, match="is not there"):
        await looked(tmp_path / "file" / "envs")


async def test_a_single_file_can_be_all_that_there_is(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    file = tmp_path / "demo" / "environment.yml"
    file.write_text("one")
    (tmp_path / "demo" / "other.yml").write_text("two")
    tree = DirectoryTree(file, MOST)
    assert await texts(tree) == {"environment.yml": b"one"}
    assert root_name(file) == "demo"
    assert root_name(tmp_path / "demo") == "demo"
    file.unlink()
    with pytest.raises(SourceUnreachable):
        await tree.list(is_yaml)


async def test_a_directory_replaced_by_a_link_to_another_is_another_by_identity(
    tmp_path: Path,
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.yml").write_text(name)
    current = tmp_path / "current"
    current.symlink_to("one")
    tree = DirectoryTree(current, MOST)
    first = await tree.list(is_yaml)
    (tmp_path / "new").symlink_to("two")
    (tmp_path / "new").rename(current)
    assert await tree.read(first.files["a.yml"]) == b"one", "it is the file that was listed"
    second = await tree.list(is_yaml)
    assert first.identity != second.identity
    assert first.files["a.yml"].token != second.files["a.yml"].token
    assert await texts(tree) == {"a.yml": b"two"}


async def test_a_file_system_that_does_not_answer_is_told_of_and_takes_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()
    real = os.scandir

    def scandir(path: str) -> object:
        answer.wait(30)
        return real(path)

    monkeypatch.setattr(directories, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(os, "scandir", scandir)
    tree = DirectoryTree(tmp_path, MOST)
    before = threading.active_count()
    for _ in range(3):
        with pytest.raises(SourceUnreachable, match="does not answer"):
            await tree.list(is_yaml)
    assert threading.active_count() == before + 1
    answer.set()
