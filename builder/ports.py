"""What the builder needs from whoever runs it."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, ParamSpec, Protocol, TypeVar

from builder.oci.digest import Digest

P = ParamSpec("P")
Result = TypeVar("Result")

#: What a build is doing, in the order in which it happens.
Stage = Literal["solve", "pypi", "base", "download", "plan", "assemble", "finish"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a build is."""

    stage: Stage
    #: Steps of this stage that are done, of ``total``.
    done: int = 0
    total: int = 0
    #: A line for the log of the build, where there is more to say than how far it is.
    note: str = ""

    @property
    def is_milestone(self) -> bool:
        """Whether a log has it: the start of a stage, the end of a counted one, or a note."""
        return bool(self.note) or self.done == self.total or not self.total

    def __str__(self) -> str:
        """Return words for the user, e.g. ``downloading packages (3 of 35)``."""
        words = {
            "solve": "solving the environment",
            "pypi": "resolving packages of PyPI",
            "base": "fetching the base image",
            "download": "downloading packages",
            "plan": "planning layers",
            "assemble": "assembling layers",
            "finish": "writing the image",
        }[self.stage]
        return f"{words} ({self.done} of {self.total})" if self.total else words


class ProgressListener(Protocol):
    """Receives the progress of a build."""

    def __call__(self, progress: Progress, /) -> None:
        """Receive the progress; must return at once and must not raise."""
        ...


class BuildMetrics(Protocol):
    """Counts costly steps; the registry uses Prometheus, the command line a null object."""

    def solved(self, seconds: float) -> None:
        """Count one run of the solver."""
        ...

    def downloaded(self, size_bytes: int) -> None:
        """Count one package archive fetched from a channel."""
        ...

    def assembled(self, size_bytes: int, seconds: float) -> None:
        """Count one layer made, with the size of its tar."""
        ...


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """One thing in a store."""

    key: str
    size_bytes: int
    #: When it was put there, in seconds since 1970, by the store's clock.
    modified: float


class Store(Protocol):
    """Keeps bytes under keys such as ``blobs/sha256/e3/e3b0…``; the same on disk and in S3.

    A key is one or more segments joined by ``/``; no segment is empty, ``.`` or ``..``.
    What was put is seen by every reader at once and whole, or not at all. Every method raises
    :class:`builder.errors.StoreUnavailable` when the store cannot be reached or is full; nothing
    is left half written then, and the same call may be made again.
    """

    async def size(self, key: str) -> int | None:
        """Return how many bytes are under ``key``, or ``None`` when there is nothing."""
        ...

    async def read(self, key: str) -> bytes | None:
        """Return all bytes under ``key``, or ``None``; for small values."""
        ...

    def stream(self, key: str, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes ``start`` to ``stop`` (exclusive; ``None``: the end), ~1 MiB at a time.

        Raises:
            KeyError: Nothing is under ``key`` (raised before the first chunk).
        """
        ...

    async def write(self, key: str, data: bytes) -> None:
        """Put ``data`` under ``key``, replacing what was there. Idempotent."""
        ...

    async def adopt(self, key: str, path: Path) -> None:
        """Move the verified file at ``path`` to ``key``; idempotent for the store."""
        ...

    async def local_path(self, key: str, scratch: Path) -> Path | None:
        """Return a file with the bytes under ``key`` for reading, or ``None``.

        A store on disk returns its own file; others copy into the directory ``scratch``, or into
        one of their own, where the copy stays for at least an hour.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove ``key`` if it exists."""
        ...

    def entries(self, prefix: str, after: str = "") -> "AsyncIterator[StoreEntry]":
        """Yield what there is under every key that starts with ``prefix``, sorted by key.

        Keys up to ``after``, which need not exist, are left out without being read: a page of a
        long listing costs what is on it.
        """
        ...


class PushedBases(Protocol):
    """Finds base images among what was pushed to this registry."""

    async def hold(self, repository: str, reference: str) -> Digest:
        """Return the digest of what a tag or digest leads to.

        All of it stays in the store from now on, also when it is deleted from its repository:
        locks that name it can be built for ever. Idempotent.

        Raises:
            BaseImageError: The repository has no such image, or parts of it are missing.
            StoreUnavailable: The store does not answer.
        """
        ...


class Workers(Protocol):
    """Runs computation beside the event loop, in processes of its own."""

    async def run(self, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        """Return what ``function(*args)`` returns; it and its arguments can be pickled.

        A caller that is cancelled gets no result; the function itself runs to its end.

        Raises:
            Exception: Whatever the function raised.
            WorkerLost: The process ended before the function did, for example out of memory.
        """
        ...
