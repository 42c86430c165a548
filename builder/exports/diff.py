"""What two locks differ in, and what the step from one image to the other costs a node."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from builder.lock import Lock
from builder.oci.models import ImageManifest
from builder.platforms import Subdir

#: Where a package comes from: conda channels, or an index of wheels.
Manager = Literal["conda", "pip"]


@dataclass(frozen=True, slots=True)
class PackageChange:
    """One package that is not the same in both locks."""

    manager: Manager
    name: str
    #: Version and for conda packages the build, e.g. ``"2.3.1 py311_0"``; ``None``: it was added.
    before: str | None
    #: As ``before``; ``None``: it was removed.
    after: str | None


@dataclass(frozen=True, slots=True)
class LockDiff:
    """What has to change to get from one lock to another."""

    #: For each platform of either lock, conda packages first, sorted by name. A platform that only
    #: one of them has has all its packages added or removed.
    packages: Mapping[Subdir, tuple[PackageChange, ...]]
    #: Variables with their values before and after, sorted by name; ``None`` for none.
    variables: Mapping[str, tuple[str | None, str | None]]
    #: The base image before and after, if it is another one; ``None`` in it for none.
    base: tuple[str | None, str | None] | None


def diff(a: Lock, b: Lock) -> LockDiff:
    """Return what ``b`` has that ``a`` has not, and the other way round.

    Packages that have the same version and build and are other archives all the same count as
    changed; ``before`` and ``after`` end in the first digits of the archive's sha256 then.
    """
    platforms = sorted({*a.platforms, *b.platforms})
    names = sorted({*a.variables, *b.variables})
    bases = (_base(a), _base(b))
    return LockDiff(
        packages={subdir: _changes(a, b, subdir) for subdir in platforms},
        variables={
            name: (a.variables.get(name), b.variables.get(name))
            for name in names
            if a.variables.get(name) != b.variables.get(name)
        },
        base=bases if bases[0] != bases[1] else None,
    )


def fetched_bytes(a: ImageManifest | None, b: ImageManifest) -> int:
    """Return the size of the config and layers of ``b`` that ``a`` does not have, each once."""
    has = {part.digest for part in (a.config, *a.layers)} if a else set()
    wanted = {part.digest: part.size for part in (b.config, *b.layers)}
    return sum(size for digest, size in wanted.items() if digest not in has)


#: Name → version and build, and sha256.
_Packages = dict[tuple[Manager, str], tuple[str, str]]


def _changes(a: Lock, b: Lock, subdir: Subdir) -> tuple[PackageChange, ...]:
    old, new = _packages(a, subdir), _packages(b, subdir)
    changes = []
    for manager, name in sorted({*old, *new}):
        before, after = old.get((manager, name)), new.get((manager, name))
        if before == after:
            continue
        if before and after and before[0] == after[0]:
            told = [f"{version} sha256:{sha256[:12]}" for version, sha256 in (before, after)]
            changes.append(PackageChange(manager, name, told[0], told[1]))
        else:
            changes.append(PackageChange(manager, name, before and before[0], after and after[0]))
    return tuple(changes)


def _packages(lock: Lock, subdir: Subdir) -> _Packages:
    found: _Packages = {}
    for record in lock.platforms.get(subdir, ()):
        found["conda", record.name] = (f"{record.version} {record.build}", record.sha256)
    for wheel in lock.wheels.get(subdir, ()):
        found["pip", wheel.name] = (wheel.version, wheel.sha256)
    return found


def _base(lock: Lock) -> str | None:
    return f"{lock.base.name}@{lock.base.digest}" if lock.base else None
