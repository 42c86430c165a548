"""Which versions are to be wherever environments are kept as directories.

Every machine that keeps some asks again and again, so that nothing is read for it: all is in the
memory of the server already, which follows the database.

::

    where environments lead to ─→ seen, and wished ─→ not blocked ─→ a listing, kept until something
                                                                     changes
"""

import asyncio
import hashlib
import heapq
import json
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from builder.concurrency.single_flight import together
from registry.auth.roles import glob_matches
from registry.catalog.records import Visibility
from registry.catalog.visibility import seen_by
from registry.errors import ParameterInvalid
from registry.sources.directory import Pointer

#: The most that one listing has.
MAX_VERSIONS: Final = 100_000
#: Listings that are kept, and how large all of them are together at most.
_KEPT: Final = 256
_KEPT_BYTES: Final = 64 * 1024 * 1024
#: So many keys are held against the blocks at once.
_BATCH: Final = 16


class Pointers(Protocol):
    """Knows where environments lead to; :class:`registry.sources.directory.Directory`."""

    @property
    def generation(self) -> int:
        """A number that is another one after each change."""
        ...

    def pointers(self) -> Sequence[Pointer]:
        """Return all of them by namespace and environment."""
        ...


class BlockedKeys(Protocol):
    """Knows which builds are blocked; :class:`registry.images.blocked.BlockedBuilds`."""

    @property
    def generation(self) -> int:
        """A number that is another one after each change."""
        ...

    def keys(self) -> Collection[str]:
        """Return the keys of all builds that are blocked, without those of their variants."""
        ...

    def is_clear(self, name: str) -> bool:
        """Tell whether it is known that a build is not blocked."""
        ...

    async def sentence(self, key: str | None) -> str | None:
        """Return why nobody may have a build; ``None``: it may be had."""
        ...


@dataclass(frozen=True, slots=True)
class Wish:
    """Of whom, and of which versions, a listing is."""

    visible: Visibility
    #: Namespaces and environments, as globs; none: all.
    only: tuple[tuple[str, str], ...] = ()
    #: How many built versions of each environment beside the active one, the newest first;
    #: ``None``: all.
    versions: int | None = 0


@dataclass(frozen=True, slots=True)
class Listing:
    """All versions that somebody wishes."""

    #: As JSON.
    data: bytes
    #: With its quotes; equal listings have equal ones.
    etag: str


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What a listing may have."""

    #: Environments, each with the numbers of some of its versions.
    versions: Sequence[tuple[Pointer, Sequence[int]]]
    #: The keys, blocked themselves, of any versions of environments that are seen.
    blocked: Collection[str]


class ActiveVersions:
    """Lists versions; it is of one event loop.

    Args:
        pointers: Where environments lead to.
        blocked: Which builds are blocked.
    """

    def __init__(self, pointers: Pointers, blocked: BlockedKeys) -> None:
        self._pointers = pointers
        self._blocked = blocked
        self._rendering = asyncio.Lock()
        self._stamp: tuple[int, int] | None = None
        self._listings: OrderedDict[Wish, Listing] = OrderedDict()
        #: Keys that are not blocked, as long as nothing of the blocks changes.
        self._clear: set[str] = set()
        self._clear_at: int | None = None
        #: The part of listings that the active version of each environment is, by its path.
        self._parts: dict[str, tuple[Pointer, bytes]] = {}

    async def list(self, wish: Wish) -> Listing:
        """Return what there is at this moment.

        Raises:
            ParameterInvalid: These are too many.
        """
        # One after the other: whoever wishes the same finds it made, and others are served.
        async with self._rendering:
            stamp = (self._pointers.generation, self._blocked.generation)
            if stamp != self._stamp:
                self._listings.clear()
                self._stamp = stamp
            known = self._listings.get(wish)
            if known is not None:
                self._listings.move_to_end(wish)
                return known
            chosen = await asyncio.to_thread(
                _chosen, self._pointers.pointers(), wish, frozenset(self._blocked.keys())
            )
            refused, is_certain = await self._refused(chosen)
            listing = await asyncio.to_thread(self._listing, chosen, refused)
            if is_certain:
                self._keep(wish, listing)
            return listing

    async def _refused(self, chosen: _Chosen) -> tuple[set[str], bool]:
        """Return the keys that nobody may have, and whether that is known for certain."""
        if self._clear_at != self._blocked.generation:
            self._clear, self._clear_at = set(), self._blocked.generation
        clear = self._clear
        keys = {
            key
            for pointer, numbers in chosen.versions
            for number in numbers
            if (key := pointer.versions[number]) not in clear and not self._blocked.is_clear(key)
        }
        # Of versions that are not wished, variants are not looked for: each would be read.
        refused: set[str] = set(chosen.blocked)
        is_certain = True
        order = sorted(keys - refused)
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            told = await together(self._blocked.sentence(key) for key in batch)
            for key, sentence in zip(batch, told, strict=True):
                if sentence is not None:
                    refused.add(key)
                elif self._blocked.is_clear(key):
                    clear.add(key)
                else:  # the store does not answer: it may be a variant of one that is blocked
                    is_certain = False
        return refused, is_certain

    def _listing(self, chosen: _Chosen, refused: Collection[str]) -> Listing:
        """Return a listing of versions; some milliseconds for thousands."""
        parts = [part for one in chosen.versions for part in self._parts_of(*one, refused)]
        blocked = json.dumps(sorted(refused), separators=(",", ":")).encode()
        data = b'{"items":[' + b",".join(parts) + b'],"blocked":' + blocked + b"}"
        return Listing(data, f'"{hashlib.sha256(data).hexdigest()[:32]}"')

    def _parts_of(
        self, pointer: Pointer, numbers: Sequence[int], refused: Collection[str]
    ) -> Iterator[bytes]:
        for number in numbers:
            if pointer.versions[number] in refused:
                continue
            if number != pointer.active_number:
                yield _part(pointer, number)
                continue
            path = f"{pointer.namespace}/{pointer.environment}"
            known = self._parts.get(path)
            if known is None or known[0] is not pointer:
                known = self._parts[path] = (pointer, _part(pointer, number))
            yield known[1]

    def _keep(self, wish: Wish, listing: Listing) -> None:
        self._listings[wish] = listing
        size_bytes = sum(len(one.data) for one in self._listings.values())
        while len(self._listings) > _KEPT or size_bytes > _KEPT_BYTES:
            _, oldest = self._listings.popitem(last=False)
            size_bytes -= len(oldest.data)
        if len(self._parts) > 2 * len(self._pointers.pointers()):
            self._parts.clear()


def _chosen(pointers: Sequence[Pointer], wish: Wish, blocked: Collection[str]) -> _Chosen:
    """Return what is wished, in the order of ``pointers``; of ``blocked``, what is seen.

    Raises:
        ParameterInvalid: It is too much.
    """
    sees, is_wished = seen_by(wish.visible), _wished_by(wish.only)
    found: list[tuple[Pointer, Sequence[int]]] = []
    of_seen: set[str] = set()
    count = 0
    for pointer in pointers:
        namespace, environment = pointer.namespace, pointer.environment
        if not (sees(namespace, environment) and is_wished(namespace, environment)):
            continue
        if blocked:
            of_seen.update(key for key in pointer.versions.values() if key in blocked)
        numbers = () if pointer.is_archived else _numbers(pointer, wish.versions)
        if numbers:
            found.append((pointer, numbers))
            count += len(numbers)
    if count > MAX_VERSIONS:
        raise ParameterInvalid(
            f"these are {count} versions, and {MAX_VERSIONS} are told at once: ask for fewer"
            " environments with 'only', or for fewer of their 'versions'"
        )
    return _Chosen(found, of_seen)


def _wished_by(only: Sequence[tuple[str, str]]) -> Callable[[str, str], bool]:
    """Return what tells of a namespace and an environment in it whether it is wished."""
    if not only:
        return lambda _namespace, _environment: True
    inside: dict[str, tuple[frozenset[str], list[str]]] = {}

    def is_wished(namespace: str, environment: str) -> bool:
        found = inside.get(namespace)
        if found is None:
            globs = [two for one, two in only if glob_matches(one, namespace)]
            exact = frozenset(glob for glob in globs if "*" not in glob)
            found = inside[namespace] = (exact, [glob for glob in globs if "*" in glob])
        return environment in found[0] or any(glob_matches(one, environment) for one in found[1])

    return is_wished


def _numbers(pointer: Pointer, versions: int | None) -> Sequence[int]:
    """Return which versions of an environment are wished, sorted."""
    active = pointer.active_number
    is_there = active is not None and active in pointer.versions
    if versions is None:
        return sorted(pointer.versions)
    if versions == 0:
        return (active,) if is_there and active is not None else ()
    others = (number for number in pointer.versions if number != active)
    newest = heapq.nlargest(versions, others)
    return sorted([*newest, active] if is_there and active is not None else newest)


def _part(pointer: Pointer, number: int) -> bytes:
    created = datetime.fromtimestamp(pointer.created[number], UTC)
    content = {
        "namespace": pointer.namespace,
        "environment": pointer.environment,
        "number": number,
        "key": pointer.versions[number],
        "is_active": number == pointer.active_number,
        "created_at": created.isoformat().replace("+00:00", "Z"),
    }
    return json.dumps(content, separators=(",", ":")).encode()
