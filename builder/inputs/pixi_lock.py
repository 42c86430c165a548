"""A ``pixi.lock`` of version 4 to 7.

Its environments name packages by address, and ``packages`` says what each of them is. From
version 6 on, the address stands there under ``conda`` or ``pypi``, before that under ``url``. From
version 7 on, a platform may have a name of its own beside its subdir, and packages that are built
from source stand under ``conda_source``. The environment ``default`` is taken, or the only one.
"""

from collections.abc import Mapping
from typing import Any, Final

from builder.inputs.allowed import AllowedSources
from builder.inputs.document import Field
from builder.inputs.locked_packages import (
    chosen_platforms,
    listed_package,
    listed_wheel,
    package_list,
)
from builder.inputs.packages import ListedPackage, PackageList
from builder.platforms import Subdir
from builder.records import WheelRecord

VERSIONS: Final = frozenset({"4", "5", "6", "7"})
_DEFAULT: Final = "default"
_NOTHING: Final = Field("nothing")
_SOURCE: Final = "conda_source"
#: What a package may be.
_KINDS: Final = ("conda", "pypi", _SOURCE)
#: How older files mark the address of a wheel that was asked for by it.
_DIRECT: Final = "direct+"
#: A record's fields, and what pixi calls them.
_NUMBERS: Final = {
    "build_number": "build_number",
    "size_bytes": "size",
    "timestamp_ms": "timestamp",
}
_TEXTS: Final = ("noarch", "python_site_packages_path")


def read_pixi_lock(document: Field, allowed: AllowedSources) -> PackageList:
    """Return the packages of a ``pixi.lock``.

    Raises:
        InputError: It is none, or has packages that this server may not fetch or cannot build.
    """
    entries = document.mapping()
    version = entries.get("version", document)
    if version.written not in VERSIONS:
        raise version.error(
            f"pixi.lock files of version {', '.join(sorted(VERSIONS))} can be read: let pixi lock"
            " anew"
        )
    packages = _environment(entries["environments"])
    by_platform = packages.present()
    if not by_platform:
        raise packages.error("the environment has no packages: send a lock of another one alone")
    subdirs = _subdirs(entries.get("platforms", _NOTHING))
    described = _described(entries["packages"])
    conda: dict[Subdir, list[ListedPackage]] = {}
    wheels: dict[Subdir, list[WheelRecord]] = {}
    named = [subdirs.get(name, name) for name in by_platform]
    for subdir in chosen_platforms(packages, named, allowed):
        conda[subdir], wheels[subdir] = [], []
        for element in by_platform[_platform(packages, subdir, subdirs)].list():
            kind, url = _address(element)
            details = described.get(url)
            if details is None:
                raise element.error("what it is does not stand under 'packages'")
            if kind == _SOURCE or "://" not in url or url.startswith("git+"):
                raise details.error(
                    f"{url[:200]!r} is built from source, or lies on the disk of whoever locked:"
                    " put the package into a channel of this server, or lock an environment"
                    " without it"
                )
            if kind == "conda":
                conda[subdir].append(_conda(url, details, allowed))
            else:
                sha256 = details.present().get("sha256")
                wheels[subdir].append(
                    listed_wheel(
                        details,
                        url.removeprefix(_DIRECT),
                        sha256.scalar() if sha256 else None,
                        allowed,
                    )
                )
    return package_list(allowed, conda, wheels)


def _environment(environments: Field) -> Field:
    """Return the packages of the environment that is meant, by platform."""
    known = environments.present()
    if _DEFAULT not in known and len(known) != 1:
        raise environments.error(
            "there is no environment 'default', and not one other alone, but"
            f" {', '.join(name[:40] for name in list(known)[:10]) or 'none'}: send a lock of one"
        )
    environment = known.get(_DEFAULT) or next(iter(known.values()))
    empty = Field("nothing", path=environment.path, line=environment.line)
    return environment.present().get("packages", empty)


def _subdirs(platforms: Field) -> Mapping[str, str]:
    """Return which subdir each platform is of, by its name; from version 7 on they have one."""
    found = {}
    for element in platforms.list():
        entry = element.present()
        if "name" in entry and "subdir" in entry:
            found[entry["name"].scalar()] = entry["subdir"].scalar()
    return found


def _platform(packages: Field, subdir: Subdir, subdirs: Mapping[str, str]) -> str:
    """Return the name of the one platform that is of ``subdir``."""
    names = [name for name in packages.present() if subdirs.get(name, name) == subdir]
    if len(names) > 1 and subdir not in names:
        raise packages.error(
            f"it has packages for {', '.join(name[:40] for name in names[:10])}, which are all"
            f" {subdir}: send a lock that has one of them"
        )
    return subdir if subdir in names else names[0]


def _described(packages: Field) -> Mapping[str, Field]:
    """Return what the file says of each package by its address, also of those nobody asks for."""
    found: dict[str, Field] = {}
    for element in packages.list():
        entry = element.present()
        for key in (*_KINDS, "url", "path"):
            if key in entry:
                found.setdefault(entry[key].scalar(), element)
                break
    return found


def _address(element: Field) -> tuple[str, str]:
    entry = element.present()
    for kind in _KINDS:
        if kind in entry:
            return kind, entry[kind].scalar()
    raise element.error("a package is written as 'conda: ADDRESS' or 'pypi: ADDRESS'")


def _conda(url: str, details: Field, allowed: AllowedSources) -> ListedPackage:
    entry = details.present()
    hashes: dict[str, str | None] = {
        kind: entry[kind].scalar() for kind in ("sha256", "md5") if kind in entry
    }
    stated: dict[str, Any] = {}
    for name, field in _NUMBERS.items():
        if field in entry:
            stated[name] = _number(entry[field])
    for name in _TEXTS:
        if name in entry:
            stated[name] = entry[name].scalar()
    depends = entry["depends"].list() if "depends" in entry else ()
    stated["depends"] = [spec.scalar() for spec in depends]
    channel = entry["channel"].scalar() if "channel" in entry else None
    return listed_package(details, url, hashes, allowed, stated, channel)


def _number(field: Field) -> int:
    if field.kind != "number" or not (field.written.isdecimal() and len(field.written) < 16):
        raise field.error("a whole number is expected")
    return int(field.written)
