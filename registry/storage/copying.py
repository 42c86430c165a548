"""Copying a store into another one, which may be of another kind.

What the target has already is left alone where keys say what is under them (blobs and packages, in
the same size); everything else is written again. So a copy that was interrupted is gone on with by
starting it again, and one made while a server runs is completed by a second one.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from builder.fetch.saving import save_blob
from builder.oci.digest import algorithm_of
from builder.ports import Store, StoreEntry
from registry.storage.content_addressed import digest_of_key
from registry.storage.layout import DATABASE

#: What is larger goes through a file rather than through memory.
_IN_MEMORY_BYTES: Final = 1024 * 1024

#: Is told the size of each thing that has been dealt with.
Listener = Callable[[int], None]


@dataclass(slots=True)
class Copied:
    """The outcome of copying the entries of the source."""

    written: int = 0
    written_bytes: int = 0
    #: What the target had already.
    present: int = 0
    #: Keys whose bytes are not those that they say; these were not copied.
    damaged: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """What has to be copied."""

    entries: Sequence[StoreEntry]
    #: How many entries the target has already.
    present: int

    @property
    def size_bytes(self) -> int:
        """How much has to be copied."""
        return sum(entry.size_bytes for entry in self.entries)


async def plan_copy(source: Store, target: Store) -> CopyPlan:
    """Return what ``target`` lacks; both stores are listed once, and nothing else is asked.

    A database that lies in the directory of a store is none of its content: files of SQLite that
    are written meanwhile are no database (``pullforge database export``).

    Raises:
        StoreUnavailable: One of them does not answer.
    """
    missing: list[StoreEntry] = []
    present = 0
    there = aiter(target.entries(""))
    other = await anext(there, None)
    async for entry in source.entries(""):
        if entry.key.startswith(DATABASE):
            continue
        while other is not None and other.key < entry.key:
            other = await anext(there, None)
        wanted = (entry.key, entry.size_bytes)
        is_same = other is not None and (other.key, other.size_bytes) == wanted
        if is_same and digest_of_key(entry.key) is not None:
            present += 1
        else:
            missing.append(entry)
    return CopyPlan(missing, present)


async def run_copy(
    source: Store,
    target: Store,
    plan: CopyPlan,
    scratch: Path,
    *,
    parallel: int = 8,
    on_progress: Listener = lambda _: None,
) -> Copied:
    """Copy what is planned, ``parallel`` entries at a time; blobs and packages are verified.

    Args:
        source: Where from; only read.
        target: Where to.
        plan: What :func:`plan_copy` returned.
        scratch: A directory for files under way; best on the disk of a target on disk.
        parallel: How many entries are copied at once.
        on_progress: Is told of progress.

    Raises:
        StoreUnavailable: One of the stores does not answer; what was copied so far stays.
    """
    copied = Copied(present=plan.present)
    entries = iter(plan.entries)
    with ThreadPoolExecutor(parallel, thread_name_prefix="copy") as threads:

        async def work() -> None:
            for entry in entries:  # shared: each takes the next
                await _copy(source, target, entry, scratch, threads, copied)
                on_progress(entry.size_bytes)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(parallel):
                    group.create_task(work())
        except ExceptionGroup as exc:
            raise exc.exceptions[0] from exc
    return copied


async def _copy(
    source: Store,
    target: Store,
    entry: StoreEntry,
    scratch: Path,
    threads: ThreadPoolExecutor,
    copied: Copied,
) -> None:
    digest = digest_of_key(entry.key)
    if digest is None and entry.size_bytes <= _IN_MEMORY_BYTES:
        data = await source.read(entry.key)
        if data is None:  # deleted since it was listed
            return
        await target.write(entry.key, data)
    else:
        path = scratch / f"copy-{secrets.token_hex(8)}"
        try:
            algorithm = algorithm_of(digest) if digest is not None else "sha256"
            found = await save_blob(source.stream(entry.key), path, threads, algorithm)
            if digest not in {None, found}:
                copied.damaged.append(entry.key)
                return
            await target.adopt(entry.key, path)
        except KeyError:
            return
        finally:
            await asyncio.to_thread(path.unlink, missing_ok=True)
    copied.written += 1
    copied.written_bytes += entry.size_bytes
