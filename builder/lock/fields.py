"""Package records as entries of a conda-lock file, with what such an entry cannot say beside it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, get_args

from builder.errors import LockError
from builder.records import (
    LISTED,
    NoarchKind,
    PackageRecord,
    canonical_json,
    split_match_spec,
    without_credentials,
)

_NAME = re.compile(r"[a-z0-9_][a-z0-9_.+-]{0,127}")
VERSION = re.compile(r"[A-Za-z0-9_.!+-]{1,128}")
_URL = re.compile(
    r"(?:https?|file|s3)://[!-~]*/([a-z0-9-]+)/[A-Za-z0-9_.!+%=~-]+(?:\.conda|\.tar\.bz2)"
)
#: Empty for the channel that the address says.
_CHANNEL = re.compile(r"(?:(?:https?|file|s3)://[!-~]{1,500})?")
SHA256 = re.compile(r"[0-9a-f]{64}")
MD5 = re.compile(r"[0-9a-f]{32}")
_SITE_PACKAGES = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*")
#: Larger numbers do not survive JSON in other languages.
_MAX_NUMBER: Final = 2**53


def entry_of(record: PackageRecord, platform: str) -> dict[str, Any]:
    """Return the fields that conda-lock has for a package."""
    return {
        "name": record.name,
        "version": record.version,
        "manager": "conda",
        "platform": platform,
        "dependencies": dependencies_of(record.depends),
        "url": record.url,
        "hash": {"md5": record.md5, "sha256": record.sha256},
        "category": "main",
        "build": record.build,
        "optional": False,
    }


def extra_of(record: PackageRecord) -> dict[str, Any]:
    """Return what :func:`entry_of` leaves out."""
    extra: dict[str, Any] = {
        "build_number": record.build_number,
        "size_bytes": record.size_bytes,
    }
    if record.subdir != _subdir_of(record.url):
        extra["subdir"] = record.subdir
    if depends_of(dependencies_of(record.depends)) != record.depends:
        extra["depends"] = list(record.depends)
    if record.noarch:
        extra["noarch"] = record.noarch
    if record.python_site_packages_path is not None:
        extra["python_site_packages_path"] = record.python_site_packages_path
    if record.timestamp_ms is not None:
        extra["timestamp_ms"] = record.timestamp_ms
    if record.listed:
        extra["listed"] = dict(record.said)
    if record.channel:
        extra["channel"] = record.channel
    return extra


def record_of(entry: Mapping[str, Any], extra: Mapping[str, Any]) -> PackageRecord:
    """Return the package of an entry and what is said beside it.

    Everything is checked, for the values end up in paths, addresses and the files of an image.

    Raises:
        LockError: A field is missing or malformed.
    """
    name = text_field(entry, "name", _NAME)
    url = without_credentials(text_field(entry, "url", _URL, name))
    hashes = entry.get("hash") or {}
    if not hashes.get("sha256"):
        raise LockError(f"'{name}' has no sha256 in the lock file")
    version = text_field(entry, "version", VERSION, name)
    noarch = extra.get("noarch")
    if noarch is None and not extra and _subdir_of(url) == "noarch":
        # What names no Python may need it through others: its archive will tell.
        noarch = "python" if "python" in entry["dependencies"] else None
    if noarch is not None and noarch not in get_args(NoarchKind):
        raise LockError(f"'{name}' has a malformed noarch in the lock file")
    return PackageRecord(
        name=name,
        version=version,
        build=text_field({"build": entry.get("build") or _build_of(url)}, "build", VERSION, name),
        build_number=number_field(extra, "build_number", name) or 0,
        subdir=text_field({"subdir": _subdir_of(url), **extra}, "subdir", _NAME, name),
        url=url,
        sha256=text_field(hashes, "sha256", SHA256, name),
        md5=text_field(hashes, "md5", MD5, name),
        size_bytes=number_field(extra, "size_bytes", name) or 0,
        depends=_depends(extra, entry, name),
        noarch=noarch,
        python_site_packages_path=_site_packages(extra, name),
        timestamp_ms=number_field(extra, "timestamp_ms", name),
        listed=_listed(extra, name),
        channel=text_field({"channel": "", **extra}, "channel", _CHANNEL, name),
    )


def dependencies_of(depends: Sequence[str]) -> dict[str, str]:
    """Return match specs as conda-lock has them: by name; the last of one name wins.

    >>> dependencies_of(("python >=3.9", "zlib", "numpy>=1.2"))
    {'numpy': '>=1.2', 'python': '>=3.9', 'zlib': ''}
    """
    return dict(sorted(filter(None, map(split_match_spec, depends))))


def depends_of(dependencies: Mapping[str, str]) -> tuple[str, ...]:
    """Return the match specs that conda-lock's mapping stands for, sorted.

    >>> depends_of({"zlib": "", "python": ">=3.9"})
    ('python >=3.9', 'zlib')
    """
    return tuple(
        sorted(f"{name} {conditions}".strip() for name, conditions in dependencies.items())
    )


def _depends(extra: Mapping[str, Any], entry: Mapping[str, Any], name: str) -> tuple[str, ...]:
    depends = extra.get("depends")
    if depends is None:
        depends = list(depends_of(entry["dependencies"]))
    if not isinstance(depends, list) or not all(isinstance(d, str) and d.split() for d in depends):
        raise LockError(f"'{name}' has malformed depends in the lock file")
    return tuple(depends)


def _listed(extra: Mapping[str, Any], name: str) -> str:
    listed = extra.get("listed")
    if listed is None:
        return ""
    if not isinstance(listed, dict) or not listed.keys() <= set(LISTED):
        raise LockError(f"'{name}' has malformed fields of its index in the lock file")
    return canonical_json(listed)


def _site_packages(extra: Mapping[str, Any], name: str) -> str | None:
    if extra.get("python_site_packages_path") is None:
        return None
    path = text_field(extra, "python_site_packages_path", _SITE_PACKAGES, name)
    if {".", ".."}.intersection(path.split("/")):
        raise LockError(f"'{name}' has a malformed python_site_packages_path in the lock file")
    return path


def text_field(
    fields: Mapping[str, Any], field: str, pattern: re.Pattern[str], package: str = "a package"
) -> str:
    """Return the text in a field.

    Raises:
        LockError: It is missing, or is not all of what ``pattern`` allows.
    """
    value = fields.get(field)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise LockError(f"'{package}' has a malformed {field} in the lock file")
    return value


def number_field(fields: Mapping[str, Any], field: str, package: str) -> int | None:
    """Return the number in a field that may be missing.

    Raises:
        LockError: It is no number from 0 up to what JSON can hold.
    """
    value = fields.get(field)
    if value is None:
        return None
    # A bool is an int to isinstance.
    if type(value) is not int or not 0 <= value <= _MAX_NUMBER:
        raise LockError(f"'{package}' has a malformed {field} in the lock file")
    return value


def _subdir_of(url: str) -> str:
    return url.rsplit("/", 2)[-2]


def _build_of(url: str) -> str:
    """Return the build string from a file name: ``<name>-<version>-<build>.<type>``."""
    stem = url.rpartition("/")[2].removesuffix(".conda").removesuffix(".tar.bz2")
    return stem.rpartition("-")[2]
