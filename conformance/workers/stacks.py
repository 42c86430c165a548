"""A generated channel of many environments that have packages in common, as a company's do."""

import random
from pathlib import Path
from typing import Final

from conformance.channel.index import write_repodata
from conformance.channel.writer import Entry, Package, package_bytes

#: Files of a package: one binary, half of it noise, and texts.
_TEXTS: Final = 20
_TEXT_BYTES: Final = 5_000


def write_stacks(
    directory: Path, *, stacks: int, of: int, packages: int, package_bytes_each: int
) -> None:
    """Write a channel in which ``stack-<n>`` needs its own choice of packages.

    Args:
        directory: Where to; must exist.
        stacks: How many environments there are, from ``stack-0`` on.
        of: How many packages each of them needs.
        packages: How many there are to choose from.
        package_bytes_each: How large each is, installed.
    """
    names = [f"part-{number}" for number in range(packages)]
    made = [_package(name, (), _entries(name, package_bytes_each)) for name in names]
    for number in range(stacks):
        chosen = sorted(random.Random(number).sample(names, of))
        made.append(
            _package(f"stack-{number}", tuple(chosen), [Entry(f"share/stack/{number}", b"")])
        )
    written = [(package, package_bytes(package)) for package in made]
    write_repodata(directory, written)
    for package, data in written:
        (directory / package.subdir / package.filename).write_bytes(data)


def stack(number: int) -> str:
    """Return the name by which an environment is pulled."""
    return f"env/stack-{number}:latest"


def _package(name: str, depends: tuple[str, ...], entries: list[Entry]) -> Package:
    return Package(name, "1.0", subdir="linux-64", noarch=None, depends=depends, entries=entries)


def _entries(name: str, size_bytes: int) -> list[Entry]:
    noise = random.Random(name)
    half = max(0, size_bytes - _TEXTS * _TEXT_BYTES) // 2
    entries = [Entry(f"lib/{name}.so", noise.randbytes(half) + bytes(half), mode=0o755)]
    for number in range(_TEXTS):
        text = noise.randbytes(_TEXT_BYTES // 2).hex().encode()
        entries.append(Entry(f"share/{name}/{number}.txt", text))
    return entries
