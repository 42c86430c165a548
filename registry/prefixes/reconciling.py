"""One pass: looks at the root, and makes, switches and removes what is to be.

::

    left over     what is under way belongs to nobody, as the root is ours alone: it goes
    links         of environments whose prefix is there are switched
    blocked       prefixes that nobody may have go, with the links that are left to them
    prefixes      what is missing or damaged is made, two at a time; then its links are switched
    links         that nobody wants go
    prefixes      that nobody wants, and no link leads to, go after the time of grace
    packages      that no prefix names go

Nothing that is there goes before what stands for it is there. So who is killed, or has no room, or
no server, leaves a root in which every environment is as it was or as it is to be.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from registry.errors import RootUnusable
from registry.prefixes.drivers import Driver
from registry.prefixes.packages import PackageDirectory
from registry.prefixes.passing import Pass, read_state
from registry.prefixes.planning import State, planned
from registry.prefixes.removing import Trash
from registry.prefixes.root import TRASH, Root, unusable
from registry.prefixes.server import Server, Wanted
from registry.prefixes.status import Change, PassReport, Status, read_status, write_status
from registry.prefixes.threads import in_thread
from registry.prefixes.wanted import targets

_log = structlog.get_logger("registry.prefixes")


class Reconciler:
    """Makes a root equal to what a server says.

    Args:
        root: Which.
        server: What is missing is fetched there.
        packages: Those of the root.
        driver: Makes prefixes.
        on_change: Is told of each change as it is made.
        say: Is told what is waited for.
        now: Seconds since 1970.
    """

    def __init__(
        self,
        root: Root,
        server: Server,
        packages: PackageDirectory,
        driver: Driver,
        on_change: Callable[[Change], None] | None = None,
        say: Callable[[str], None] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.root = root
        self._server = server
        self._packages = packages
        self._driver = driver
        self._on_change = on_change
        self._say = say
        self._now = now
        self._trash = Trash(root.trash, root.packages / TRASH)
        self._turn = asyncio.Lock()

    async def run(
        self, wanted: Wanted, is_outdated: Callable[[], bool] = lambda: False
    ) -> PassReport:
        """Make one pass, and return what it has done.

        What goes wrong with one environment stops no other. It may be cancelled or killed at any
        moment: the next pass mends what is left.

        Args:
            wanted: What is to be there.
            is_outdated: Tells whether something else is by now; then no further prefix is begun,
                and none goes.

        Raises:
            RootUnusable: It can be no root, another process has it, or it cannot be written.
        """
        began = self._now()
        async with self._turn, self.root.locked(say=self._say):
            one = Pass(
                self.root,
                self._server,
                self._packages,
                self._driver,
                wanted,
                began,
                self._on_change,
                is_outdated,
            )
            try:
                await one.run()
            except OSError as exc:
                raise unusable(self.root.path, exc) from exc
            finally:
                self._trash.sweep()
            report = PassReport(
                changes=tuple(one.changes),
                problems=tuple(one.problems),
                links=one.links,
                prefixes=one.prefix_count,
                unwanted=one.unwanted_count,
                packages=one.package_count,
                bytes_on_disk=one.bytes_on_disk,
                bytes_written=one.bytes_written,
                bytes_freed=self._trash.take_freed_bytes(),
                seconds=self._now() - began,
                server_problem=one.server_problem,
                is_cut_short=one.is_cut_short,
            )
            await in_thread(lambda: self._write_status(wanted, report, began))
        return report

    async def plan(self, wanted: Wanted) -> tuple[Change, ...]:
        """Return what a pass would do; nothing is touched, and the root need not exist.

        Raises:
            RootUnusable: It can be no root.
        """
        root, options = self.root, self.root.options
        state = State(root.path, options.subdir, {}, {}, {})
        try:
            if await in_thread(root.look):
                state, _ = await read_state(root, self._driver)
        except OSError as exc:
            raise unusable(root.path, exc) from exc
        return planned(
            state,
            targets(wanted, options.layout),
            wanted.blocked,
            self._now(),
            options.grace_seconds,
        )

    async def settle(self) -> int:
        """Wait until what passes have thrown away is gone, and return how many bytes that freed."""
        await self._trash.settle()
        return self._trash.take_freed_bytes()

    async def close(self) -> None:
        """Stop removing; what is left goes with the next pass."""
        self._trash.close()

    def _write_status(self, wanted: Wanted, report: PassReport, began: float) -> None:
        """Write down how the root stands; without room for that, it stays as it was written."""
        try:
            behind_since = read_status(self.root.path).behind_since
        except RootUnusable:
            behind_since = None
        behind_since = began if behind_since is None else behind_since
        away = report.server_problem
        status = Status(
            began=began,
            ended=self._now(),
            etag=wanted.etag,
            behind_since=None if report.is_equal else behind_since,
            environments=len({(one.namespace, one.environment) for one in wanted.versions}),
            versions=len(wanted.versions),
            links=len(report.links),
            prefixes=report.prefixes,
            unwanted=report.unwanted,
            packages=report.packages,
            bytes_on_disk=report.bytes_on_disk,
            bytes_written=report.bytes_written,
            bytes_freed=report.bytes_freed,
            problems=report.problems,
            away_since=began if away else None,
            away=away,
        )
        try:
            write_status(self.root.path, status)
        except OSError as exc:
            _log.warning("failed to write the status", root=str(self.root.path), why=str(exc))
