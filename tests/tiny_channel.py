"""A channel of tiny packages in a directory, for tests that need no real ones."""

import asyncio
import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from conformance.channel.index import index_channel
from conformance.channel.writer import Entry, Package, write_package

#: 2024-01-01 and 2025-01-01, in milliseconds.
IN_2024, IN_2025 = 1_704_067_200_000, 1_735_689_600_000


def tool(version: str, timestamp_ms: int) -> Package:
    """Return a package ``tool`` that needs ``library``."""
    entries = [Entry("bin/tool", data=f"#!/bin/sh\necho {version}\n".encode(), mode=0o755)]
    return Package(
        "tool", version, depends=("library",), entries=entries, timestamp_ms=timestamp_ms
    )


def write_tiny_channel(directory: Path) -> Path:
    """Make the channel: ``library 1.0`` and ``tool 1.0`` of 2024, ``tool 2.0`` of 2025."""
    # Its index is made once, and takes longer than most tests.
    shutil.copytree(_made(), directory, dirs_exist_ok=True)
    return directory


@cache
def _made() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="pullforge-tiny-channel-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    library = Package(
        "library", "1.0", entries=[Entry("lib/library.txt", data=b"x" * 5000)], timestamp_ms=IN_2024
    )
    for package in (library, tool("1.0", IN_2024), tool("2.0", IN_2025)):
        write_package(package, directory)
    (directory / "linux-64").mkdir(exist_ok=True)
    index_channel(directory)
    return directory


async def publish(directory: Path, package: Package) -> None:
    """Add a package to the channel."""
    write_package(package, directory)
    await asyncio.to_thread(index_channel, directory)
