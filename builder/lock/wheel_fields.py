"""Wheels as entries of a conda-lock file, with what such an entry cannot say beside it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion, Version

from builder.errors import LockError
from builder.lock.fields import SHA256, VERSION, number_field, text_field
from builder.records import WheelRecord, without_credentials

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,126}[A-Za-z0-9])?")
_URL: Final = re.compile(r"https?://[!-~]*/[A-Za-z0-9_.!+%~-]+\.whl")
_SOURCE: Final = re.compile(r"[^?#]+\.(?:tar\.\w+|tgz|zip)(?:[?#].*)?")
#: What conda-lock writes for any version.
_ANY: Final = "*"


def wheel_entry_of(wheel: WheelRecord, platform: str) -> dict[str, Any]:
    """Return the fields that conda-lock has for a package of pip."""
    return {
        "name": wheel.name,
        "version": wheel.version,
        "manager": "pip",
        "platform": platform,
        "dependencies": _dependencies_of(wheel.requires),
        "url": wheel.url,
        "hash": {"sha256": wheel.sha256},
        "category": "main",
        "optional": False,
    }


def wheel_extra_of(wheel: WheelRecord) -> dict[str, Any]:
    """Return what :func:`wheel_entry_of` leaves out."""
    extra: dict[str, Any] = {"size_bytes": wheel.size_bytes}
    if _requires_of(_dependencies_of(wheel.requires)) != wheel.requires:
        extra["requires"] = list(wheel.requires)
    return extra


def wheel_of(entry: Mapping[str, Any], extra: Mapping[str, Any]) -> WheelRecord:
    """Return the wheel of an entry and what is said beside it.

    Everything is checked, for the values end up in paths, addresses and the files of an image.

    Raises:
        LockError: A field is missing or malformed, or it is not a wheel.
    """
    name = canonicalize_name(text_field(entry, "name", _NAME))
    url = entry.get("url")
    if isinstance(url, str) and _SOURCE.fullmatch(url):
        raise LockError(
            f"'{name}' is locked as source code, which is not built here: lock a version of it that"
            f" has a wheel, or the conda package"
        )
    hashes = entry.get("hash") or {}
    if not hashes.get("sha256"):
        raise LockError(f"'{name}' has no sha256 in the lock file")
    wheel = WheelRecord(
        name=name,
        version=text_field(entry, "version", VERSION, name),
        url=without_credentials(text_field(entry, "url", _URL, name)),
        sha256=text_field(hashes, "sha256", SHA256, name),
        size_bytes=number_field(extra, "size_bytes", name) or 0,
        requires=_requires(extra, entry, name),
    )
    _check_file_name(wheel)
    return wheel


def _check_file_name(wheel: WheelRecord) -> None:
    try:
        named, version, _, _ = parse_wheel_filename(wheel.file_name)
        fits = named == wheel.name and version == Version(wheel.version)
    except (InvalidWheelFilename, InvalidVersion):
        fits = False
    if not fits:
        raise LockError(
            f"'{wheel.name}' {wheel.version} has the address of another wheel in the lock file:"
            f" {wheel.file_name[:100]}"
        )


def _dependencies_of(requires: Sequence[str]) -> dict[str, str]:
    """Return requirements as conda-lock has them: by name."""
    return {
        wanted.name: str(wanted.specifier) or _ANY
        for wanted in (Requirement(text) for text in sorted(requires))
    }


def _requires_of(dependencies: Mapping[str, str]) -> tuple[str, ...]:
    """Return conda-lock's mapping as sorted requirements; of ``^1.2`` only the name stays."""
    requires = []
    for name, versions in dependencies.items():
        if not _NAME.fullmatch(name):
            raise LockError(f"'{name[:80]}' is not the name of a project of PyPI")
        try:
            specifiers = SpecifierSet("" if versions == _ANY else versions)
        except InvalidSpecifier:
            specifiers = SpecifierSet()
        requires.append(f"{name}{specifiers}")
    return tuple(sorted(requires))


def _requires(extra: Mapping[str, Any], entry: Mapping[str, Any], name: str) -> tuple[str, ...]:
    requires = extra.get("requires")
    if requires is None:
        return _requires_of(entry["dependencies"])
    if not isinstance(requires, list) or not all(_is_requirement(text) for text in requires):
        raise LockError(f"'{name}' has malformed requires in the lock file")
    return tuple(requires)


def _is_requirement(text: object) -> bool:
    if not isinstance(text, str):
        return False
    try:
        required = Requirement(text)
    except InvalidRequirement:
        return False
    # Whatever is read can be written again.
    return required.url is None and _NAME.fullmatch(required.name) is not None
