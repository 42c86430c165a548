"""Carries out ``pullforge prefixes sync``: once, for ever, or only saying what would be done."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from builder.system_errors import machine_errors
from registry.auth.roles import glob_matches
from registry.cli.api import open_api
from registry.cli.output import OutputFormat
from registry.cli.prefix_server import ApiServer
from registry.cli.prefix_words import Told
from registry.cli.profile import Profile
from registry.cli.remote import RemoteError
from registry.cli.token_file import FileToken
from registry.errors import PrefixError, PrefixSourceUnavailable, RootUnusable
from registry.images.processes import LocalProcesses
from registry.prefixes.following import Followed, follow
from registry.prefixes.kernels import sync_kernels
from registry.prefixes.metrics import Counts, PrefixMetrics, serve_metrics
from registry.prefixes.opening import open_reconciler
from registry.prefixes.reconciling import Reconciler
from registry.prefixes.root import RootOptions
from registry.prefixes.server import Server, Wanted
from registry.prefixes.status import PassReport, read_status, write_away, write_status

#: How long a process that is told to end may take: what is under way can be thrown away.
_END_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be kept where."""

    root: Path
    options: RootOptions
    followed: Followed
    profile: Profile
    token_file: Path | None
    output: OutputFormat
    #: Address and port; ``None``: nobody asks.
    metrics: tuple[str, int] | None
    #: How many processes unpack packages.
    workers: int


class Sync:
    """Keeps one root, and tells of it."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self.told = Told(asked.output)
        self._metrics = PrefixMetrics()
        self._is_equal = False

    async def dry(self) -> None:
        """Say what a pass would do.

        Raises:
            RemoteError: The server cannot be asked.
            PrefixError: It does not answer, or the root can be none.
        """
        async with self._opened() as (server, reconciler):
            wanted = await self._wanted(server)
            self.told.unmatched(_unmatched(self._asked.followed.only, wanted))
            for change in await reconciler.plan(wanted):
                self.told.would(change)

    async def once(self) -> bool:
        """Make one pass; whether the root is as it is to be.

        Raises:
            RemoteError: The server cannot be asked.
            PrefixError: It does not answer, or the root cannot be used.
        """
        async with self._opened() as (server, reconciler):
            try:
                wanted = await self._wanted(server)
            except PrefixSourceUnavailable as exc:
                self._note_away(exc)
                raise
            report = await self._pass(reconciler, wanted)
            self._metrics.freed(await reconciler.settle())
            self.told.summary(report)
            return report.is_equal

    async def for_ever(self) -> None:
        """Make a pass whenever something changes, until the process is asked to end.

        Raises:
            RemoteError: The address of metrics cannot be had.
            PrefixError: The root cannot be used.
        """
        async with self._opened() as (server, reconciler):

            async def reconcile(wanted: Wanted, is_outdated: Callable[[], bool]) -> bool:
                return (await self._pass(reconciler, wanted, is_outdated)).is_equal

            beat = asyncio.ensure_future(self._metrics.beat())
            task = asyncio.ensure_future(follow(server, reconcile, self._asked.followed, self))
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _end, task)
            try:
                await task
            except asyncio.CancelledError:
                # By Ctrl-C, all of this is cancelled; by SIGTERM, the task alone.
                if not task.cancelled() or asyncio.current_task().cancelling():  # type: ignore[union-attr]
                    raise
            finally:
                beat.cancel()

    def answered(self, *, has_news: bool) -> None:
        """Note that the server has said what is to be there."""
        self.told.goes_on()
        self._metrics.answered(is_equal=self._is_equal and not has_news)

    def failed(self, error: PrefixError) -> None:
        """Note that the server does not answer, or the root cannot be used."""
        is_away = isinstance(error, PrefixSourceUnavailable)
        self.told.waits(error.message)
        self._metrics.failed("server" if is_away else "root")
        if is_away:
            self._note_away(error)

    def _note_away(self, error: PrefixError) -> None:
        """Have the status say since when the server has not answered."""
        with suppress(RootUnusable, OSError):  # it is no root yet, or that of somebody else
            write_away(self._asked.root, error.message, time.time())

    async def _wanted(self, server: Server) -> Wanted:
        followed = self._asked.followed
        wanted = await server.wanted(followed.only, followed.versions, None, 0)
        assert wanted is not None, "nothing is known"
        return wanted

    async def _pass(
        self,
        reconciler: Reconciler,
        wanted: Wanted,
        is_outdated: Callable[[], bool] = lambda: False,
    ) -> PassReport:
        with machine_errors():
            report = await reconciler.run(wanted, is_outdated)
        self.told.unmatched(_unmatched(self._asked.followed.only, wanted))
        if self._asked.options.kernels is not None:
            report = await asyncio.to_thread(
                self._with_kernels, self._asked.options.kernels, report
            )
        self._is_equal = report.is_equal
        self.told.passed(report)
        is_whole = not (report.is_cut_short or report.server_problem)
        self._metrics.passed(report.seconds, _counts(report), is_whole=is_whole)
        self._metrics.wrote(report.bytes_written)
        self._metrics.freed(report.bytes_freed)
        if report.server_problem:
            self._metrics.failed("server")
        else:
            self._metrics.answered(is_equal=report.is_equal)
        return report

    def _with_kernels(self, directory: Path, report: PassReport) -> PassReport:
        """Have Jupyter find what is there now; return the report with what went wrong."""
        root = self._asked.root
        problems = sync_kernels(directory, root, report.links).problems
        if not problems:
            return report
        problems = (*report.problems, *problems)
        with suppress(RootUnusable, OSError):
            status = read_status(root)
            behind_since = status.began if status.behind_since is None else status.behind_since
            write_status(root, replace(status, problems=problems, behind_since=behind_since))
        return replace(report, problems=problems)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[tuple[Server, Reconciler]]:
        """Give the server, and what makes passes; metrics are answered meanwhile.

        Raises:
            RemoteError: The address of metrics cannot be had.
        """
        asked = self._asked
        auth = FileToken(asked.token_file) if asked.token_file is not None else None
        workers = LocalProcesses(asked.workers)
        with _answering(self._metrics, asked.metrics):
            try:
                way_in = f"with a new token in {asked.token_file}" if auth is not None else None
                async with open_api(asked.profile, auth, way_in) as api:
                    server = ApiServer(api)
                    reconciler = open_reconciler(
                        asked.root,
                        server,
                        workers,
                        asked.options,
                        self.told.changed,
                        self.told.note,
                    )
                    try:
                        yield server, reconciler
                    finally:
                        await reconciler.close()
            finally:
                workers.close()


@contextmanager
def _answering(metrics: PrefixMetrics, address: tuple[str, int] | None) -> Iterator[None]:
    if address is None:
        yield
        return
    try:
        server = serve_metrics(metrics, *address)
    except OSError as exc:
        raise RemoteError(
            f"metrics cannot be answered at {address[0]}:{address[1]} ({exc.strerror}): choose"
            " another address with --metrics"
        ) from exc
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def _unmatched(only: Iterable[str], wanted: Wanted) -> list[str]:
    """Return the patterns that stand for nothing that the server tells of."""
    there = {(one.namespace, one.environment) for one in wanted.versions}
    return [
        glob
        for glob in only
        if not any(all(map(glob_matches, glob.split("/"), place)) for place in there)
    ]


def _counts(report: PassReport) -> Counts:
    return Counts(
        report.prefixes,
        len(report.links),
        report.packages,
        report.bytes_on_disk,
        len(report.problems),
    )


def _end(task: "asyncio.Future[None]") -> None:
    """End what is under way; what does not end by itself before long is left to the next pass."""
    task.cancel()
    # A thread that copies or removes files cannot be cancelled, and would be waited for.
    late = threading.Timer(_END_SECONDS, os._exit, [0])
    late.daemon = True
    late.start()
