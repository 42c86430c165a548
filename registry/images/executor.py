"""Where solves and builds are carried out: in this process, or by workers elsewhere."""

from dataclasses import dataclass
from typing import Protocol

from builder.build.image import Flavour
from builder.inputs import PackageList
from builder.lock import Lock
from builder.oci.digest import Digest
from builder.ports import ProgressListener
from builder.spec import EnvironmentSpec


@dataclass(frozen=True, slots=True)
class TimedLock:
    """What a spec means."""

    lock: Lock
    #: When it was solved, in seconds since 1970.
    solved_at: float


@dataclass(frozen=True, slots=True)
class StoredImage:
    """Where the documents of an image are, in one flavour."""

    #: The index, or the only manifest.
    top: Digest
    #: The manifest for clients that take no index.
    first: Digest


class Executor(Protocol):
    """Carries out what costs.

    Everything it does is idempotent: done twice, it gives the same, and does no harm. A caller that
    is cancelled gets no result, and the work goes on for others who wait for it. Beside the errors
    of each method, all raise :class:`builder.errors.StoreUnavailable` when the store cannot be
    used, and those that have workers elsewhere ``WorkersUnavailable`` and ``WorkersBusy``.
    """

    async def solve(
        self, spec: EnvironmentSpec, on_progress: ProgressListener, *, max_age: float
    ) -> TimedLock:
        """Return what ``spec`` means now, or meant up to ``max_age`` seconds ago; store nothing.

        The rules that it names are in the store.

        Raises:
            BuilderError: As :meth:`builder.resolve.resolver.Resolver.lock`.
        """
        ...

    async def complete(self, packages: PackageList, on_progress: ProgressListener) -> Lock:
        """Return the lock of packages that another tool has chosen; nothing is stored.

        Raises:
            BuilderError: As :meth:`builder.resolve.resolver.Resolver.complete`.
        """
        ...

    async def build(
        self, lock: Lock, flavour: Flavour, on_progress: ProgressListener
    ) -> StoredImage:
        """Return the image of ``lock``: every blob, the lock and where all of it is are stored.

        Raises:
            BuilderError: As :meth:`builder.build.pipeline.Pipeline.build`.
        """
        ...
