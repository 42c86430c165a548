"""Making an environment of this machine's cache: fetching what is new of it, and linking it.

Apart from starting programs in what is there, since it takes longer to import.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, TypeVar

from builder.errors import BuilderError
from builder.install.prefix.errors import PrefixTooLong, told_of
from builder.install.prefix.installation import InstallationPlan
from builder.platforms import Subdir
from registry.cli.output import plain
from registry.cli.prefix_server import BuildFiles
from registry.cli.remote import RemoteError
from registry.errors import RegistryError, RootUnusable
from registry.prefixes.borrowing import borrow
from registry.prefixes.drivers.hardlink import HardlinkDriver
from registry.prefixes.finding import read_mark
from registry.prefixes.layout import preset
from registry.prefixes.made import forget, read_made
from registry.prefixes.packages import PackageDirectory, remove_making
from registry.prefixes.removing import Trash, unneeded_packages
from registry.prefixes.root import TRASH, Root, RootOptions

P = ParamSpec("P")
Result = TypeVar("Result")


class _Threads:
    """Computes in threads; implements :class:`builder.ports.Workers`.

    Processes would not be faster before they have started, and what they leave would be children
    of the program that this process becomes.
    """

    async def run(self, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        """Return what the function returns."""
        return await asyncio.to_thread(function, *args, **kwargs)


async def make_environment(
    path: Path,
    subdir: Subdir,
    key: str,
    files: BuildFiles,
    at: Path,
    say: Callable[[str], None],
    *,
    other: Path | None,
    renew: bool,
) -> None:
    """Have a whole environment be at ``at``, in the root at ``path``.

    Packages that the root has are not fetched.

    Args:
        path: Of the root, which is made if it is not there.
        subdir: The platform of all environments of the root.
        key: Of the build.
        files: What the build is made of.
        at: Where there is nothing, or the environment as it was made.
        say: Tells people what is done.
        other: A root of the machine, of which packages are taken over.
        renew: All packages are fetched, whoever has them.

    Raises:
        RemoteError: It cannot be had, or not be made here.
    """
    root = _root(path, subdir)
    try:
        say("asking for the environment")
        plan = await files.installation(key, subdir)
        with told_of(path):
            if renew:
                async with root.locked(say=say):
                    _throw_away(root, plan)
            async with root.locked(shared=True, say=say):
                await _make(root, plan, files, at, say, None if renew else other)
    except PrefixTooLong as exc:
        raise RemoteError(f"{exc}: set XDG_CACHE_HOME to a shorter path") from exc
    except (BuilderError, RegistryError) as exc:
        raise RemoteError(plain(exc.message)) from exc


async def _make(
    root: Root,
    plan: InstallationPlan,
    files: BuildFiles,
    at: Path,
    say: Callable[[str], None],
    other: Path | None,
) -> None:
    """Have an environment be at ``at``; the root is locked by whoever calls."""
    packages, driver = PackageDirectory(root, _Threads()), HardlinkDriver(root)

    async def unpack() -> None:
        try:
            await packages.ensure(plan, files, lambda text: say(f"fetching {text}"))
        except TimeoutError as exc:
            raise RemoteError(
                "packages were not fetched and unpacked in time: run it again"
            ) from exc

    making = root.new_making()
    making.mkdir(0o700)
    try:
        if other is not None:
            await borrow(packages, plan, other)
        await unpack()
        say("linking")
        try:
            await driver.make(plan, making, at)
        except ValueError:  # of a package, something is missing
            await packages.discard_damaged(plan)
            await unpack()
            await driver.make(plan, making, at)
    finally:
        remove_making(making)


async def remove_unneeded(path: Path, subdir: Subdir) -> None:
    """Remove the packages of a root that no environment has, and what killed processes left.

    Nothing is done while somebody makes an environment there, and nothing is raised.
    """
    root = _root(path, subdir)
    with suppress(RootUnusable, OSError):
        async with root.locked(wait_seconds=0):
            marks = {one.name: read_mark(one) for one in (path / "builds").iterdir()}
            needed = {name for mark in marks.values() if mark for name in mark.packages}
            for name in unneeded_packages(root.packages, needed):
                (root.packages / name).rename(root.new_package_trash())
            root.clear()
            forget(
                root.folder, read_made(root.folder), {f"builds/{name}" for name in marks}, needed
            )
        trash = Trash(root.trash, root.packages / TRASH)
        trash.sweep()
        await trash.settle()


def _root(path: Path, subdir: Subdir) -> Root:
    return Root(path, RootOptions(layout=preset("own"), subdir=subdir))


def _throw_away(root: Root, plan: InstallationPlan) -> None:
    """Have the packages of a plan be unpacked anew; what is linked from them stays as it is."""
    for package in plan.packages:
        with suppress(FileNotFoundError):
            (root.packages / plan.name_of(package)).rename(root.new_package_trash())
