"""Packages that another root of this machine has unpacked: they are taken over, and not fetched.

Files are shared where the file system and who owns them allow it, else copied. What the other root
does with its packages afterwards is its own affair.
"""

import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from builder.install.prefix.installation import InstallationPlan, UnpackedName
from builder.install.prefix.sharing import Sharer, opened
from builder.install.prefix.unpacked import PARTS, TREE, read_unpacked, write_index
from registry.prefixes.packages import PackageDirectory, remove_making
from registry.prefixes.root import PACKAGES
from registry.prefixes.threads import in_thread

_MODE: Final = 0o755


async def borrow(packages: PackageDirectory, plan: InstallationPlan, other: Path) -> int:
    """Take over those packages of a plan that are missing here, and return how many that were.

    What cannot be read there is passed over.

    Args:
        packages: Of a root that is locked by whoever calls.
        plan: What is wanted.
        other: Another root, which is believed; it need not be there.

    Raises:
        OSError: There is no room here, for example.
    """
    count = 0
    if not os.access(other / PACKAGES, os.X_OK):
        return count
    for name in {plan.name_of(package) for package in plan.packages}:
        source = other / PACKAGES / name
        if packages.is_there(name) or not source.is_dir():
            continue
        async with packages.turn(name):
            count += await in_thread(partial(_take, packages, name, source))
    return count


def _take(packages: PackageDirectory, name: UnpackedName, source: Path) -> bool:
    """Take over a package, and return whether that could be done."""
    if packages.is_there(name):
        return False
    out = packages.root.new_package_making()
    try:
        with suppress(PermissionError, FileNotFoundError, NotADirectoryError, ValueError):
            packages.put(name, out, _copy(source, out))
            return True
        return False
    finally:
        remove_making(out)


def _copy(source: Path, out: Path) -> int:
    """Copy an unpacked package, and return its size."""
    package = read_unpacked(source)
    for directory in (out, out / TREE, out / PARTS):
        directory.mkdir(_MODE)
    for path in package.directories:
        (out / TREE / path).mkdir(_MODE, exist_ok=True)
    parts = [str(file.part) for file in package.prefixed]
    for folder, paths in ((TREE, package.shared), (PARTS, parts)):
        if paths:
            with opened(source / folder) as here, opened(out / folder) as there:
                Sharer("auto", there).share(here, [path.encode() for path in paths])
    write_index(out, package)
    return package.size_bytes
