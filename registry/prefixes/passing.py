"""One pass over a root that is open and ours alone; see :mod:`registry.prefixes.reconciling`."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from builder.errors import DomainError
from builder.install.prefix.installation import InstallationPlan, UnpackedName
from builder.install.prefix.syncing import sync_directory
from builder.install.prefix.unpacked import read_unpacked
from builder.platforms import Subdir
from registry.errors import PrefixSourceUnavailable, PrefixUnusable, RootUnusable
from registry.prefixes.drivers import Driver, Found
from registry.prefixes.finding import Mark
from registry.prefixes.links import place_link, remove_left, remove_link, text_of
from registry.prefixes.made import forget, read_made
from registry.prefixes.packages import PackageDirectory, remove_making
from registry.prefixes.planning import (
    State,
    blocked,
    is_linked,
    key_of,
    to_make,
    to_unlink,
    unwanted,
)
from registry.prefixes.recording import read_unwanted, write_builds, write_unwanted
from registry.prefixes.removing import unneeded_packages
from registry.prefixes.room import is_closed, is_full, no_room, told
from registry.prefixes.root import Root
from registry.prefixes.seen import Seen, SeenLink, look
from registry.prefixes.server import Server, Wanted, WantedVersion
from registry.prefixes.status import Change, Link, Problem, What
from registry.prefixes.threads import in_thread
from registry.prefixes.wanted import WantedLink, about, targets

_log = structlog.get_logger("registry.prefixes")

#: So many prefixes are made at once.
_AT_ONCE: Final = 2
#: After so many for which there was no room, no other is tried.
_MOST_WITHOUT_ROOM: Final = 4


class VersionFiles:
    """Gives what the build of a version is made of."""

    def __init__(self, server: Server, version: WantedVersion) -> None:
        self._server = server
        self._version = version

    async def package(self, sha256: str, size_bytes: int, to: Path) -> None:
        """Put the archive of a package at ``to``, verified."""
        await self._server.package(self._version, sha256, size_bytes, to)

    async def bytecode(self, subdir: Subdir, to: Path) -> None:
        """Put the bytecode of all modules at ``to``."""
        await self._server.bytecode(self._version, subdir, to)


async def read_state(root: Root, driver: Driver) -> tuple[State, Seen]:
    """Return what is there now, which is looked at once.

    Raises:
        OSError: The root cannot be read.
    """
    seen = await in_thread(lambda: look(root.path, root.layouts))
    found = dict(await driver.found(seen))
    since = await in_thread(lambda: read_unwanted(root.folder))
    return State(root.path, root.options.subdir, found, seen.links, since), seen


class Pass:
    """Makes one pass.

    Args:
        root: Is open, and nobody else has it.
        server: What is missing is fetched there.
        packages: Those of the root.
        driver: Makes prefixes.
        wanted: What is to be there.
        now: The time.
        on_change: Is told of each change as it is made.
        is_outdated: Tells whether something else is wanted by now.
    """

    def __init__(
        self,
        root: Root,
        server: Server,
        packages: PackageDirectory,
        driver: Driver,
        wanted: Wanted,
        now: float,
        on_change: Callable[[Change], None] | None,
        is_outdated: Callable[[], bool],
    ) -> None:
        self._root = root
        self._server = server
        self._packages = packages
        self._driver = driver
        self._blocked = wanted.blocked
        self._now = now
        self._on_change = on_change
        self._is_outdated = is_outdated
        self._targets = targets(wanted, root.options.layout)
        self._links_of: dict[str, list[WantedLink]] = defaultdict(list)
        for link in self._targets.links.values():
            self._links_of[link.prefix].append(link)
        self._state = State(root.path, root.options.subdir, {}, {}, {})
        #: Inode and bytes of prefixes, as they were made.
        self._sizes: dict[str, tuple[int, int]] = {}
        #: What a thread has done, and will be told.
        self._thrown: list[Change] = []
        #: Why no more prefixes are made.
        self._stop = ""
        #: What versions are called whose prefix was not made, though nothing is wrong with it.
        self._not_made: list[str] = []
        self._is_full = False
        #: Of what could not be made, and will be tried again.
        self._kept_packages: set[UnpackedName] = set()
        #: Directories that cannot be looked into.
        self._closed: Sequence[str] = ()
        #: Whether there may be packages that are needed, though nothing that is known names them.
        self._is_unsure = False
        self.server_problem = ""
        self.is_cut_short = False
        self.changes: list[Change] = []
        self.problems: list[Problem] = list(self._targets.problems)
        self.bytes_written = 0
        self.bytes_on_disk = 0
        self.package_count = 0

    async def run(self) -> None:
        """Make the pass.

        Raises:
            OSError: The root cannot be read or written.
        """
        await in_thread(self._root.clear)
        await self._look()
        ready = await self._attach()
        await self._link(link for path in ready for link in self._links_of[path])
        await self._retire_blocked()
        await self._make_all()
        await in_thread(self._sync)
        await self._unlink()
        if not self.is_cut_short and not self._closed:
            await self._retire()
        await in_thread(self._finish)
        for change in self._thrown:
            self._note(change)

    @property
    def links(self) -> tuple[Link, ...]:
        """All links that are wanted and lead to a whole prefix."""
        state, root = self._state, self._root.path
        return tuple(
            Link(
                link.version.namespace,
                link.version.environment,
                link.version.number,
                link.version.key,
                root / path,
                root / link.prefix,
                link.is_active,
            )
            for path, link in self._targets.links.items()
            if is_linked(state, path, link) and state.whole(link.prefix, link.version.key)
        )

    @property
    def prefix_count(self) -> int:
        """How many whole prefixes there are."""
        return sum(self._state.whole(path) is not None for path in self._state.found)

    @property
    def unwanted_count(self) -> int:
        """How many prefixes go after their time of grace."""
        return len(self._state.unwanted)

    async def _look(self) -> None:
        root = self._root
        self._state, seen = await read_state(root, self._driver)
        self._sizes = (await in_thread(lambda: read_made(root.folder))).prefixes
        self._closed = seen.closed
        # Links that lead to prefixes may be there, and prefixes that have packages.
        self._is_unsure |= bool(seen.closed)
        for path in seen.closed:
            self.problems.append(
                Problem(
                    "",
                    f"{root.path / path} cannot be looked into: have its owner open it, or move it"
                    " elsewhere; meanwhile nothing goes that may be used from there",
                )
            )

        def clear() -> None:
            for path in seen.left:
                remove_left(root, path)

        await in_thread(clear)

    async def _attach(self) -> list[str]:
        """Return the paths of wanted prefixes that are whole and can be used."""
        ready = []
        for path, version in self._targets.prefixes.items():
            if self._state.whole(path, version.key) is None:
                continue
            try:
                await self._driver.attach(self._root.path / path)
            except (PrefixUnusable, OSError) as exc:
                self._tell(path, exc, "cannot be used")
                continue
            ready.append(path)
        return ready

    async def _link(self, links: Iterable[WantedLink]) -> None:
        """Make or switch links whose prefix is whole."""
        due = [link for link in links if not is_linked(self._state, link.path, link)]
        if not due:
            return
        done: list[tuple[WantedLink, Exception | None]] = []

        def place() -> None:
            for link in due:
                try:
                    place_link(self._root, link.path, link.prefix)
                except (PrefixUnusable, OSError) as exc:
                    done.append((link, exc))
                else:
                    done.append((link, None))

        try:
            await in_thread(place)
        finally:
            for link, error in done:
                self._note_link(link, error)

    def _note_link(self, link: WantedLink, error: Exception | None) -> None:
        name = about(link.version)
        if error is None:
            self._state.links[link.path] = SeenLink(text_of(link.path, link.prefix), link.prefix)
            self._change("linked", link.path, name)
            return
        self._is_full |= is_full(error)
        self.problems.append(Problem(name, f"{name} has no link: {told(error)}"))

    async def _retire_blocked(self) -> None:
        for path in blocked(self._state, self._blocked):
            for link, seen in sorted(self._state.links.items()):
                if seen.prefix == path:
                    await self._remove_link(link)
            await self._retire_one(path, now=True)

    async def _make_all(self) -> None:
        due = iter(to_make(self._state, self._targets))

        async def work() -> None:
            for path in due:
                self.is_cut_short |= self._is_outdated()
                if self._stop or self.is_cut_short:
                    self._leave(path)
                else:
                    await self._make_one(path)

        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(work())
        if self._stop and not self._is_full:
            self.problems.append(Problem("", self._stop))

    async def _make_one(self, path: str) -> None:
        """Make a prefix, and switch its links; what goes wrong is told."""
        version = self._targets.prefixes[path]
        try:
            plan, size = await self._make(path, version)
        except PrefixSourceUnavailable as exc:
            self.server_problem = self._stop = exc.message
            self._leave(path)
        except Exception as exc:  # noqa: BLE001 (told; one prefix stops no other)
            self._judge(path, exc)
        else:
            was_there = path in self._state.found
            names = tuple(plan.name_of(package) for package in plan.packages)
            mark = Mark(version.key, plan.subdir, f"{self._root.path}/{path}", names)
            self._state.found[path] = Found(mark)
            self.bytes_written += size
            self._change("mended" if was_there else "made", path, about(version), size)
            await self._link(self._links_of[path])

    def _leave(self, path: str) -> None:
        """Note that a prefix is left to a later pass."""
        self._not_made.append(about(self._targets.prefixes[path]))
        self._is_unsure = True

    async def _make(self, path: str, version: WantedVersion) -> tuple[InstallationPlan, int]:
        """Make a prefix; a package that is found to be damaged is fetched again."""
        root = self._root
        plan = await self._server.installation(version, root.options.subdir)
        if (plan.key, plan.subdir) != (version.key, root.options.subdir):
            raise PrefixUnusable("the server has described another build: look at its version")
        names = {plan.name_of(package) for package in plan.packages}
        self._kept_packages |= names  # until the prefix names them itself
        files = VersionFiles(self._server, version)
        written = await self._packages.ensure(plan, files)
        try:
            written += await self._drive(plan, path)
        except (ValueError, OSError, DomainError) as exc:
            if is_full(exc) or not await self._packages.discard_damaged(plan):
                raise
            written += await self._packages.ensure(plan, files)
            written += await self._drive(plan, path)
        return plan, written

    async def _drive(self, plan: InstallationPlan, path: str) -> int:
        root, making = self._root, self._root.new_making()

        def prepare() -> None:
            with root.parent(path, is_ours=True):
                making.mkdir(0o700)

        await in_thread(prepare)
        try:
            return await self._driver.make(plan, making, root.path / path)
        finally:
            await in_thread(lambda: remove_making(making))

    def _judge(self, path: str, error: Exception) -> None:
        """Tell why a prefix could not be made, or why no more can be."""
        if is_full(error):
            self._is_full = True
            self._leave(path)
            # There may be room for something smaller.
            if len(self._not_made) >= _MOST_WITHOUT_ROOM:
                self._stop = "no room"
        elif is_closed(error) or isinstance(error, RootUnusable):
            self._stop = self._stop or told(error)
            self._leave(path)
        else:
            if not isinstance(error, DomainError | OSError | ValueError):
                _log.error("failed to make a prefix", path=path, exc_info=error)
            self._tell(path, error, "is not made")

    def _tell(self, path: str, error: Exception, what: str) -> None:
        """Write down a problem for each version that has the prefix."""
        versions = [self._targets.prefixes[path], *(one.version for one in self._links_of[path])]
        for name in dict.fromkeys(about(version) for version in versions):
            self.problems.append(Problem(name, f"{name} {what}: {told(error)}"))

    def _sync(self) -> None:
        """Have what was put in its place reach the disk, before anything else goes for it."""
        folders = {
            (self._root.path / change.path).parent
            for change in self.changes
            if change.what in {"made", "mended", "linked"}
        }
        for folder in sorted(folders):
            # One of a namespace may have been moved or closed by others meanwhile.
            with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
                sync_directory(folder)

    async def _unlink(self) -> None:
        for path in to_unlink(self._state, self._targets):
            await self._remove_link(path)

    async def _remove_link(self, path: str) -> None:
        try:
            await in_thread(lambda: remove_link(self._root, path))
        except (PrefixUnusable, OSError) as exc:
            self.problems.append(Problem("", f"{path} stays: {told(exc)}"))
            return
        self._change("unlinked", path, self._state.links.pop(path).prefix)

    async def _retire(self) -> None:
        """Have prefixes go whose time of grace is over, and note which others nobody wants."""
        state, before = self._state, set(self._state.unwanted)
        state.unwanted = unwanted(state, self._targets, self._now)
        for path, since in list(state.unwanted.items()):
            if since + self._root.options.grace_seconds <= self._now:
                await self._retire_one(path, now=False)
            elif path not in before:
                self._change("unwanted", path, key_of(state.found, path))

    async def _retire_one(self, path: str, *, now: bool) -> None:
        root, state = self._root, self._state
        try:
            await self._driver.retire(root.path / path, root.new_trash(), now=now)
        except (PrefixUnusable, OSError) as exc:
            self.problems.append(Problem("", f"{path} stays: {told(exc)}"))
            return
        size = self._sizes.get(path, (0, 0))[1]
        self._change("removed", path, key_of(state.found, path), size)
        del state.found[path]
        state.unwanted.pop(path, None)
        await in_thread(lambda: root.prune(path))

    def _needed(self) -> set[str]:
        """Return the names of packages that prefixes, or what will be tried again, name."""
        needed: set[str] = set(self._kept_packages)
        for found in self._state.found.values():
            needed |= set(found.mark.packages if found.mark is not None else ())
        return needed

    def _throw_away(self, names: Iterable[str], sizes: Mapping[str, int]) -> None:
        for name in names:
            label = _label(self._root.packages / name)
            (self._root.packages / name).rename(self._root.new_package_trash())
            path = f"{self._root.packages.name}/{name}"
            self._thrown.append(Change("removed", path, label, sizes.get(name, 0)))

    def _finish(self) -> None:
        """Have packages go that nobody needs, and write down what is there."""
        root, state = self._root, self._state
        there = set(unneeded_packages(root.packages, ()))
        made = read_made(root.folder)
        if not self._is_unsure and all(one.mark for one in state.found.values()):
            gone = there - self._needed()
            self._throw_away(sorted(gone), made.packages)
            there -= gone
        try:
            forget(root.folder, made, state.found, there)
            write_unwanted(root.folder, state.unwanted)
            builds: dict[str, list[str]] = defaultdict(list)
            for path in sorted(state.found):
                mark = state.whole(path)
                if mark is not None:
                    builds[mark.key].append(path)
            write_builds(root.folder, builds)
        except OSError as exc:
            if not is_full(exc):
                raise
            self._is_full = True
        self.package_count = len(there)
        self.bytes_on_disk = made.size_bytes
        if self._is_full:
            self.problems.append(Problem("", no_room(root.path, self._not_made)))

    def _change(self, what: What, path: str, name: str, size_bytes: int = 0) -> None:
        self._note(Change(what, path, name, size_bytes))

    def _note(self, change: Change) -> None:
        self.changes.append(change)
        if self._on_change is not None:
            self._on_change(change)


def _label(unpacked: Path) -> str:
    try:
        return read_unpacked(unpacked).label
    except (OSError, ValueError):  # what is left of one
        return "package"
