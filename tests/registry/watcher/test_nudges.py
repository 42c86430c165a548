"""What the system tells of folders; the times are those of the system, within bounds."""

import asyncio
import errno
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from registry.watcher import nudges
from registry.watcher.directories import DirectoryTree
from registry.watcher.nudges import Nudges

pytestmark = pytest.mark.anyio


async def told(news: asyncio.Event) -> None:
    """Return when something was told, and forget it."""
    async with asyncio.timeout(20):
        await news.wait()
    news.clear()


async def quiet(news: asyncio.Event) -> bool:
    """Tell whether nothing is told for longer than a change takes to be told."""
    try:
        async with asyncio.timeout(1):
            await news.wait()
    except TimeoutError:
        return True
    return False


@pytest.fixture
def news() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
def following(news: asyncio.Event) -> Iterator[Nudges]:
    following = Nudges(news)
    yield following
    following.close()


async def follow(following: Nudges, root: Path) -> dict[str, int]:
    listing = await DirectoryTree(root, 1000).list(lambda path: path.endswith(".yml"))
    following.follow(listing.folders)
    return dict(listing.folders)


async def test_a_change_is_told_and_to_look_is_none(
    following: Nudges, news: asyncio.Event, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    file = tmp_path / "a" / "a.yml"
    file.write_text("one")
    await follow(following, tmp_path)
    await told(news)  # that it has begun
    for change in (
        lambda: file.write_text("two"),
        lambda: file.rename(tmp_path / "b.yml"),
        (tmp_path / "b.yml").unlink,
    ):
        change()
        await told(news)
    await follow(following, tmp_path)
    (tmp_path / "a").stat()
    assert await quiet(news)


async def test_a_folder_that_is_another_one_by_the_same_name_is_watched(
    following: Nudges, news: asyncio.Event, tmp_path: Path
) -> None:
    (tmp_path / "a").mkdir()
    first = await follow(following, tmp_path)
    await told(news)
    shutil.move(tmp_path / "a", tmp_path.parent / "away")
    (tmp_path / "a").mkdir()
    await told(news)
    second = await follow(following, tmp_path)
    assert first.keys() == second.keys()
    assert first != second
    await told(news)
    (tmp_path / "a" / "a.yml").touch()
    await told(news)


async def test_a_link_to_elsewhere_has_nothing_watched_there(
    following: Nudges, news: asyncio.Event, tmp_path: Path
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "system").symlink_to("/")
    (root / "out").symlink_to(outside)
    assert list(await follow(following, root)) == [str(root)]
    await told(news)
    (outside / "a.yml").touch()
    assert await quiet(news)


async def test_where_no_more_can_be_watched_it_is_said_once_for_all_sources(
    news: asyncio.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[object] = []

    def watch(*paths: str, **_: object) -> Iterator[set[object]]:
        tried.append(paths)
        raise OSError(errno.ENOSPC, "OS file watch limit reached")
        yield set()

    monkeypatch.setattr(nudges, "watch", watch)
    monkeypatch.setattr(Nudges, "_is_said", False)
    with capture_logs() as logs:
        for _ in range(3):
            await follow(Nudges(news), tmp_path)
        while len(tried) < 3:  # noqa: ASYNC110 (a thread of its own)
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
    assert [one["log_level"] for one in logs] == ["warning"]
    assert "fs.inotify.max_user_watches" in logs[0]["event"]
    assert not news.is_set()
