"""What the packages of one image change in each other.

Inside a prefix, two packages that have the same path overwrite each other, and a package that has
files below a directory that is a symlink of another writes through it. Layers are unpacked one
over the other by runtimes that do neither, so both are decided here, before any layer is made:

* The same path: the package linked last keeps it, the others leave it out.
* A path that is a file of one and a directory of another: the directory stays.
* A path below a symlink of another package: it moves to where the symlink leads.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from posixpath import dirname, join, normpath
from typing import Final

from builder.errors import UnsupportedPackage
from builder.install.paths import MAX_DIRECTORY_CHARACTERS
from builder.layer import LayerPackage
from builder.records import ArchiveRecord

#: A chain of symlinks longer than this is a loop; Linux gives up at 40 as well.
_MAX_HOPS: Final = 40


@dataclass(frozen=True, slots=True)
class InstalledPaths:
    """What one package puts into the prefix; every path is relative to it."""

    #: Files and symlinks, in any order.
    paths: Sequence[str]
    #: The symlinks among them, with their targets as written in the package.
    links: Mapping[str, str] = field(default_factory=dict)


def resolve_conflicts(
    records: Sequence[ArchiveRecord], installed: Mapping[str, InstalledPaths]
) -> tuple[LayerPackage, ...]:
    """Return the packages in the order given, which is that of linking, each with its changes.

    ``installed`` has what each puts into the prefix, by the record's sha256.

    Raises:
        UnsupportedPackage: Symlinks of the packages lead in a circle.
    """
    links = {
        path: target
        for record in records
        for path, target in installed[record.sha256].links.items()
    }
    paths = [installed[record.sha256].paths for record in records]
    directories = [directories_above(some) for some in paths]
    above = set().union(*directories)
    moved = _moved_directories(above, links)
    # Mostly nothing is moved, and an environment may have a hundred thousand paths.
    final = [[_move(path, moved) for path in some] for some in paths] if moved else paths
    owners: dict[str, int] = {}
    for position, targets in enumerate(final):
        owners.update(dict.fromkeys(targets, position))
    inner = ((directories_above(owners) - moved.keys()) if moved else above) & owners.keys()
    return tuple(
        LayerPackage(
            record,
            _omitted(position, paths[position], final[position], owners, inner),
            tuple(sorted(_followed(directories[position], moved).items())),
        )
        for position, record in enumerate(records)
    )


def _omitted(
    position: int,
    paths: Sequence[str],
    targets: Sequence[str],
    owners: Mapping[str, int],
    inner: set[str],
) -> tuple[str, ...]:
    """Return the paths of a package that another one has, or that are directories of another."""
    return tuple(
        sorted(
            path
            for path, target in zip(paths, targets, strict=True)
            if owners[target] != position or target in inner
        )
    )


def _moved_directories(directories: set[str], links: Mapping[str, str]) -> dict[str, str]:
    """Return where each directory leads that is a symlink of a package, also below another one."""
    moved: dict[str, str] = {}
    wanted = directories & links.keys()
    while wanted:
        found: set[str] = set()
        for path in sorted(wanted):
            destination = _destination(path, links)
            if destination is not None:
                moved[path] = destination
                found |= directories_above([f"{destination}/."])
        wanted = (found & links.keys()) - moved.keys()
    return moved


def _followed(directories: set[str], moved: Mapping[str, str]) -> dict[str, str]:
    """Return the moved ones of ``directories``, and of those above where they lead to."""
    followed: dict[str, str] = {}
    wanted = directories & moved.keys()
    while wanted:
        followed |= {path: moved[path] for path in wanted}
        above = directories_above(f"{moved[path]}/." for path in wanted)
        wanted = (above & moved.keys()) - followed.keys()
    return followed


def directories_above(paths: Iterable[str]) -> set[str]:
    """Return every directory above the paths.

    Raises:
        UnsupportedPackage: They lie so deep that their directories take memory without bounds.
    """
    found: set[str] = set()
    characters = 0
    # Each once: a directory has many files, and the way up is the slow part.
    for parent in {path.rpartition("/")[0] for path in paths}:
        directory = parent
        while directory and directory not in found:
            found.add(directory)
            characters += len(directory)
            directory = directory.rpartition("/")[0]
        if characters > MAX_DIRECTORY_CHARACTERS:
            raise UnsupportedPackage("the packages have more directories than are allowed")
    return found


def _destination(path: str, links: Mapping[str, str]) -> str | None:
    """Return the directory a symlink leads to in the end, or ``None`` when it leaves the prefix."""
    for _ in range(_MAX_HOPS):
        target = links.get(path)
        if target is None:
            return path
        if target.startswith("/"):
            return None
        path = normpath(join(dirname(path), target))
        if path == ".." or path.startswith("../"):
            return None
    raise UnsupportedPackage(f"the symlink '{path}' of the packages leads in a circle")


def _move(path: str, moved: Mapping[str, str]) -> str:
    """Return where ``path`` lands when directories above it are symlinks."""
    if not moved:
        return path
    for _ in range(_MAX_HOPS):
        directory = dirname(path)
        while directory and directory not in moved:
            directory = dirname(directory)
        if not directory:
            return path
        path = normpath(moved[directory] + path[len(directory) :])
    raise UnsupportedPackage(f"the symlinks above '{path}' of the packages lead in a circle")
