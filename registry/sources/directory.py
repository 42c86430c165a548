"""Where named environments lead to: what pulling them needs, in memory.

A server's follower of the catalog fills it; each entry is also a document in the store, under
``environments/<namespace>/<environment>``, so that pulls need no database.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pointer:
    """Where the tags of an environment lead to."""

    namespace: str
    environment: str
    #: The key of the active version; ``None``: none is.
    active: str | None
    #: Every version that can be pulled, by its number.
    versions: Mapping[int, str]
    #: What was active from when on, in seconds since 1970; the oldest first.
    activations: tuple[tuple[float, str], ...]
    #: Whether everyone may pull it.
    is_public: bool


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


class Directory:
    """Knows where environments lead to. It is of one event loop; nothing here waits."""

    def __init__(self) -> None:
        self._pointers: dict[str, Pointer] = {}
        self._namespaces: set[str] = set()

    def get(self, namespace: str, environment: str) -> Pointer | None:
        """Return where an environment leads to; ``None``: there is none."""
        return self._pointers.get(f"{namespace}/{environment}")

    def is_namespace(self, slug: str) -> bool:
        """Tell whether there is a namespace of that slug."""
        return slug in self._namespaces

    def put(self, pointer: Pointer, /) -> None:
        """Have an environment lead there."""
        self._pointers[f"{pointer.namespace}/{pointer.environment}"] = pointer

    def remove(self, namespace: str, environment: str, /) -> None:
        """Forget an environment; harmless if it is not known."""
        self._pointers.pop(f"{namespace}/{environment}", None)

    def put_namespace(self, slug: str, /) -> None:
        """Know a namespace."""
        self._namespaces.add(slug)

    def remove_namespace(self, slug: str, /) -> None:
        """Forget a namespace; harmless if it is not known."""
        self._namespaces.discard(slug)

    def names(self) -> Iterator[str]:
        """Yield the repositories of all environments, in no order."""
        return iter(list(self._pointers))
