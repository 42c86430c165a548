"""A conda-lock file of version 1: an exact one that a pullforge wrote, or one of conda-lock's.

The first kind keeps its key, and so gives the same image everywhere; its packages, base and
channels must be among those that this server offers. The second has no sizes and build numbers,
which the channels know.
"""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from builder.errors import ChannelNotAllowed, InputError, LockError
from builder.inputs.allowed import AllowedSources
from builder.inputs.document import Field
from builder.inputs.locked_packages import (
    check_count,
    chosen_platforms,
    listed_package,
    listed_wheel,
    package_list,
)
from builder.inputs.packages import ListedPackage, PackageList
from builder.inputs.requirements import check_variable
from builder.lock import Lock, from_yaml
from builder.platforms import Subdir
from builder.records import PackageRecord, WheelRecord

_KEY: Final = "pullforge.key"
#: With which pixi wrote files of the same shape, until it had a form of its own.
_OF_PIXI: Final = frozenset({"2", "3"})
_WORD = re.compile(r"[A-Za-z0-9_.!+*-]{1,128}")


def read_conda_lock(data: bytes, document: Field, allowed: AllowedSources) -> Lock | PackageList:
    """Return the packages of a conda-lock file.

    Raises:
        InputError: It is none, or has packages that this server may not fetch or cannot build.
    """
    entries = document.mapping()
    version = entries.get("version", document)
    if version.written in _OF_PIXI:
        raise version.error(
            f"version {version.written} is that of an early pixi: let a newer one lock anew, and"
            " send its pixi.lock"
        )
    if version.written != "1":
        raise version.error("conda-lock files of version 1 can be read: lock with 'conda-lock'")
    metadata = entries["metadata"].present()
    custom = metadata.get("custom_metadata")
    if custom is not None and custom.kind == "mapping" and _KEY in custom.mapping():
        return _exact(data, allowed)
    platforms = metadata.get("platforms", entries["metadata"])
    named = [element.scalar() for element in platforms.list()]
    chosen = chosen_platforms(platforms, named, allowed)
    conda: dict[Subdir, list[ListedPackage]] = {subdir: [] for subdir in chosen}
    wheels: dict[Subdir, list[WheelRecord]] = {subdir: [] for subdir in chosen}
    for element in entries["package"].list():
        category = element.present().get("category")
        subdir = next((s for s in chosen if s == _text(element, "platform")), None)
        if subdir is None or (category is not None and category.written != "main"):
            continue
        hashes = {kind: value.scalar() for kind, value in _hash(element).items()}
        url = _text(element, "url")
        if _text(element, "manager") == "pip":
            wheels[subdir].append(listed_wheel(element, url, hashes.get("sha256"), allowed))
        else:
            conda[subdir].append(listed_package(element, url, hashes, allowed, _stated(element)))
    return package_list(allowed, conda, wheels)


def _exact(data: bytes, allowed: AllowedSources) -> Lock | PackageList:
    """Return a lock of a pullforge if all of it may be fetched, or the list to ask channels for."""
    try:
        lock = from_yaml(data)
    except LockError as exc:
        raise InputError(exc.message) from exc
    try:
        _check(lock, allowed)
        unsure = {
            subdir: tuple(
                ListedPackage(place, record.sha256, record.md5)
                for record in records
                if (place := allowed.locked(record))
            )
            for subdir, records in lock.platforms.items()
        }
    except (ValueError, ChannelNotAllowed) as exc:
        raise InputError(f"the lock file cannot be used here: {exc}") from exc
    if not any(unsure.values()):
        return lock
    return PackageList(unsure, allowed.defaults.channels, lock.virtual_packages, None, exact=lock)


def _check(lock: Lock, allowed: AllowedSources) -> None:
    for subdir, records in lock.platforms.items():
        allowed.platform(subdir)
        check_count(subdir, records, lock.wheels.get(subdir, ()))
    for channel in lock.channels:
        allowed.locked_channel(channel.url)
        _check_words([channel.name])
    for record in (record for records in lock.platforms.values() for record in records):
        _check_file_name(record)
    for wheel in (wheel for wheels in lock.wheels.values() for wheel in wheels):
        allowed.wheel(wheel.url)
    if lock.base:
        allowed.check_base(lock.base)
    for name, value in lock.variables.items():
        check_variable(name, Field("text", value, path=f"variables.{name[:60]}"))
    _check_words(lock.bytecode.values())
    for package in lock.virtual_packages:
        _check_words(package.written)


def _check_file_name(record: PackageRecord) -> None:
    """Refuse a package under another name than its file's.

    Its layer may have been made already, for a lock that says what is so: it would not be looked
    into again.
    """
    stem = unquote(record.file_name).removesuffix(".conda").removesuffix(".tar.bz2")
    if stem != f"{record.name}-{record.version}-{record.build}":
        raise ValueError(
            f"'{record.name}' {record.version} {record.build} has the address of another package:"
            f" {record.url[:200]!r}"
        )


def _check_words(words: Iterable[str]) -> None:
    for word in words:
        if not _WORD.fullmatch(word):
            raise ValueError(f"'{word[:60]}' is neither a name nor a version")


def _stated(element: Field) -> dict[str, dict[str, str]]:
    entry = element.present()
    dependencies = entry["dependencies"].mapping() if "dependencies" in entry else {}
    return {"dependencies": _conditions(dependencies)}


def _conditions(dependencies: dict[str, Field]) -> dict[str, str]:
    return {name: what.scalar() if what.written else "" for name, what in dependencies.items()}


def _hash(element: Field) -> dict[str, Field]:
    entry = element.present()
    return entry["hash"].present() if "hash" in entry else {}


def _text(element: Field, name: str) -> str:
    entry = element.present()
    if name not in entry:
        raise element.error(f"'{name}' is missing")
    return entry[name].scalar()
