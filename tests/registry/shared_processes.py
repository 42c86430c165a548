"""Worker processes that all services of a test run share: starting them costs more than they do."""

import atexit
from concurrent.futures import ProcessPoolExecutor

import pytest

from registry.images.processes import LocalProcesses
from registry.maintenance.periodic import PeriodicJob
from registry.settings import Settings
from registry.wiring import services, sources

#: By how many processes they have.
_pools: dict[int, ProcessPoolExecutor] = {}


class SharedProcesses(LocalProcesses):
    """As those of a server; what they compute when it closes goes on."""

    def close(self) -> None:
        """Leave the processes to the next service."""
        self._pool = None

    def _new_pool(self) -> ProcessPoolExecutor:
        pool = _pools.get(self._count)
        if pool is None or pool._broken:
            pool = _pools[self._count] = super()._new_pool()
        return pool


def shared_processes(settings: Settings) -> LocalProcesses:
    """Return worker processes in place of new ones."""
    return SharedProcesses(settings.workers or 2)


def make_quick(patch: pytest.MonkeyPatch) -> None:
    """Have services share their worker processes, and start the solver's when it is asked.

    Servers fetch the channels' indexes as soon as they start, which most tests ask nothing of.
    """
    patch.setattr(services, "local_processes", shared_processes)
    patch.setattr(sources, "_refresh", lambda *_: PeriodicJob("refresh", 3600, _nothing))


async def _nothing() -> None:
    """Do nothing."""


def _close() -> None:
    for pool in _pools.values():
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list((pool._processes or {}).values()):
            process.terminate()


atexit.register(_close)
