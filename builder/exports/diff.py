"""What two locks differ in, and what the step from one image to the other costs a node."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from builder.lock import Lock
from builder.oci.models import ImageManifest
from builder.platforms import Subdir
from builder.rules.candidate import Candidate
from builder.rules.versions import compare_versions

#: Where a package comes from: conda channels, or an index of wheels.
Manager = Literal["conda", "pip"]
#: How a package became another. ``changed``: the same version in another build, or versions that
#: cannot be compared.
Direction = Literal["up", "down", "added", "removed", "changed"]


@dataclass(frozen=True, slots=True)
class ExactPackage:
    """A package of a lock, as far as locks are compared by it."""

    version: str
    #: Empty of a wheel.
    build: str
    #: Stands for the archive: what is the same is the same package.
    archive: str
    #: What tells two archives of the same version and build apart, e.g. ``"sha256:0123456789ab"``.
    mark: str
    #: ``None``: nobody says.
    licence: str | None = None

    @property
    def told(self) -> str:
        """Version and build."""
        return f"{self.version} {self.build}".rstrip()


#: By manager and name.
Packages = Mapping[tuple[Manager, str], ExactPackage]


@dataclass(frozen=True, slots=True)
class PackageChange:
    """One package that is not the same in both locks."""

    manager: Manager
    name: str
    #: Version and for conda packages the build, e.g. ``"2.3.1 py311_0"``; ``None``: it was added.
    before: str | None
    #: As ``before``; ``None``: it was removed.
    after: str | None
    direction: Direction
    licence_before: str | None = None
    licence_after: str | None = None


@dataclass(frozen=True, slots=True)
class LicenceChange:
    """Licences that only one of two locks has, sorted."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()


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
    #: For each platform of either lock, as far as indexes say them.
    licences: Mapping[Subdir, LicenceChange] = field(default_factory=dict)


def diff(a: Lock, b: Lock) -> LockDiff:
    """Return what ``b`` has that ``a`` has not, and the other way round.

    Packages that have the same version and build and are other archives all the same count as
    changed; ``before`` and ``after`` end in the first digits of the archive's sha256 then.
    """
    platforms = sorted({*a.platforms, *b.platforms})
    packages = {subdir: (_packages(a, subdir), _packages(b, subdir)) for subdir in platforms}
    return LockDiff(
        packages={subdir: package_changes(*both) for subdir, both in packages.items()},
        variables=variable_changes(a.variables, b.variables),
        base=base_change(_base(a), _base(b)),
        licences={subdir: licence_change(*both) for subdir, both in packages.items()},
    )


def package_changes(old: Packages, new: Packages) -> tuple[PackageChange, ...]:
    """Return the packages that are not the same, conda's first, by name."""
    changes = []
    for manager, name in sorted({*old, *new}):
        before, after = old.get((manager, name)), new.get((manager, name))
        if before is not None and after is not None and before.archive == after.archive:
            continue
        has_mark = before is not None and after is not None and before.told == after.told
        changes.append(
            PackageChange(
                manager,
                name,
                _told(before, has_mark=has_mark),
                _told(after, has_mark=has_mark),
                _direction(manager, before, after),
                before.licence if before is not None else None,
                after.licence if after is not None else None,
            )
        )
    return tuple(changes)


def licence_change(old: Packages, new: Packages) -> LicenceChange:
    """Return the licences that only one of two has."""
    has = {one.licence for one in old.values() if one.licence}
    gets = {one.licence for one in new.values() if one.licence}
    return LicenceChange(tuple(sorted(gets - has)), tuple(sorted(has - gets)))


def variable_changes(
    old: Mapping[str, str], new: Mapping[str, str]
) -> Mapping[str, tuple[str | None, str | None]]:
    """Return the variables that differ, with both values."""
    return {
        name: (old.get(name), new.get(name))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    }


def base_change(old: str | None, new: str | None) -> tuple[str | None, str | None] | None:
    """Return the two bases; ``None``: they are the same."""
    return (old, new) if old != new else None


def fetched_bytes(a: ImageManifest | None, b: ImageManifest) -> int:
    """Return the size of the config and layers of ``b`` that ``a`` does not have, each once."""
    has = {part.digest for part in (a.config, *a.layers)} if a else set()
    wanted = {part.digest: part.size for part in (b.config, *b.layers)}
    return sum(size for digest, size in wanted.items() if digest not in has)


def _told(one: ExactPackage | None, *, has_mark: bool) -> str | None:
    if one is None:
        return None
    return f"{one.version} {one.mark}" if has_mark else one.told


def _direction(
    manager: Manager, before: ExactPackage | None, after: ExactPackage | None
) -> Direction:
    if before is None:
        return "added"
    if after is None:
        return "removed"
    found = compare_versions(before.version, after.version, of_pypi=manager == "pip")
    return "changed" if not found else "up" if found < 0 else "down"


def _packages(lock: Lock, subdir: Subdir) -> Packages:
    found: dict[tuple[Manager, str], ExactPackage] = {}
    for record in lock.platforms.get(subdir, ()):
        licence = Candidate.of_package(record, {}).licence or None
        mark = f"sha256:{record.sha256[:12]}"
        # Two builds may be the same archive under another name.
        archive = f"{record.version} {record.build} {record.sha256}"
        found["conda", record.name] = ExactPackage(
            record.version, record.build, archive, mark, licence
        )
    for wheel in lock.wheels.get(subdir, ()):
        mark = f"sha256:{wheel.sha256[:12]}"
        facts = lock.wheel_facts.get(wheel.sha256)
        licence = facts.licence or None if facts is not None else None
        archive = f"{wheel.version} {wheel.sha256}"
        found["pip", wheel.name] = ExactPackage(wheel.version, "", archive, mark, licence)
    return found


def _base(lock: Lock) -> str | None:
    return f"{lock.base.name}@{lock.base.digest}" if lock.base else None
