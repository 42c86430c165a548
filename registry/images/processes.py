"""Worker processes of this server: where layers are assembled and archives read."""

import asyncio
import importlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
from typing import Final, ParamSpec, TypeVar

from builder.concurrency.priority import NICENESS, PrioritySemaphore
from builder.errors import MachineUnavailable, WorkerLost
from builder.system_errors import machine_errors

#: What the first layer needs.
_NEEDED: Final = ("builder.install.assemble", "builder.lock.conda_lock_models")

#: The most bytes that the path of a socket has, without what multiprocessing gives it:
#: ``/pymp-12345678/listener-12345678``.
_LONGEST_DIRECTORY: Final = 107 - 32

P = ParamSpec("P")
Result = TypeVar("Result")


class LocalProcesses:
    """A pool of processes on this machine; implements :class:`builder.ports.Workers`.

    When a process dies, for example killed for its memory, what was running fails with
    :class:`WorkerLost` and the next call starts a new pool.
    """

    def __init__(self, count: int) -> None:
        """Make the pool; processes start with the first call.

        Args:
            count: How many processes compute at once.
        """
        self._count = count
        self._pool: ProcessPoolExecutor | None = None
        # One more than compute, so that no process waits for what comes next.
        self._slots = PrioritySemaphore(count + 1)

    async def start(self) -> None:
        """Start the processes now, so that the first call does not wait for them."""
        await asyncio.gather(*(self.run(_load) for _ in range(self._count)))

    async def run(self, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        """Return what the function returns; see :meth:`builder.ports.Workers.run`."""
        assert not kwargs, "arguments are positional, as the pool takes them"
        async with self._slots.slot():
            pool = self._pool = self._pool or self._new_pool()
            try:
                with machine_errors():
                    computing = asyncio.get_running_loop().run_in_executor(pool, function, *args)
            except MachineUnavailable:  # no process could be started: the pool is in pieces
                self._pool = None
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            try:
                return await computing
            except BrokenProcessPool as exc:
                if self._pool is pool:
                    self._pool = None
                raise WorkerLost(
                    "a process that was assembling the image died, perhaps for lack of memory;"
                    " pull again"
                ) from exc

    def close(self) -> None:
        """Terminate the processes; their running computations are lost."""
        if self._pool is not None:
            processes = list((self._pool._processes or {}).values())  # noqa: SLF001 - no public way to stop them
            self._pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.terminate()
            self._pool = None

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._count, mp_context=_context(), initializer=_settle_in)


def _context() -> BaseContext:
    """Return how processes start: forked, from a process without threads that has all they need.

    A fork of this one may deadlock, as it has threads (rattler's, the store's). Where the path of
    the other's socket would be too long, each is a new one, and imports for itself.
    """
    if len(os.fsencode(tempfile.gettempdir())) > _LONGEST_DIRECTORY:
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_NEEDED))
    return context


def _load() -> None:
    """Import what is needed, where that was not done before the fork."""
    for name in _NEEDED:
        importlib.import_module(name)


def _settle_in() -> None:
    """Ignore SIGINT, which the server handles; end when it has ended, and give way to it."""
    os.nice(NICENESS)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when its parent has ended, also by ``kill -9``."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
