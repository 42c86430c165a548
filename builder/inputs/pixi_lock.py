"""A ``pixi.lock`` of version 4 to 7.

Its environments name packages by address, and ``packages`` says what each of them is. From
version 6 on, the address stands there under ``conda`` or ``pypi``, before that under ``url``. The
environment ``default`` is taken, or the only one.
"""

from collections.abc import Mapping
from typing import Any, Final

from builder.inputs.document import Field
from builder.inputs.listing import chosen_platforms, listed_package, listed_wheel, package_list
from builder.inputs.offers import Offers
from builder.inputs.packages import ListedPackage, PackageList
from builder.platforms import Subdir
from builder.records import WheelRecord

VERSIONS: Final = frozenset({"4", "5", "6", "7"})
_DEFAULT: Final = "default"
#: A record's fields, and what pixi calls them.
_NUMBERS: Final = {
    "build_number": "build_number",
    "size_bytes": "size",
    "timestamp_ms": "timestamp",
}
_TEXTS: Final = ("noarch", "python_site_packages_path")


def read_pixi_lock(document: Field, offers: Offers) -> PackageList:
    """Return the packages of a ``pixi.lock``.

    Raises:
        InputError: It is none, or has packages that this server may not fetch or cannot build.
    """
    entries = document.mapping()
    version = entries.get("version", document)
    if version.written not in VERSIONS:
        raise version.error(f"pixi.lock files of version {', '.join(sorted(VERSIONS))} can be read")
    environments = entries["environments"].mapping()
    if _DEFAULT not in environments and len(environments) != 1:
        raise entries["environments"].error(
            "there is no environment 'default', and more than one other"
        )
    environment = environments.get(_DEFAULT) or next(iter(environments.values()))
    packages = environment.mapping().get("packages") or environment
    by_platform = packages.mapping()
    described = _described(entries["packages"])
    conda: dict[Subdir, list[ListedPackage]] = {}
    wheels: dict[Subdir, list[WheelRecord]] = {}
    for subdir in chosen_platforms(packages, list(by_platform), offers):
        conda[subdir], wheels[subdir] = [], []
        for element in by_platform[subdir].list():
            kind, url = _address(element)
            details = described.get(url)
            if details is None:
                raise element.error("what it is does not stand under 'packages'")
            if kind == "conda":
                conda[subdir].append(_conda(url, details, offers))
            else:
                sha256 = details.mapping().get("sha256")
                wheels[subdir].append(
                    listed_wheel(details, url, sha256.scalar() if sha256 else None, offers)
                )
    return package_list(offers, conda, wheels)


def _described(packages: Field) -> Mapping[str, Field]:
    found: dict[str, Field] = {}
    for element in packages.list():
        entry = element.mapping()
        address = entry.get("conda") or entry.get("pypi") or entry.get("url") or entry.get("path")
        if address is None:
            raise element.error("it has no address: 'conda', 'pypi' or 'url' is missing")
        found.setdefault(address.scalar(), element)
    return found


def _address(element: Field) -> tuple[str, str]:
    entry = element.mapping()
    for kind in ("conda", "pypi"):
        if kind in entry:
            return kind, entry[kind].scalar()
    raise element.error("a package is written as 'conda: ADDRESS' or 'pypi: ADDRESS'")


def _conda(url: str, details: Field, offers: Offers) -> ListedPackage:
    entry = details.mapping()
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
    return listed_package(details, url, hashes, offers, stated)


def _number(field: Field) -> int:
    if field.kind != "number" or not (field.written.isdecimal() and len(field.written) < 16):
        raise field.error("a whole number is expected")
    return int(field.written)
