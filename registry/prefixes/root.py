"""A root: who it belongs to, how it is kept, and who may change it now.

::

    <root>/.pullforge/root.json       how it is kept; what decides bytes never changes
                      lock            held by whoever changes the root
                      packages.lock   held by whoever unpacks a package
                      made            what was made there (:mod:`registry.prefixes.made`)
                      unwanted.json   since when nobody wants which prefix
                      builds.json     where whole prefixes are (:mod:`registry.prefixes.finding`)
                      status.json     how it stands (:mod:`registry.prefixes.status`)
           .packages/<name>/          unpacked packages; perhaps a file system of its own, with its
                     .making, .trash  own of what follows
           .making/<random>/          under way; belongs to nobody when somebody has the root alone
           .trash/<time>-<random>     goes

What is below belongs to us and can be written by nobody else; so a path in it leads where it seems
to. Directories that others have made are gone through one by one, and no link is followed.
"""

import asyncio
import errno
import json
import os
import secrets
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from builder.install.prefix.link import LinkOptions
from builder.install.prefix.sharing import Sharing, opened
from builder.platforms import Subdir
from registry.errors import PrefixUnusable, RootUnusable
from registry.prefixes.drivers.squashfs_image import Compression
from registry.prefixes.finding import FOLDER
from registry.prefixes.layout import Layout
from registry.prefixes.locking import acquire
from registry.prefixes.mounting import Mounting
from registry.prefixes.threads import in_thread
from registry.prefixes.whole_files import UNFINISHED, read_object, write_whole

PACKAGES: Final = ".packages"
MAKING: Final = ".making"
TRASH: Final = ".trash"

_FORMAT: Final = 1
_ROOT_FILE: Final = "root.json"
_LOCK_FILE: Final = "lock"
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class RootOptions:
    """How a root is kept."""

    layout: Layout
    #: Of the machines that use it.
    subdir: Subdir
    driver: Literal["hardlink", "squashfs"] = "hardlink"
    #: Of squashfs alone, as is what follows.
    mount: Mounting = "never"
    compression: Compression = "zstd"
    share: Sharing = "auto"
    umask: int = 0o022
    #: Numbers of the owner and group of all files of prefixes; ``None``: those of the process.
    owner: int | None = None
    group: int | None = None
    #: How long a prefix stays that nobody wants any more, as processes may run from it.
    grace_seconds: float = 3600.0
    #: Where Jupyter looks for kernels; ``None``: none are written.
    kernels: Path | None = None

    @property
    def link_options(self) -> LinkOptions:
        """How files get into prefixes, and whose they are there."""
        return LinkOptions(self.share, self.umask, self.owner, self.group)


class Root:
    """A directory that is kept equal to what a server says.

    Args:
        path: Where it is; the directory above it exists.
        options: How it is kept.
    """

    def __init__(self, path: Path, options: RootOptions) -> None:
        self.path = Path(os.path.abspath(path))  # noqa: PTH100 (without '..', as it is written)
        self.options = options
        #: All layouts that it has had, the present one last.
        self.layouts: tuple[Layout, ...] = (options.layout,)
        #: Of whatever this process makes there.
        self._owner = os.geteuid()
        self._lock: int | None = None
        self._holders = 0
        self._turn = asyncio.Lock()

    @property
    def folder(self) -> Path:
        """Where the root itself writes things down."""
        return self.path / FOLDER

    @property
    def packages(self) -> Path:
        """Where unpacked packages are."""
        return self.path / PACKAGES

    @property
    def making(self) -> Path:
        """Where things are that are under way."""
        return self.path / MAKING

    @property
    def trash(self) -> Path:
        """Where things are that go."""
        return self.path / TRASH

    def new_making(self) -> Path:
        """Return the path of something new that is under way."""
        return self.making / secrets.token_hex(8)

    def new_package_making(self) -> Path:
        """Return the path of something new that is under way among packages."""
        return self.packages / MAKING / secrets.token_hex(8)

    def new_package_trash(self) -> Path:
        """Return the path of a package that goes."""
        return self.packages / TRASH / f"{time.time():.0f}-{secrets.token_hex(8)}"

    def new_trash(self) -> Path:
        """Return the path of something new that goes."""
        return self.trash / f"{time.time():.0f}-{secrets.token_hex(8)}"

    def open(self) -> None:
        """Make the root if it is not there, and look whether it is ours and kept as it was.

        Raises:
            RootUnusable: It is not, or cannot be used.
        """
        try:
            self._open()
        except OSError as exc:
            raise self._refused(exc) from exc

    def look(self) -> bool:
        """Tell whether the root is there, and know how it is kept; nothing is made.

        Raises:
            RootUnusable: It is not ours, or cannot be read.
        """
        try:
            if not (self.folder / _ROOT_FILE).exists():
                return False
            self._judge(is_read=True)
            self._compare()
        except OSError as exc:
            raise self._refused(exc) from exc
        return True

    @asynccontextmanager
    async def locked(
        self,
        *,
        shared: bool = False,
        wait_seconds: float = 600.0,
        say: Callable[[str], None] | None = None,
    ) -> AsyncIterator[None]:
        """Have the root alone, or with others who add to it and remove nothing.

        Whoever has it already by this object has it at once.

        Args:
            shared: Only packages and prefixes are added.
            wait_seconds: How long to wait for others; 0: not at all.
            say: Is told who is waited for, once.

        Raises:
            RootUnusable: Another process has it all the time, or it can be no root.
        """
        async with self._turn:
            if self._lock is None:
                await in_thread(self.open)
                mode = 0o644 & ~self.options.umask
                try:
                    self._lock = await acquire(
                        self.path, self.folder / _LOCK_FILE, mode, wait_seconds, say, shared=shared
                    )
                except OSError as exc:
                    raise unusable(self.path, exc) from exc
            self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                os.close(self._lock)
                self._lock = None

    @contextmanager
    def parent(self, path: str, *, is_ours: bool, make: bool = True) -> Iterator[int]:
        """Give a descriptor of the directory that a path is in.

        Args:
            path: Relative to the root.
            is_ours: Nobody else may be able to write there.
            make: What is not there is made.

        Raises:
            PrefixUnusable: Something else is in the way.
            OSError: A directory is not there, or cannot be made.
        """
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            gone: list[str] = []
            for part in path.split("/")[:-1]:
                gone.append(part)
                inner = self._step(descriptor, part, "/".join(gone), is_ours=is_ours, make=make)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def clear(self) -> None:
        """Have whatever was under way go; it belongs to nobody, as the root is ours alone.

        Raises:
            OSError: It cannot be moved or removed.
        """
        for left in self.folder.glob(f"{UNFINISHED}*"):
            left.unlink(missing_ok=True)
        for left in list(self.making.iterdir()):
            left.rename(self.new_trash())
        for left in list((self.packages / MAKING).iterdir()):
            left.rename(self.new_package_trash())

    def prune(self, path: str) -> None:
        """Remove the directories that a path is in as far as nothing is in them."""
        parts = path.split("/")[:-1]
        while parts:
            try:
                with self.parent("/".join(parts), is_ours=False, make=False) as above:
                    os.rmdir(parts[-1], dir_fd=above)
            except (OSError, PrefixUnusable):
                return
            parts.pop()

    def _step(self, above: int, part: str, path: str, *, is_ours: bool, make: bool = True) -> int:
        """Return a descriptor of a directory in another one."""
        is_new = False
        with suppress(FileExistsError):
            if make:
                os.mkdir(part, 0o700, dir_fd=above)
                is_new = True
        try:
            inner = os.open(part, _DIRECTORY, dir_fd=above)
        except OSError as exc:
            if exc.errno not in {errno.ENOTDIR, errno.ELOOP}:
                raise
            raise PrefixUnusable(
                f"{self.path / path} is in the way, as it is no directory: move it elsewhere"
            ) from exc
        try:
            if is_new:
                self._open_to_others(inner)
            elif is_ours:
                self._refuse_others(os.fstat(inner), self.path / path, PrefixUnusable)
        except BaseException:
            os.close(inner)
            raise
        return inner

    def _open_to_others(self, descriptor: int) -> None:
        """Give a directory of ours the mode and group that the root's directories have."""
        if self.options.group is not None:
            os.fchown(descriptor, -1, self.options.group)
        os.fchmod(descriptor, 0o755 & ~self.options.umask)

    def _refuse_others(
        self, found: os.stat_result, path: Path, error: type[PrefixUnusable | RootUnusable]
    ) -> None:
        """Refuse a directory in which others could put links that lead elsewhere."""
        if found.st_uid not in {0, self._owner}:
            raise error(_foreign(path, found.st_uid).message)
        if found.st_mode & _OTHERS_WRITE and not found.st_mode & stat.S_ISVTX:
            raise error(
                f"others than its owner may write in {path}, and could have environments lead"
                f" anywhere: run 'chmod go-w {path}', or use another directory"
            )

    def _open(self) -> None:
        try:
            self.path.mkdir(0o700)
        except FileExistsError:
            pass
        except FileNotFoundError as exc:
            raise RootUnusable(
                f"{self.path.parent} is not there: make it, or have its disk mounted"
            ) from exc
        else:
            descriptor = os.open(self.path, _DIRECTORY)
            try:
                self._open_to_others(descriptor)
            finally:
                os.close(descriptor)
        self._make(FOLDER)
        try:
            self._judge()
        except RootUnusable:
            with suppress(OSError):  # is not empty if it was there before
                self.folder.rmdir()
            raise
        for name in (PACKAGES, MAKING, TRASH):
            self._make(name)
        self._judge_parts()
        for directory in (self.path, self.packages):
            for name in (MAKING, TRASH):
                self._close_to_others(directory / name)
        if self._compare():
            self._write()

    def _make(self, name: str) -> None:
        """Make a directory of the root's own if it is not there."""
        try:
            with opened(self.path) as descriptor:
                os.close(self._step(descriptor, name, name, is_ours=False))
        except PrefixUnusable as exc:
            raise RootUnusable(exc.message) from exc

    def _judge(self, *, is_read: bool = False) -> None:
        """Look whether the root is ours.

        Raises:
            RootUnusable: It is not.
        """
        self._owner = os.geteuid()
        keeper = self.folder.lstat().st_uid
        # On a network's file system, root may be somebody else.
        if keeper != self._owner and not is_read and self._probe() == keeper:
            self._owner = keeper
        if keeper != self._owner and not is_read:
            raise _foreign(self.path, keeper)
        if is_read:
            self._owner = keeper
        self._refuse_others(self.path.stat(), self.path, RootUnusable)

    def _close_to_others(self, path: Path) -> None:
        """Have a directory of the root's own that nobody else can look into."""
        path.mkdir(0o700, exist_ok=True)
        descriptor = os.open(path, _DIRECTORY)
        try:
            self._refuse_others(os.fstat(descriptor), path, RootUnusable)
            os.fchmod(descriptor, 0o700)
        finally:
            os.close(descriptor)

    def _judge_parts(self) -> None:
        for name in (FOLDER, PACKAGES, MAKING, TRASH):
            self._refuse_others((self.path / name).lstat(), self.path / name, RootUnusable)

    def _probe(self) -> int:
        """Return whose a file is that this process makes."""
        probe = self.folder / f"{UNFINISHED}{secrets.token_hex(8)}"
        descriptor = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            return os.fstat(descriptor).st_uid
        finally:
            os.close(descriptor)
            probe.unlink()

    def _refused(self, error: OSError) -> RootUnusable:
        """Return what is said when the file system refuses."""
        if isinstance(error, PermissionError):
            with suppress(OSError):
                owner = self.path.stat().st_uid
                if owner != os.geteuid():
                    return _foreign(self.path, owner)
        return unusable(self.path, error)

    def _compare(self) -> bool:
        """Know how the root was kept before; tell whether something new has to be written down.

        Raises:
            RootUnusable: It was kept in another way.
        """
        known = read_object(self.folder / _ROOT_FILE)
        if known is None:
            return True
        if known.get("format") != _FORMAT:
            raise RootUnusable(
                f"{self.path} is kept by another version of pullforge: use that one, or begin"
                " another root"
            )
        for option, value in self._lasting().items():
            if known.get(option) != value:
                raise RootUnusable(
                    f"{self.path} was begun with {option} {_shown(option, known.get(option))}, not"
                    f" {_shown(option, value)}: say that, or begin another root"
                )
        self._refuse_second_name(known.get("path"))
        layouts = known.get("layouts")
        earlier = [_layout(one) for one in layouts] if isinstance(layouts, list) else []
        present = self.options.layout
        self.layouts = (*(one for one in earlier if one and one != present), present)
        is_last = bool(earlier) and earlier[-1] == present
        return not is_last or known.get("path") != str(self.path)

    def _refuse_second_name(self, known: object) -> None:
        """Refuse a root that is called otherwise than before, unless it was moved."""
        if not isinstance(known, str) or known == str(self.path):
            return
        try:
            is_same = self.path.samefile(known)
        except OSError:
            return
        if is_same:
            raise RootUnusable(
                f"{self.path} is the root that was begun as {known}, which its environments say"
                " they are in: call it so, or begin another root"
            )

    def _lasting(self) -> dict[str, object]:
        """Return the options that decide bytes."""
        options = self.options
        return {
            "platform": options.subdir,
            "driver": options.driver,
            "umask": options.umask,
            "owner": options.owner,
            "group": options.group,
        }

    def _write(self) -> None:
        content = {
            "format": _FORMAT,
            "path": str(self.path),
            **self._lasting(),
            "layouts": [
                [one.builds.text, one.link.text, one.version_link and one.version_link.text]
                for one in self.layouts
            ],
        }
        data = json.dumps(content, indent=1).encode()
        write_whole(self.folder / _ROOT_FILE, data, 0o644 & ~self.options.umask, durable=True)


def unusable(root: Path, error: OSError) -> RootUnusable:
    """Return what is said of a root whose file system refuses."""
    name = error.filename2 or error.filename
    where = os.fsdecode(name) if isinstance(name, str | bytes) else str(root)
    return RootUnusable(
        f"{where} cannot be read or written: {error.strerror or error}; nothing was changed in the"
        f" root {root}"
    )


def _foreign(path: Path, owner: int) -> RootUnusable:
    return RootUnusable(
        f"{path} belongs to user {owner}: run this as that user, or use another directory"
    )


def _shown(option: str, value: object) -> str:
    if option == "umask" and isinstance(value, int):
        return f"{value:04o}"
    return "of the process" if value is None else str(value)


def _layout(written: object) -> Layout | None:
    """Return a layout that was written down, if it can be understood."""
    if not isinstance(written, list) or len(written) != 3:
        return None
    builds, link, version_link = written
    if not isinstance(builds, str) or not isinstance(link, str):
        return None
    try:
        return Layout.of(builds, link, version_link if isinstance(version_link, str) else None)
    except RootUnusable:
        return None
