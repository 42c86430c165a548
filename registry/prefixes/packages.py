"""Unpacked packages, shared by all prefixes of a root.

::

    .packages/<name>/           a whole one, as builder.install.prefix.unpacked says
    .packages/.making/<random>/ archives and bytecode of one plan, and what is being unpacked
    .pullforge/packages.lock    whoever unpacks a package holds one byte of it: that of its name

A package is unpacked aside and renamed. Nothing of it need have reached the disk by then: a prefix
that is made of it has all of it reach the disk, and until there is one, the package is used only as
long as the machine runs (:mod:`registry.prefixes.made`).
"""

import asyncio
import errno
import fcntl
import itertools
import os
import struct
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

from builder.install.prefix.installation import InstallationPlan, UnpackedName
from builder.install.prefix.link import LinkOptions
from builder.install.prefix.sharing import opened
from builder.install.prefix.unpack import extract_bytecode, unpack
from builder.install.prefix.unpacked import INDEX, PARTS, TREE, read_unpacked
from builder.layer import LayerPackage, PythonTarget
from builder.platforms import Subdir
from builder.ports import Workers
from registry.prefixes.made import note_package, read_made
from registry.prefixes.removing import remove_at
from registry.prefixes.room import is_full
from registry.prefixes.root import Root
from registry.prefixes.threads import in_thread, to_its_end

#: So many packages are fetched or unpacked at once, for all prefixes together.
_AT_ONCE: Final = 8
_FETCH_SECONDS: Final = 3600.0
_UNPACK_SECONDS: Final = 1800.0
#: How long to wait for another process that unpacks the same.
_LOCK_SECONDS: Final = 3600.0
_LOOK_SECONDS: Final = 0.05
_LOCK_FILE: Final = "packages.lock"
#: ``struct flock`` of Linux on 64 bits: type, whence, start, length, process.
_FLOCK: Final = struct.Struct("hhqqi4x")


class BuildFiles(Protocol):
    """Gives what one build is made of."""

    async def package(self, sha256: str, size_bytes: int, to: Path) -> None:
        """Put the archive of a package at ``to``, verified.

        Raises:
            PrefixSourceUnavailable: The server cannot be reached or refuses.
        """
        ...

    async def bytecode(self, subdir: Subdir, to: Path) -> None:
        """Put the bytecode of all modules at ``to``: a tar, compressed with zstd.

        Raises:
            PrefixSourceUnavailable: The server cannot be reached or refuses.
        """
        ...


class PackageDirectory:
    """Has packages unpacked, each once.

    Args:
        root: Whose they are; is open, and locked by whoever uses this.
        workers: Where packages are unpacked.
    """

    def __init__(self, root: Root, workers: Workers) -> None:
        self.root = root
        self.workers = workers
        #: Of what is fetched and unpacked.
        self.room = asyncio.Semaphore(_AT_ONCE)
        #: One for each package that somebody is at.
        self._turns: weakref.WeakValueDictionary[UnpackedName, asyncio.Lock] = (
            weakref.WeakValueDictionary()
        )

    @property
    def path(self) -> Path:
        """Where they are."""
        return self.root.packages

    async def ensure(
        self,
        plan: InstallationPlan,
        files: BuildFiles,
        on_progress: Callable[[str], None] | None = None,
    ) -> int:
        """Have all packages of a plan unpacked, and return how many bytes were unpacked for it.

        Whatever is missing is fetched and unpacked, once even if several ask for it, in this
        process or another. It may be cancelled; what is whole by then stays.

        Raises:
            PrefixSourceUnavailable: The server cannot be reached or refuses.
            BuilderError: A package cannot be unpacked.
            OSError: No room, for example.
        """
        missing = await in_thread(lambda: self._missing(plan))
        if not missing:
            return 0
        scratch = self.root.new_package_making()
        try:
            await in_thread(lambda: scratch.mkdir(0o700))
            work = _Ensuring(self, plan, files, scratch, _counted(len(missing), on_progress))
            return sum(await _all(work.ensure(name, package) for name, package in missing))
        finally:
            await in_thread(lambda: remove_making(scratch))

    async def discard_damaged(self, plan: InstallationPlan) -> bool:
        """Throw away packages of a plan of which something is missing; tell whether there were any.

        Raises:
            OSError: One cannot be thrown away.
        """
        names = [plan.name_of(package) for package in plan.packages]

        def discard() -> bool:
            damaged = [name for name in names if not _is_complete(self.path / name)]
            for name in damaged:
                with suppress(FileNotFoundError):
                    (self.path / name).rename(self.root.new_package_trash())
            return bool(damaged)

        return await in_thread(discard)

    def is_there(self, name: UnpackedName) -> bool:
        """Tell whether a package is unpacked, as far as a glance tells."""
        return (self.path / name / INDEX).is_file()

    def is_sound(self, name: UnpackedName, scratch: Path) -> bool:
        """Tell whether a package is unpacked and can be used; else what is there goes to a scratch.

        Raises:
            OSError: It cannot go.
        """
        if not self.is_there(name):
            return False
        if name in read_made(self.root.folder).sound:
            return True
        (self.path / name).rename(scratch / f"{name}.left")
        return False

    def put(self, name: UnpackedName, out: Path, size_bytes: int) -> None:
        """Put an unpacked package in its place, unless it is there.

        Raises:
            OSError: It cannot be put there.
        """
        note_package(self.root.folder, name, size_bytes)
        try:
            out.rename(self.path / name)
        except OSError as exc:
            if exc.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
                raise
            if not self.is_there(name):  # what is left of one
                (self.path / name).rename(self.root.new_package_trash())
                out.rename(self.path / name)

    def _missing(self, plan: InstallationPlan) -> list[tuple[UnpackedName, LayerPackage]]:
        found = {plan.name_of(package): package for package in plan.packages}
        sound = read_made(self.root.folder).sound
        missing = [
            (name, package)
            for name, package in found.items()
            if name not in sound or not self.is_there(name)
        ]
        # What takes longest is begun first.
        return sorted(missing, key=lambda one: (-one[1].record.size_bytes, one[0]))

    @asynccontextmanager
    async def turn(self, name: UnpackedName) -> AsyncIterator[None]:
        """Keep others waiting who want the same package, here and in other processes."""
        lock = self._turns.get(name)
        if lock is None:
            lock = self._turns[name] = asyncio.Lock()
        async with lock:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(self.root.folder / _LOCK_FILE, flags, 0o600)
            try:
                async with asyncio.timeout(_LOCK_SECONDS):
                    while not _try_lock(descriptor, name):  # noqa: ASYNC110 (other processes)
                        await asyncio.sleep(_LOOK_SECONDS)
                yield
            finally:
                os.close(descriptor)


def _counted(total: int, on_progress: Callable[[str], None] | None) -> Callable[[], None]:
    """Return what is called for each package that is there, and tells how many are."""
    numbers = itertools.count(1)

    def tell() -> None:
        if on_progress is not None:
            on_progress(f"{next(numbers)} of {total} packages")

    return tell


class _Ensuring:
    """Unpacks what is missing of one plan."""

    def __init__(
        self,
        packages: PackageDirectory,
        plan: InstallationPlan,
        files: BuildFiles,
        scratch: Path,
        tell: Callable[[], None],
    ) -> None:
        self._packages = packages
        self._plan = plan
        self._files = files
        self._scratch = scratch
        self._tell = tell
        self._bytecode: Path | None = None
        self._fetching = asyncio.Lock()

    async def ensure(self, name: UnpackedName, package: LayerPackage) -> int:
        """Have a package unpacked, and return how many bytes that took."""
        packages, python = self._packages, self._plan.python_of(package)
        async with packages.turn(name), packages.room:
            if await in_thread(lambda: packages.is_sound(name, self._scratch)):
                self._tell()
                return 0
            archive, out = self._scratch / f"{name}.archive", self._scratch / name
            record = package.record
            async with asyncio.timeout(_FETCH_SECONDS):
                await self._files.package(record.sha256, record.size_bytes, archive)
            bytecode = await self._bytecode_directory() if python is not None else None
            options = packages.root.options.link_options
            if packages.root.options.driver == "squashfs":  # an image says itself whose files are
                options = replace(options, uid=None, gid=None)
            unpacking = packages.workers.run(
                unpack_owned, package, python, archive, bytecode, out, options
            )
            size = await to_its_end(unpacking, _UNPACK_SECONDS)
            await in_thread(lambda: packages.put(name, out, size))
            await in_thread(archive.unlink)
            self._tell()
            return size

    async def _bytecode_directory(self) -> Path:
        """Return where the bytecode of the plan's modules is; it is fetched once."""
        async with self._fetching:
            if self._bytecode is None:
                archive, to = self._scratch / "bytecode.archive", self._scratch / "bytecode"
                async with asyncio.timeout(_FETCH_SECONDS):
                    await self._files.bytecode(self._plan.subdir, archive)
                extracting = self._packages.workers.run(extract_bytecode, archive, to)
                await to_its_end(extracting, _UNPACK_SECONDS)
                await in_thread(archive.unlink)
                self._bytecode = to
            return self._bytecode


def unpack_owned(
    package: LayerPackage,
    python: PythonTarget | None,
    archive: Path,
    bytecode: Path | None,
    out: Path,
    options: LinkOptions,
) -> int:
    """Unpack a package, in another process, and return its size in bytes.

    Its files have the owner and group of those that are linked to them, as they are the same files.

    Raises:
        BuilderError: It cannot be unpacked.
        OSError: There is no room, whatever that was wrapped in: causes do not get to the caller.
    """
    try:
        size = unpack(package, python, archive, bytecode, out, options.umask).size_bytes
        if options.ids != (-1, -1):
            _give(out, *options.ids)
    except Exception as exc:
        if is_full(exc):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out)) from exc
        raise
    return size


def _give(directory: Path, uid: int, gid: int) -> None:
    for _, folders, files, descriptor in os.fwalk(directory / TREE):
        for name in (*folders, *files):
            os.chown(name, uid, gid, dir_fd=descriptor, follow_symlinks=False)


def _is_complete(directory: Path) -> bool:
    """Tell whether all that an unpacked package says of itself is there."""
    try:
        package = read_unpacked(directory)
    except (OSError, ValueError):
        return False
    paths = [f"{TREE}/{path}" for path in package.shared]
    paths += [f"{PARTS}/{file.part}" for file in package.prefixed]
    return all((directory / path).is_file() for path in paths)


def remove_making(path: Path) -> None:
    """Remove something that is under way no more, as far as that can be."""
    with suppress(OSError), opened(path.parent) as directory:
        remove_at(directory, path.name)


def _try_lock(descriptor: int, name: UnpackedName) -> bool:
    # Of the open file, not of the process, and so many that no two packages have the same.
    start = int(name[:15], 16)
    lock = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, 1, 0)
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
    except (BlockingIOError, PermissionError):
        return False
    return True


async def _all(work: Iterable[Coroutine[Any, Any, int]]) -> list[int]:
    """Return the results of all of ``work``, done at once; all has ended when this raises.

    Raises:
        Exception: What the first to fail raised.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except BaseExceptionGroup as exc:
        raise exc.exceptions[0] from None
    return [task.result() for task in tasks]
