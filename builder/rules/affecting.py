"""Whether an advisory is about a package."""

from collections.abc import Iterable
from functools import lru_cache

from packaging.version import Version

from builder.rules.candidate import Judged
from builder.rules.model import Affected, AffectedRange
from builder.rules.versions import conda_version, pypi_version


def is_affected(affected: Affected, package: Judged) -> tuple[bool, str]:
    """Tell whether an advisory is about a package, and the version that is not affected any more.

    Versions of PyPI are compared as PEP 440 says where they are of it, also if conda installs them.
    One that cannot be compared counts as affected where the advisory gives ranges.
    """
    if package.version in affected.versions:
        return True, _fixed(affected.ranges, package.version)
    of_pypi = affected.manager == "pypi"
    if of_pypi and affected.versions:
        version = pypi_version(package.version)
        if version is not None and version in _pypi_versions(affected.versions):
            return True, _fixed(affected.ranges, package.version)
    for one in affected.ranges:
        if _within(one, package.version, of_pypi=of_pypi):
            return True, one.fixed
    return not (affected.ranges or affected.versions), ""


@lru_cache(maxsize=1024)
def _pypi_versions(texts: tuple[str, ...]) -> frozenset[Version]:
    return frozenset(version for text in texts if (version := pypi_version(text)) is not None)


def _within(one: AffectedRange, version: str, *, of_pypi: bool) -> bool:
    bounds = [one.introduced, one.fixed, one.last]
    if bounds[0] == "0":
        bounds[0] = ""
    if of_pypi:
        parsed = pypi_version(version)
        limits = [pypi_version(bound) if bound else None for bound in bounds]
        readable = parsed is not None and _all_read(bounds, limits)
        if readable and parsed is not None:
            lowest, fixed, last = limits
            return (
                (lowest is None or parsed >= lowest)
                and (fixed is None or parsed < fixed)
                and (last is None or parsed <= last)
            )
    read = conda_version(version)
    marks = [conda_version(bound) if bound else None for bound in bounds]
    if read is None or not _all_read(bounds, marks):
        return True
    low, end, latest = marks
    return (
        (low is None or read >= low)
        and (end is None or read < end)
        and (latest is None or read <= latest)
    )


def _all_read(texts: Iterable[str], read: Iterable[object]) -> bool:
    return all(found is not None for text, found in zip(texts, read, strict=True) if text)


def _fixed(ranges: tuple[AffectedRange, ...], version: str) -> str:
    """Return the first version after this one that is not affected, as far as ranges say."""
    own = pypi_version(version)
    later = [
        (parsed, one.fixed)
        for one in ranges
        if one.fixed
        and (parsed := pypi_version(one.fixed)) is not None
        and (own is None or parsed > own)
    ]
    return min(later)[1] if later else ""
