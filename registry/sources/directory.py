"""Where named environments lead to: what pulling them needs, in memory.

A server's follower of the catalog fills it; each entry is also a document in the store, under
``environments/<namespace>/<environment>``, so that pulls need no database.
"""

import bisect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from builder.keys import segment
from registry.storage.layout import repository_in


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where the tags of an environment lead to."""

    namespace: str
    environment: str
    #: The key of the active version; ``None``: none is.
    active: str | None
    #: Every version that can be pulled, by its number.
    versions: Mapping[int, str]
    #: What was active from when on, in seconds since 1970; the oldest first, of each day the last.
    activations: tuple[tuple[float, str], ...]
    #: Whether everyone may pull it.
    is_public: bool
    #: What follows is not in the document, as images can be pulled without it. The number of the
    #: active version.
    active_number: int | None = field(default=None, compare=False)
    #: When versions were asked for, in seconds since 1970, by number.
    created: Mapping[int, float] = field(default_factory=dict, compare=False)
    #: Whether it takes no new version.
    is_archived: bool = field(default=False, compare=False)


def dump_pointer(pointer: Pointer) -> bytes:
    """Return the document of a pointer; equal pointers have equal documents."""
    content = {
        "namespace": pointer.namespace,
        "environment": pointer.environment,
        "active": pointer.active,
        "versions": {str(number): key for number, key in sorted(pointer.versions.items())},
        "activations": [list(one) for one in pointer.activations],
        "public": pointer.is_public,
    }
    return json.dumps(content, separators=(",", ":")).encode()


def parse_pointer(data: bytes) -> Pointer:
    """Return what :func:`dump_pointer` wrote.

    >>> pointer = Pointer("a", "b", "k", {1: "k"}, ((0.5, "k"),), True)
    >>> parse_pointer(dump_pointer(pointer)) == pointer
    True
    """
    content = json.loads(data)
    return Pointer(
        content["namespace"],
        content["environment"],
        content["active"],
        {int(number): key for number, key in content["versions"].items()},
        tuple((at, key) for at, key in content["activations"]),
        content["public"],
    )


def dump_namespace(slug: str) -> bytes:
    """Return the document of a namespace: that there is one."""
    return json.dumps({"namespace": slug}, separators=(",", ":")).encode()


class Directory:
    """Knows where environments lead to. It is of one event loop; nothing here waits."""

    def __init__(self) -> None:
        self._pointers: dict[str, Pointer] = {}
        self._namespaces: set[str] = set()
        #: The names as segments of keys: in the order in which repositories are listed.
        self._ordered: list[str] = []
        #: A number that is another one after each change of where environments lead to.
        self.generation = 0
        #: All of them in order, with the generation of which they are.
        self._all: tuple[int, Sequence[Pointer]] = (0, ())

    def __contains__(self, repository: str) -> bool:
        """Tell whether a repository's name is that of an environment."""
        return repository in self._pointers

    def find(self, repository: str) -> Pointer | None:
        """Return where the environment of a repository's name leads to; ``None``: it is of none."""
        return self._pointers.get(repository)

    def get(self, namespace: str, environment: str) -> Pointer | None:
        """Return where an environment leads to; ``None``: there is none."""
        return self._pointers.get(f"{namespace}/{environment}")

    @property
    def has_namespaces(self) -> bool:
        """Whether there is any namespace."""
        return bool(self._namespaces)

    def is_namespace(self, slug: str) -> bool:
        """Tell whether there is a namespace of that slug."""
        return slug in self._namespaces

    def is_public(self, namespace: str, environment: str) -> bool:
        """Tell whether everyone may pull an environment, as its pointer has it."""
        pointer = self.get(namespace, environment)
        return pointer is not None and pointer.is_public

    def put(self, pointer: Pointer, /) -> None:
        """Have an environment lead there."""
        name = f"{pointer.namespace}/{pointer.environment}"
        if name not in self._pointers:
            bisect.insort(self._ordered, segment(name))
        self._pointers[name] = pointer
        self.generation += 1

    def remove(self, namespace: str, environment: str, /) -> None:
        """Forget an environment; harmless if it is not known."""
        name = f"{namespace}/{environment}"
        if self._pointers.pop(name, None) is not None:
            self.generation += 1
            del self._ordered[bisect.bisect_left(self._ordered, segment(name))]

    def put_namespace(self, slug: str, /) -> None:
        """Know a namespace."""
        self._namespaces.add(slug)

    def remove_namespace(self, slug: str, /) -> None:
        """Forget a namespace; harmless if it is not known."""
        self._namespaces.discard(slug)

    def pointers(self) -> Sequence[Pointer]:
        """Return where all environments lead to, by namespace and environment."""
        if self._all[0] != self.generation:
            found = [self._pointers[repository_in(one)] for one in self._ordered]
            self._all = (self.generation, found)
        return self._all[1]

    def names(self) -> Iterator[str]:
        """Yield the repositories of all environments, in no order."""
        return iter(list(self._pointers))

    def names_after(self, last: str, limit: int) -> list[str]:
        """Return the next repositories of environments, in the order of ``/v2/_catalog``.

        In it, ``/`` is before all other characters.
        """
        start = bisect.bisect_right(self._ordered, segment(last)) if last else 0
        return [repository_in(one) for one in self._ordered[start : start + limit]]
