"""A branch of a repository that is fetched with git, into a bare one of its own.

Nothing is ever checked out: no file of the repository is on disk but packed, no hook, filter or
submodule of it has a meaning, and git reads no settings of this machine or of a user. Files that
are too large to be read are not fetched, if the other side can leave them out. A link counts as in
a directory: where it leads to within the tree, it is the file that it leads to.
"""

import asyncio
import posixpath
import shutil
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

from builder.network.index_limits import used_bytes
from registry.errors import SourceUnreachable
from registry.watcher.git_program import Git, Repository
from registry.watcher.names import shown_path, unwritable
from registry.watcher.trees import Listing, TreeFile, Wants

#: The most files of a repository, wanted or not.
MAX_FILES: Final = 200_000
#: What a repository may take on disk.
_MAX_BYTES: Final = 2 * 1024**3
#: With more packs than this it is fetched anew: git packs none again here.
_MAX_PACKS: Final = 50
#: What took longer is slow.
_SLOW_SECONDS: Final = 10.0
_REF: Final = "refs/pullforge/head"
#: So many links are followed, and none that is longer.
_MAX_LINKS: Final = 1000
_LONG: Final = 4096
#: How much is read at once, beside what is asked for.
_BATCH_BYTES: Final = 8 * 1024**2
_BATCH: Final = 500

#: What it may take of a processor to find the wanted files.
_MAX_CPU_SECONDS: Final = 60
_FILE: Final = "100"
_LINK: Final = "120"


@dataclass(frozen=True, slots=True)
class _Entry:
    #: The first digits of its mode in git.
    kind: str
    blob: str


class Slots:
    """How many repositories are fetched at once; the slow ones among them have half of the places.

    So a host that takes its time keeps nobody waiting but those that are as slow.
    """

    def __init__(self, most: int) -> None:
        self._all = asyncio.Semaphore(most)
        self._slow = asyncio.Semaphore(max(1, most // 2))

    @asynccontextmanager
    async def one(self, *, is_slow: bool) -> AsyncIterator[None]:
        """Have a place."""
        async with self._slow if is_slow else nullcontext(), self._all:
            yield


class GitTree:
    """Implements :class:`registry.watcher.trees.Tree` for a branch of a repository.

    Args:
        repository: What is fetched.
        directory: Where it is kept, which may be lost; nothing else is there.
        max_bytes: Larger files are not read.
        network: The variables by which git gets out.
        slots: How many repositories are fetched at once; ``None``: it waits for no other.
    """

    def __init__(
        self,
        repository: Repository,
        directory: Path,
        max_bytes: int,
        network: Mapping[str, str] | None = None,
        slots: Slots | None = None,
    ) -> None:
        self._slots = slots or Slots(1)
        #: Whether it took long the last time.
        self._is_slow = False
        self._repository = repository
        self._directory = directory
        self._max_bytes = max_bytes
        self._git = Git(repository, directory, max_bytes, network or {})
        self._commit = ""
        self._entries: Mapping[str, _Entry] = {}
        #: Of blobs that are here; the others are larger than what is read.
        self._sizes: dict[str, int] = {}
        #: Those of the last look, in the order in which they are read, and what was read of them.
        self._wanted: list[str] = []
        self._order: Mapping[str, int] = {}
        self._read: dict[str, bytes] = {}

    async def list(self, wants: Wants) -> Listing:
        """Return the wanted files as the branch has them now; it is fetched first.

        Raises:
            SourceUnreachable: It cannot be fetched, or has no such branch or folder.
        """
        self._read.clear()
        commit = await self._fetched()
        if commit != self._commit:
            self._entries = await self._listed(commit)
            self._sizes.clear()
            self._commit = commit
        blobs, problems = await asyncio.to_thread(self._chosen, wants)
        await self._measure(set(blobs.values()))
        files = {}
        for path, blob in blobs.items():
            size = self._sizes.get(blob)
            if size is None or size > self._max_bytes:
                problems[path] = f"it has more than {self._max_bytes} bytes, and is not read"
            else:
                files[path] = TreeFile(path, blob, size)
        self._wanted = list(dict.fromkeys(file.token for file in files.values()))
        self._order = {blob: place for place, blob in enumerate(self._wanted)}
        return Listing(files, problems, commit=commit)

    async def read(self, file: TreeFile) -> bytes | None:
        """Return the bytes of a file that was listed; ``None``: it is another one by now.

        Raises:
            SourceUnreachable: What was fetched is gone or broken.
        """
        if file.token not in self._order:
            return None
        if file.token not in self._read:
            if sum(map(len, self._read.values())) > _BATCH_BYTES:
                self._read.clear()
            self._read |= await self._git.blobs(self._batch(file.token))
        return self._read.get(file.token)

    def _batch(self, first: str) -> Sequence[str]:
        """Return a blob and those that will be read next: to start git for each takes long."""
        size, found = 0, [first][:0]
        start = self._order[first]
        for blob in self._wanted[start : start + _BATCH]:
            if blob in self._read:
                continue
            size += self._sizes[blob]
            if found and size > _BATCH_BYTES:
                break
            found.append(blob)
        return found

    async def _fetched(self) -> str:
        """Return the commit that the branch is at now, and have it here."""
        if self._git.is_doubtful or await asyncio.to_thread(self._is_worn):
            await asyncio.to_thread(shutil.rmtree, self._directory, ignore_errors=True)
        try:
            async with self._slots.one(is_slow=self._is_slow):
                began = time.monotonic()
                try:
                    await self._git.prepare()
                    return await self._git.fetch(_REF)
                finally:
                    self._is_slow = time.monotonic() - began > _SLOW_SECONDS
        except OSError as exc:
            raise SourceUnreachable(
                f"the scratch directory of the server cannot be used: {exc.strerror or exc}"
            ) from exc

    def _is_worn(self) -> bool:
        packs = len(list((self._directory / "objects" / "pack").glob("*.pack")))
        return packs > _MAX_PACKS or used_bytes(self._directory) > _MAX_BYTES

    async def _listed(self, commit: str) -> Mapping[str, _Entry]:
        folder = self._repository.folder.strip("/")
        # Whoever owns the repository says how much there is of it: nobody waits for it to be read.
        entries = await asyncio.to_thread(_entries, await self._git.tree(commit, folder))
        targets = await self._targets(commit, entries)
        return await asyncio.to_thread(_with_linked, entries, targets)

    async def _targets(self, commit: str, entries: Mapping[str, _Entry]) -> Mapping[str, bytes]:
        """Return what links say, by their blobs."""
        links = (one.blob for one in entries.values() if one.kind == _LINK)
        blobs = set(islice(links, _MAX_LINKS))
        sizes = await self._git.sizes(commit, blobs)
        return await self._git.blobs([blob for blob in blobs if sizes.get(blob, _LONG) < _LONG])

    def _chosen(self, wants: Wants) -> tuple[dict[str, str], dict[str, str]]:
        """Return the blobs of the wanted files, and why others cannot be used, by path."""
        blobs: dict[str, str] = {}
        problems: dict[str, str] = {}
        until = time.thread_time() + _MAX_CPU_SECONDS
        for path, entry in self._entries.items():
            if time.thread_time() > until:
                raise SourceUnreachable("to look at it takes too long: give it simpler patterns")
            # Submodules are of a third kind, and are other repositories.
            if entry.kind not in {_FILE, _LINK} or not wants(path):
                continue
            if reason := unwritable(path):
                problems[shown_path(path)] = reason
            elif entry.kind == _LINK:
                problems[path] = "it is a link to something that is not in the source"
            else:
                blobs[path] = entry.blob
        return blobs, problems

    async def _measure(self, blobs: set[str]) -> None:
        missing = blobs - self._sizes.keys()
        if missing:
            self._sizes |= await self._git.sizes(self._commit, missing)


def _entries(listed: bytes) -> dict[str, _Entry]:
    """Return what ``git ls-tree`` tells, by path."""
    entries = {}
    for line in listed.split(b"\0")[:-1]:
        about, _, name = line.partition(b"\t")
        mode, _, blob = about.decode().split(" ")
        path = name.decode("utf-8", "surrogateescape")
        entries[path] = _Entry(mode[:3], blob)
        if len(entries) > MAX_FILES:
            raise _too_many()
    return entries


def _with_linked(
    entries: Mapping[str, _Entry], targets: Mapping[str, bytes]
) -> Mapping[str, _Entry]:
    """Return what is not hidden, and what is found by links: a file, or all that is in a folder."""
    paths = sorted(entries)
    found: dict[str, _Entry] = {}
    for path, link in entries.items():
        written = targets.get(link.blob, b"") if link.kind == _LINK else b""
        if not written:
            continue
        place = posixpath.join(posixpath.dirname(path), written.decode("utf-8", "surrogateescape"))
        target = posixpath.normpath(place)
        if target in entries:
            found[path] = entries[target]
        elif not target.startswith(("..", "/")) and not f"{path}/".startswith(f"{target}/"):
            below = f"{target}/"
            for one in _beginning_with(below, paths):
                found[f"{path}/{one.removeprefix(below)}"] = entries[one]
                if len(found) > MAX_FILES:
                    raise _too_many()
    return {path: one for path, one in {**entries, **found}.items() if not _is_hidden(path)}


def _beginning_with(beginning: str, paths: Sequence[str]) -> Iterator[str]:
    """Yield those of the paths, which are in order, that begin so."""
    for place in range(bisect_left(paths, beginning), len(paths)):
        if not paths[place].startswith(beginning):
            return
        yield paths[place]


def _is_hidden(path: str) -> bool:
    return path.startswith(".") or "/." in path


def _too_many() -> SourceUnreachable:
    return SourceUnreachable(
        f"there are more than {MAX_FILES} files in it, which is the most: have a folder of it"
        " looked into"
    )
