"""A source in the house, and files of it; a text that begins with ``broken`` cannot be read."""

from dataclasses import dataclass

from builder.errors import InputError
from registry.catalog.limits import UNLIMITED, Limits
from registry.catalog.managed import Managements
from registry.catalog.records import EVERYTHING, Environment, Event, Version
from registry.catalog.source_files import SourceFiles
from registry.catalog.source_records import FileState, Management, NewSource, Removed, SourceRecord
from registry.catalog.sources import Sources
from registry.requests.requests import RequirePull
from tests.registry.catalog.house import ADA, House, no_repository_is_open

FILE = "forecast/environment.yml"
PATH = "analytics/forecast"


class Texts:
    """Reads what files ask for."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def check(self, data: bytes, *, may_pull: RequirePull) -> None:
        if self.error is not None:
            raise self.error
        if data.startswith(b"broken"):
            raise InputError(data.decode())
        if data.startswith(b"registry:"):
            await may_pull(data.decode().removeprefix("registry:"))


@dataclass
class Sourced:
    """A house with one source."""

    house: House
    sources: Sources
    files: SourceFiles
    texts: Texts
    source: SourceRecord

    @classmethod
    async def make(
        cls,
        house: House,
        *,
        removed: Removed = "keep",
        namespace: str | None = "analytics",
        limits: Limits = UNLIMITED,
        **more: object,
    ) -> "Sourced":
        await house.follower.start()
        if not await _has_namespace(house):
            await house.namespaces.create(ADA, "analytics", owner="ada")
        texts = Texts()
        sources = Sources(house.database, house.namespaces)
        files = SourceFiles(
            house.database,
            house.namespaces,
            house.pushed,
            texts,
            no_repository_is_open,
            house.runner.nudge,
            limits,
        )
        wanted = NewSource("team", "directory", "/srv/envs", namespace, removed=removed, **more)  # type: ignore[arg-type]
        return cls(house, sources, files, texts, await sources.create(ADA, wanted))

    async def put(self, text: str, path: str = FILE, environment: str = "forecast") -> FileState:
        """Hand over a text of a file."""
        return await self.files.put(self.source.id, path, text.encode(), environment=environment)

    async def built(self, text: str) -> Version:
        """Hand over a text of the file, and have its version made."""
        assert not (await self.put(text)).problem
        newest = (await self.versions())[0]
        return await self.house.ended(PATH, newest.number)

    async def gone(self, path: str = FILE) -> None:
        await self.files.gone(self.source.id, path)

    async def file(self, path: str = FILE) -> FileState:
        return (await self.files.known(self.source.id))[path]

    async def environment(self, path: str = PATH) -> Environment:
        namespace, _, name = path.partition("/")
        return await self.house.environments.get(namespace, name)

    async def managed(self, path: str = PATH) -> Management | None:
        """Return what is told of the file that defines an environment."""
        environment = await self.environment(path)
        return (await Managements(self.house.database).of([environment])).get(environment.id)

    async def versions(self, path: str = PATH) -> list[Version]:
        """Return its versions, the newest first."""
        namespace, _, name = path.partition("/")
        return list((await self.house.versions.list(namespace, name)).items)

    async def states(self) -> list[str]:
        """Return the states of its versions, the oldest first."""
        return [version.state for version in reversed(await self.versions())]

    async def events(self, *actions: str) -> list[Event]:
        """Return what happened, of some actions."""
        found = await self.house.events.list(visible=EVERYTHING, limit=1000)
        return [event for event in found if event.action in actions]


async def _has_namespace(house: House) -> bool:
    found = await house.namespaces.list(EVERYTHING)
    return any(one.slug == "analytics" for one in found.items)
