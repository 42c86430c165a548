"""What a lock has, as it is kept in rows."""

from builder.lock import Lock
from builder.rules.candidate import Candidate
from registry.catalog.ports import LockContent, LockedPackage


def content_of(lock: Lock) -> LockContent:
    """Return what a lock has. Channels are addresses: names are those of a server's settings."""
    found = [
        _locked(subdir, Candidate.of_package(record, {}))
        for subdir, records in lock.platforms.items()
        for record in records
    ]
    found += [
        _locked(subdir, Candidate.of_wheel(wheel, lock.wheel_facts.get(wheel.sha256)))
        for subdir, wheels in lock.wheels.items()
        for wheel in wheels
    ]
    return LockContent(found, lock.base.name if lock.base is not None else "")


def _locked(platform: str, package: Candidate) -> LockedPackage:
    return LockedPackage(
        platform,
        package.manager,
        package.name,
        package.version,
        package.build,
        package.channel,
        package.licence,
        package.published_ms,
        package.project,
        package.size_bytes,
    )
