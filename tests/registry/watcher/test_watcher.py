"""Sources that servers look at: real files, a real catalog, and tasks that really run."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from builder.errors import InputError
from conformance.sources.hosting import Repository as Work
from registry.catalog.source_records import NewSource, SourceRecord
from registry.database import Database
from registry.errors import DatabaseUnavailable, EnvironmentUnknown
from registry.watcher import source_task
from registry.watcher import watcher as watching
from registry.watcher.directories import DirectoryTree
from registry.watcher.git import GitTree
from registry.watcher.git_program import Repository
from registry.watcher.source_task import Watched
from registry.watcher.watcher import Watcher
from tests.registry.catalog.house import ADA, House
from tests.registry.catalog.sourced import Sourced
from tests.registry.databases import opened

pytestmark = pytest.mark.anyio

NUMPY = "dependencies: [numpy]\n"
PANDAS = "dependencies: [pandas]\n"


@pytest.fixture
async def database(tmp_path: Path, anyio_backend: str) -> AsyncIterator[Database]:
    async with opened(f"sqlite:///{tmp_path}/catalog.db") as database:
        yield database


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all that waits wait for a moment."""
    for name in ("_STEP_SECONDS", "_PAUSE_SECONDS", "_RETRY_SECONDS"):
        monkeypatch.setattr(source_task, name, 0.02)
    for name in ("_CLAIM_SECONDS", "_ROUND_SECONDS"):
        monkeypatch.setattr(watching, name, 0.05)


@dataclass
class Watching:
    """A directory that is a source of a house, and servers that may look at it."""

    team: Sourced
    root: Path
    seconds: float = 0.1

    @asynccontextmanager
    async def server(
        self, name: str = "one", is_there: Callable[[], Awaitable[bool]] | None = None
    ) -> AsyncIterator[asyncio.Task[None]]:
        def watched_as(source: SourceRecord) -> Watched:
            if source.kind == "git":
                tree = GitTree(
                    Repository(source.location, is_trusted=True),
                    self.root.parent / f"{name}.git",
                    10_000,
                )
                return Watched(tree, "team", self.seconds, is_moving=False, tries=2)
            path = Path(source.location)
            return Watched(
                DirectoryTree(path, 10_000), "team", self.seconds, is_moving=True, is_there=is_there
            )

        house = self.team.house
        watcher = Watcher(self.team.sources, self.team.files, watched_as, name, house.database.now)
        task = asyncio.create_task(watcher.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    async def source(self) -> SourceRecord:
        return await self.team.sources.get(self.team.source.id)

    async def problems(self) -> dict[str, str]:
        """Return what is wrong with each file that is there."""
        known = await self.team.files.known(self.team.source.id)
        return {path: state.problem for path, state in known.items()}


@pytest.fixture
async def place(house_alone: House, tmp_path: Path) -> Watching:
    root = tmp_path / "envs"
    root.mkdir()
    team = await Sourced.make(house_alone, removed="archive")
    await team.sources.update(ADA, team.source.id, {"location": str(root)})
    return Watching(team, root)


@pytest.fixture
async def house_alone(database: Database) -> House:
    return House(database)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await is_so():  # noqa: ASYNC110 (what others do tells nobody)
            await asyncio.sleep(0.02)


async def versions(place: Watching, name: str) -> list[str]:
    """Return the texts that an environment was asked for by, the oldest first."""
    with suppress(EnvironmentUnknown):
        found = await place.team.versions(f"analytics/{name}")
        return [
            (await place.team.house.versions.specification("analytics", name, one.number)).decode()
            for one in reversed(found)
        ]
    return []


async def test_a_file_makes_an_environment_and_a_change_of_it_a_version(place: Watching) -> None:
    place.write("forecast/environment.yml", NUMPY)
    async with place.server():
        await until(lambda: has(place, "forecast", NUMPY))
        place.write("forecast/environment.yml", PANDAS)
        await until(lambda: has(place, "forecast", NUMPY, PANDAS))
    assert await place.problems() == {"forecast/environment.yml": ""}
    assert (await place.source()).looked_at is not None


async def has(place: Watching, name: str, *texts: str) -> bool:
    return await versions(place, name) == list(texts)


async def has_problem(place: Watching, path: str, problem: str) -> bool:
    return problem in (await place.problems()).get(path, "nothing")


async def says(place: Watching, problem: str) -> bool:
    source = await place.source()
    return source.looked_at is not None and problem in source.problem


async def test_a_broken_file_stops_no_other_and_is_taken_when_it_is_mended(place: Watching) -> None:
    for number in range(12):
        place.write(f"e{number}/environment.yml", NUMPY)
    place.write("e7/environment.yml", "broken: dependencies\n")
    async with place.server():
        await until(lambda: has_problem(place, "e7/environment.yml", "broken: dependencies"))
        for number in range(12):
            if number != 7:
                await until(lambda name=f"e{number}": has(place, name, NUMPY))  # type: ignore[misc]
        place.write("e7/environment.yml", NUMPY)
        await until(lambda: has(place, "e7", NUMPY))
    assert not any((await place.problems()).values())


async def test_what_changed_while_no_server_ran_is_found_and_what_did_not_is_left(
    place: Watching,
) -> None:
    for name in "abc":
        place.write(f"{name}.yml", NUMPY)
    async with place.server():
        for name in "abc":
            await until(lambda name=name: has(place, name, NUMPY))  # type: ignore[misc]
    before = await place.team.house.events.newest()
    async with place.server("two"):
        looked_at = (await place.source()).looked_at
        await until(lambda: looked_since(place, looked_at))
    assert await place.team.house.events.newest() == before
    place.write("a.yml", PANDAS)
    (place.root / "b.yml").unlink()
    async with place.server("three"):
        await until(lambda: has(place, "a", NUMPY, PANDAS))
        await until(lambda: is_archived(place, "b"))
    assert await versions(place, "c") == [NUMPY]


async def looked_since(place: Watching, moment: object) -> bool:
    return (await place.source()).looked_at != moment


async def is_archived(place: Watching, name: str) -> bool:
    return (await place.team.environment(f"analytics/{name}")).archived_at is not None


async def test_a_renamed_file_goes_on_defining_its_environment(place: Watching) -> None:
    place.write("a.yml", NUMPY)
    async with place.server():
        await until(lambda: has(place, "a", NUMPY))
        (place.root / "a.yml").rename(place.root / "a.yaml")

        async def is_renamed() -> bool:
            return await place.problems() == {"a.yaml": ""}

        await until(is_renamed)
    assert set(await versions(place, "a")) == {NUMPY}
    assert not await is_archived(place, "a")


async def test_a_directory_that_vanishes_is_told_of_removes_nothing_and_comes_back(
    place: Watching,
) -> None:
    for name in "ab":
        place.write(f"{name}.yml", NUMPY)
    async with place.server():
        for name in "ab":
            await until(lambda name=name: has(place, name, NUMPY))  # type: ignore[misc]
        place.root.rename(place.root.with_name("away"))
        await until(lambda: says(place, "is not there"))
        place.root.mkdir()
        await until(lambda: says(place, "where 2 were, and nothing was removed"))
        place.root.rmdir()
        place.root.with_name("away").rename(place.root)
        await until(lambda: says(place, ""))
        place.write("a.yml", PANDAS)
        await until(lambda: has(place, "a", NUMPY, PANDAS))
    assert await place.problems() == {"a.yml": "", "b.yml": ""}
    assert not await is_archived(place, "b")


async def test_one_server_looks_and_another_takes_over_when_it_ends(place: Watching) -> None:
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(place.server("first"))
        await until(lambda: says(place, ""))
        await stack.enter_async_context(place.server("second"))
        for number in range(3):
            place.write("a.yml", f"dependencies: [n{number}]\n")
            wanted = [f"dependencies: [n{one}]\n" for one in range(number + 1)]
            await until(lambda wanted=wanted: has(place, "a", *wanted))  # type: ignore[misc]
            if number == 1:
                first.cancel()


async def test_a_source_that_changes_is_looked_at_as_it_is_then_and_no_more_when_it_is_deleted(
    place: Watching,
) -> None:
    place.write("a/one.yml", NUMPY)
    sources, number = place.team.sources, place.team.source.id
    async with place.server():
        await until(lambda: has(place, "one", NUMPY))
        await sources.update(ADA, number, {"patterns": ("{environment}/one.yml",)})
        await until(lambda: has(place, "a", NUMPY))
        await sources.delete(ADA, number)
        place.write("a/one.yml", PANDAS)
        other = await sources.create(
            ADA, NewSource("other", "directory", str(place.root.parent / "no"), "analytics")
        )

        async def is_told() -> bool:
            return "is not there" in (await sources.get(other.id)).problem

        await until(is_told)
    assert await versions(place, "a") == [NUMPY]


async def test_whoever_asks_has_what_was_refused_tried_again(place: Watching) -> None:
    place.seconds = 3600
    place.write("a.yml", NUMPY)
    place.team.texts.error = InputError("the base is not there yet")
    async with place.server():
        await until(lambda: has_problem(place, "a.yml", "the base is not there yet"))
        place.team.texts.error = None
        asked = await place.team.sources.look_now(place.team.source.id)
        assert asked.asked_at is not None
        await until(lambda: has(place, "a", NUMPY))

        async def is_done() -> bool:
            return (await place.source()).asked_at is None

        await until(is_done)


async def test_a_catalog_that_does_not_answer_loses_nothing(
    place: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = place.team.files.put, [3]

    async def put(*args: Any, **more: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise DatabaseUnavailable
        return await real(*args, **more)

    monkeypatch.setattr(place.team.files, "put", put)
    for name in "ab":
        place.write(f"{name}.yml", NUMPY)
    async with place.server():
        for name in "ab":
            await until(lambda name=name: has(place, name, NUMPY))  # type: ignore[misc]
    assert left == [0]


async def test_a_server_that_lacks_a_directory_leaves_it_to_one_that_has_it(
    place: Watching,
) -> None:
    async def nowhere() -> bool:
        return False

    async def here() -> bool:
        return True

    place.write("a.yml", NUMPY)
    async with place.server("without", nowhere):
        async with place.server("with", here):
            await until(lambda: has(place, "a", NUMPY))
        assert not (await place.source()).problem


async def test_a_directory_that_no_server_has_is_told_of(
    place: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nowhere() -> bool:
        return False

    monkeypatch.setattr(watching, "_ANSWER", timedelta(0))
    place.root.rmdir()
    async with place.server("without", nowhere):
        await until(lambda: says(place, "is not there"))


async def test_a_repository_is_looked_at_and_says_its_commit(
    place: Watching, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    work = await asyncio.to_thread(Work, home)
    commit = await asyncio.to_thread(work.push, {"plot/environment.yml": NUMPY})
    sources = place.team.sources
    made = await sources.create(ADA, NewSource("plots", "git", work.url, "analytics"))
    async with place.server():
        await until(lambda: has(place, "plot", NUMPY))

        async def is_told() -> bool:
            return (await sources.get(made.id)).commit == commit

        await until(is_told)
        await asyncio.to_thread(work.push, {"plot/environment.yml": PANDAS})
        await until(lambda: has(place, "plot", NUMPY, PANDAS))


async def test_saving_without_end_is_a_handful_of_versions_and_the_last_text_wins(
    place: Watching,
) -> None:
    async with place.server():
        for number in range(1000):
            place.write("a.yml", f"dependencies: [numpy={number}]\n")
            if number % 50 == 0:
                await asyncio.sleep(0)
        last = "dependencies: [numpy=999]\n"

        async def is_last() -> bool:
            return (await versions(place, "a"))[-1:] == [last]

        await until(is_last)
    assert len(await versions(place, "a")) < 5
