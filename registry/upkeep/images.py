"""Images that stand on this server's disk for a while, so that a command can be run in them."""

import asyncio
import secrets
import shutil
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import structlog

from builder.build.image import variables_of
from builder.errors import SandboxUnavailable, StoreUnavailable
from builder.exports.exports import Exports
from builder.exports.image_tree import read_manifest
from builder.keys import blob_key
from builder.lock import Lock
from builder.oci.digest import Digest
from builder.oci.models import ImageConfig
from builder.platforms import Subdir
from builder.ports import Progress, Store, Workers
from builder.sandbox.rooted import MOUNTS, WRITABLE, rooted_command
from builder.sandbox.sandbox import Sandbox, ensure_works
from builder.sandbox.trial import Trial, TrialLimits, run_trial
from registry.errors import ImageUnfit
from registry.storage.trees import remove_tree
from registry.upkeep.image_root import has_file, unpack_layers
from registry.upkeep.prefix_root import prefix_command, unpack_prefix

#: Runs a command of a shell; ends it when it is cancelled, or when the event is set.
RunCommand = Callable[[str, TrialLimits, threading.Event], Awaitable[Trial]]

#: Nobody else sees what there is beside an image that everybody may pass to.
_CLOSED: Final = 0o711
_MOST_BYTES: Final = 64 << 30
#: Packages are chosen by whoever set the channels; a command is anything that an editor writes.
_NO_SANDBOX: Final = (
    "this server has no sandbox, and a test command runs in one alone: its administrator has to let"
    " bubblewrap or landlock work (PULLFORGE_SANDBOX=none)"
)
_LOST: Final = "the store lost a file of the image: it is tested again"


@dataclass(frozen=True, slots=True)
class _Start:
    """How a command is started: arguments of :func:`run_trial`."""

    argv: list[str]
    written: tuple[str | Path, ...]
    user: int | None = None
    directory: Path = Path("/")


class ImagePlaces:
    """Unpacks images into the scratch, and removes them.

    Args:
        store: Has their blobs.
        forms: Builds what is not there.
        workers: Unpack.
        sandbox: What commands run in.
        scratch: A directory on a disk with room.
        subdir: This machine's platform.
    """

    def __init__(
        self,
        store: Store,
        forms: Exports,
        workers: Workers,
        sandbox: Callable[[], Awaitable[Sandbox]],
        scratch: Path,
        subdir: Subdir,
    ) -> None:
        self._store = store
        self._forms = forms
        self._workers = workers
        self._sandbox = sandbox
        self._scratch = scratch
        self._subdir = subdir

    @asynccontextmanager
    async def open(self, lock: Lock) -> AsyncIterator[RunCommand]:
        """Give what runs commands in the image of a lock; it is gone on exit.

        Raises:
            ImageUnfit: Nothing can be run in it, or not here.
            SandboxUnavailable: There is nothing to run it in.
            BuilderError: It is not in the store any more, and cannot be built.
        """
        if self._subdir not in lock.platforms:
            raise ImageUnfit(
                f"the environment is not for {self._subdir}, and this server's machine is nothing"
                " else, so it cannot be tested here"
            )
        if lock.base is None:
            raise ImageUnfit(
                "the image has no base, and so no /bin/sh to run the test command with: choose a"
                " base image that has one, or leave the test command out"
            )
        sandbox = await self._sandbox()
        if sandbox.kind == "none":
            raise SandboxUnavailable(_NO_SANDBOX)
        directory = self._scratch / f"test-{secrets.token_hex(8)}"
        try:
            await asyncio.to_thread(_make_closed, directory)
            if sandbox.kind == "bwrap":
                start = await self._rooted(lock, sandbox, directory)
            else:
                start = await self._in_prefix(lock, sandbox, directory)

            async def run(command: str, limits: TrialLimits, stopping: threading.Event) -> Trial:
                return await _run(partial(start, command, limits), sandbox, limits, stopping)

            yield run
        finally:
            await asyncio.to_thread(_remove, directory)

    async def _rooted(
        self, lock: Lock, sandbox: Sandbox, directory: Path
    ) -> Callable[[str, TrialLimits], _Start]:
        tree = await self._forms.tree(lock, "oci-zstd", _ignore)
        manifest = await read_manifest(self._store, tree.manifests[self._subdir].digest)
        config = await self._store.read(blob_key(manifest.config.digest))
        layers = [await self._local(layer.digest) for layer in manifest.layers]
        if config is None:
            raise StoreUnavailable(_LOST)
        container = ImageConfig.model_validate_json(config).config
        root = directory / "root"
        most = min(_MOST_BYTES, shutil.disk_usage(directory).free // 2)
        await self._workers.run(unpack_layers, layers, root, MOUNTS, most)
        if not await asyncio.to_thread(has_file, root, "/bin/sh"):
            raise ImageUnfit(
                "the base image has no /bin/sh to run the test command with: choose one that has,"
                " or leave the test command out"
            )
        variables = {name: value for name, value in variables_of(container).items() if name}

        def start(command: str, limits: TrialLimits) -> _Start:
            made = rooted_command(sandbox.bwrap, root, command, variables, limits)
            return _Start(list(made.argv), tuple(WRITABLE), made.user)

        return start

    async def _in_prefix(
        self, lock: Lock, sandbox: Sandbox, directory: Path
    ) -> Callable[[str, TrialLimits], _Start]:
        form = await self._forms.get(lock, "archive.tar.zst", self._subdir, _ignore)
        archive = await self._store.local_path(form.key, self._scratch)
        if archive is None:
            raise StoreUnavailable(_LOST)
        root, work = directory / "root", directory / "work"
        await self._workers.run(unpack_prefix, archive, root, sandbox)
        await asyncio.to_thread(work.mkdir)

        def start(command: str, limits: TrialLimits) -> _Start:
            argv = prefix_command(sandbox, root, work, command, limits)
            return _Start(argv, (work,), directory=work)

        return start

    async def _local(self, digest: Digest) -> Path:
        path = await self._store.local_path(blob_key(digest), self._scratch)
        if path is None:
            raise StoreUnavailable(_LOST)
        return path


async def _run(
    start: Callable[[], _Start], sandbox: Sandbox, limits: TrialLimits, stopping: threading.Event
) -> Trial:
    work = asyncio.ensure_future(asyncio.to_thread(_try, start, sandbox, limits, stopping))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        stopping.set()
        await asyncio.wait({work})  # its directory is removed next
        raise


def _try(
    start: Callable[[], _Start], sandbox: Sandbox, limits: TrialLimits, stopping: threading.Event
) -> Trial:
    made = start()
    try:
        trial = run_trial(
            made.argv,
            limits,
            stopping,
            written=made.written,
            user=made.user,
            directory=made.directory,
        )
    except OSError as exc:
        raise ImageUnfit(f"the test command cannot be started: {exc.strerror}") from exc
    if trial.status and trial.output.startswith(f"{sandbox.kind}: ".encode()):
        ensure_works(sandbox)
    return trial


def _make_closed(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(_CLOSED)


def _remove(directory: Path) -> None:
    try:
        remove_tree(directory)
    except OSError as exc:  # the scratch is removed as a whole when this server ends
        structlog.get_logger().warning("an image that was tested is left", reason=str(exc))


def _ignore(_progress: Progress) -> None:
    """Nobody waits for it."""
