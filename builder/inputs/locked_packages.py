"""From the entries of a lock file to a package list: what all formats have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from builder.errors import ChannelNotAllowed, InputError, LockError
from builder.inputs.allowed import AllowedSources, file_parts
from builder.inputs.document import Field
from builder.inputs.packages import ListedPackage, PackageList
from builder.lock.fields import MD5, SHA256, record_of
from builder.platforms import Subdir
from builder.records import PackageRecord, WheelRecord
from builder.spec import Channel

#: How many packages one platform may have, and as many wheels: each costs the event loop about a
#: millisecond when an image is made of it. The largest environments that are known have 1,500.
_MAX_PACKAGES: Final = 2000


def check_count(subdir: Subdir, packages: Sequence[object], wheels: Sequence[object]) -> None:
    """Check that a platform has no more packages, nor wheels, than an image may have.

    Raises:
        InputError: It has.
    """
    most = max(len(packages), len(wheels))
    if most > _MAX_PACKAGES:
        raise InputError(
            f"there are {most} packages for {subdir}, and an image may have {_MAX_PACKAGES}"
        )


def package_list(
    allowed: AllowedSources,
    platforms: Mapping[Subdir, Sequence[ListedPackage]],
    wheels: Mapping[Subdir, Sequence[WheelRecord]] | None = None,
) -> PackageList:
    """Return the list; which channels it has follows from its packages alone.

    So the same packages are the same list in whatever format they were sent.

    Raises:
        InputError: A platform has two packages of one name, or none at all.
    """
    for subdir, listed in platforms.items():
        check_count(subdir, listed, (wheels or {}).get(subdir, ()))
        _check_names(subdir, listed)
    used: set[Channel | None] = {
        package.place.channel for listed in platforms.values() for package in listed
    }
    defaults = allowed.defaults
    return PackageList(
        platforms={subdir: tuple(platforms[subdir]) for subdir in sorted(platforms)},
        channels=tuple(channel for channel in defaults.channels if channel in used),
        virtual_packages=defaults.virtual_packages,
        base=defaults.base,
        wheels={subdir: tuple(found) for subdir, found in sorted((wheels or {}).items())},
    )


def chosen_platforms(
    field: Field, names: Sequence[str], allowed: AllowedSources
) -> tuple[Subdir, ...]:
    """Return those of a file's platforms that this server builds for.

    Raises:
        InputError: There are none.
    """
    found = allowed.platforms(names)
    if not found:
        raise field.error(
            f"it has packages for {', '.join(name[:40] for name in names[:10]) or 'no platform'},"
            f" and this server builds for {', '.join(allowed.defaults.platforms)}"
        )
    return found


def listed_package(
    field: Field,
    url: str,
    hashes: Mapping[str, str | None],
    allowed: AllowedSources,
    stated: Mapping[str, Any] | None = None,
    channel: str | None = None,
) -> ListedPackage:
    """Return one package of a file.

    Args:
        field: Where it stands.
        url: Its address.
        hashes: ``sha256`` and ``md5``, where the file gives them.
        allowed: Where it may come from.
        stated: What the file says of it besides: ``dependencies`` as conda-lock has them, and
            fields of a record.
        channel: Which channel lists it, where the file says that beside the address.

    Raises:
        InputError: It lies elsewhere than in a channel of this server, or a hash is malformed.
    """
    try:
        place = allowed.package(url, channel)
    except (ValueError, ChannelNotAllowed) as exc:
        raise field.error(str(exc)) from exc
    for kind, pattern in (("sha256", SHA256), ("md5", MD5)):
        value = hashes.get(kind)
        if value is not None and not pattern.fullmatch(value):
            raise field.error(f"its {kind} is not lower-case hex digits of the right number")
    listed = ListedPackage(
        place, hashes.get("sha256"), hashes.get("md5"), None, field.path or None, field.line
    )
    if stated is None or place.elsewhere or not (listed.sha256 or listed.md5):
        return listed
    try:
        return replace(listed, record=_record(listed, stated))
    except LockError as exc:
        raise field.error(exc.message) from exc


def listed_wheel(
    field: Field, url: str, sha256: str | None, allowed: AllowedSources
) -> WheelRecord:
    """Return one wheel of a file; name and version are those of its file name.

    Raises:
        InputError: It lies elsewhere than where wheels may, is no wheel, or has no sha256.
    """
    try:
        address = allowed.wheel(url)
        name, version, _, _ = parse_wheel_filename(address.rpartition("/")[2].replace("%2B", "+"))
    except InvalidWheelFilename as exc:
        raise field.error(f"'{url[:200]}' is not the name of a wheel: {exc}") from exc
    except ValueError as exc:
        raise field.error(str(exc)) from exc
    if sha256 is None or not SHA256.fullmatch(sha256):
        raise field.error(f"the sha256 of {name} is missing or malformed")
    return WheelRecord(canonicalize_name(name), str(version), address, sha256)


def _record(listed: ListedPackage, stated: Mapping[str, Any]) -> PackageRecord:
    """Return what a file says of a package, checked like the entry of a conda-lock file.

    Raises:
        LockError: Something is malformed.
    """
    name, version, build = file_parts(listed.place.path)
    entry = {
        "name": name,
        "version": version,
        "build": build,
        "manager": "conda",
        "url": listed.place.url,
        # What stands in for the one that is missing is taken out again.
        "hash": {"md5": listed.md5 or "0" * 32, "sha256": listed.sha256 or "0" * 64},
        "dependencies": stated.get("dependencies", {}),
    }
    record = record_of(entry, {key: stated[key] for key in stated if key != "dependencies"})
    return replace(record, sha256=listed.sha256 or "", md5=listed.md5 or "")


def _check_names(subdir: Subdir, listed: Sequence[ListedPackage]) -> None:
    if not listed:
        raise InputError(f"the file has no package for {subdir}")
    seen: set[str] = set()
    for package in listed:
        name, _, _ = file_parts(package.place.path)
        if name in seen:
            raise InputError(
                f"package '{name}' is listed twice for {subdir}", package.field, package.line
            )
        seen.add(name)
