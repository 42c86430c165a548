"""Puts a reconciler together, with the driver that is asked for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from builder.ports import Workers
from registry.prefixes.drivers import Driver
from registry.prefixes.drivers.hardlink import HardlinkDriver
from registry.prefixes.drivers.squashfs import SquashfsDriver, SquashfsOptions
from registry.prefixes.packages import PackageDirectory
from registry.prefixes.reconciling import Reconciler
from registry.prefixes.root import Root, RootOptions
from registry.prefixes.server import Server
from registry.prefixes.status import Change


def open_reconciler(
    path: Path,
    server: Server,
    workers: Workers,
    options: RootOptions,
    on_change: Callable[[Change], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Reconciler:
    """Return what keeps the root at ``path``; nothing is touched before its first pass."""
    root = Root(path, options)
    packages = PackageDirectory(root, workers)
    return Reconciler(root, server, packages, driver_of(root), on_change, say)


def driver_of(root: Root) -> Driver:
    """Return the driver that a root's options ask for."""
    options = root.options
    if options.driver == "hardlink":
        return HardlinkDriver(root)
    # How files are shared matters to nobody there.
    link = replace(options.link_options, share="auto")
    squashfs = SquashfsOptions(options.mount, options.compression, link)
    return SquashfsDriver(root.path, root.packages, squashfs)
