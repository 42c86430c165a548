"""What an image consists of, as bills of materials name it: one component for each archive.

A ``noarch`` archive that several platforms have is one component; what it needs is what it needs on
any of them.
"""

import dataclasses
import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from packageurl import PackageURL
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from builder.lock import Lock
from builder.oci.digest import hex_of
from builder.platforms import Subdir
from builder.records import BaseReference, PackageRecord, WheelRecord

#: Where wheels come from that need no mention of it.
_PYPI_FILES: Final = "https://files.pythonhosted.org/"


@dataclass(frozen=True, slots=True)
class Component:
    """One archive."""

    #: Unique among the components of a lock; see https://github.com/package-url/purl-spec.
    purl: str
    name: str
    version: str
    #: Where it was downloaded from.
    url: str
    sha256: str
    #: ``""`` for wheels.
    md5: str
    #: As the archive says it; ``""`` when it says nothing.
    license: str
    #: The purls of what it needs directly, sorted.
    needs: tuple[str, ...]

    @property
    def license_expression(self) -> str | None:
        """The licence as an SPDX expression, if it is one."""
        try:
            return canonicalize_license_expression(self.license)
        except InvalidLicenseExpression:
            return None


def components_of(
    lock: Lock, platforms: Iterable[Subdir], licenses: Mapping[str, str]
) -> tuple[Component, ...]:
    """Return what the images of these platforms consist of beside the base, sorted by purl.

    ``licenses`` has what each archive says its licence is, by sha256.
    """
    found: dict[str, Component] = {}
    for platform in platforms:
        for component in _of_platform(lock, platform, licenses):
            before = found.get(component.purl, component)
            needs = tuple(sorted({*component.needs, *before.needs}))
            found[component.purl] = dataclasses.replace(component, needs=needs)
    return tuple(found[purl] for purl in sorted(found))


def base_purl(base: BaseReference) -> str:
    """Return the purl of a base image."""
    qualifiers = {"repository_url": base.name} if "/" in base.name else {}
    name = base.name.rpartition("/")[2]
    return PackageURL("oci", None, name, base.digest, qualifiers).to_string()


def base_sha256(base: BaseReference) -> str:
    """Return the digits of a base image's digest."""
    return hex_of(base.digest)


def newest_time(lock: Lock, platforms: Iterable[Subdir]) -> str:
    """Return when the newest package was published, such as ``2026-11-01T12:00:00Z``."""
    # A document states it as its time of creation, so that the same lock gives the same bytes.
    times = [r.timestamp_ms or 0 for platform in platforms for r in lock.platforms[platform]]
    newest = datetime.datetime.fromtimestamp(max(times, default=0) // 1000, datetime.UTC)
    return newest.strftime("%Y-%m-%dT%H:%M:%SZ")


def _license(record: PackageRecord, licenses: Mapping[str, str]) -> str:
    """Return what the index says, which may have been corrected, else what the archive says."""
    if not record.listed:
        return licenses.get(record.sha256, "")
    said = record.said.get("license")
    return said if isinstance(said, str) else ""


def _of_platform(lock: Lock, platform: Subdir, licenses: Mapping[str, str]) -> Sequence[Component]:
    records, wheels = lock.platforms[platform], lock.wheels.get(platform, ())
    channels = {channel.url: channel.name for channel in lock.channels}
    conda = {record.name: _conda_purl(record, channels) for record in records}
    pypi = {wheel.name: _wheel_purl(wheel) for wheel in wheels}
    # What a wheel needs and is no wheel, conda has, mostly under the same name.
    either = {str(canonicalize_name(name)): purl for name, purl in conda.items()} | pypi
    components = [
        Component(
            purl=conda[record.name],
            name=record.name,
            version=record.version,
            url=record.url,
            sha256=record.sha256,
            md5=record.md5,
            license=_license(record, licenses),
            needs=_known(record.depends_names, conda),
        )
        for record in records
    ]
    components += [
        Component(
            purl=pypi[wheel.name],
            name=wheel.name,
            version=wheel.version,
            url=wheel.url,
            sha256=wheel.sha256,
            md5="",
            license=licenses.get(wheel.sha256, ""),
            needs=_known((canonicalize_name(Requirement(r).name) for r in wheel.requires), either),
        )
        for wheel in wheels
    ]
    return components


def _known(names: Iterable[str], purls: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(sorted({purls[name] for name in names if name in purls}))


def _conda_purl(record: PackageRecord, channels: Mapping[str, str]) -> str:
    qualifiers = {
        "build": record.build,
        "channel": channels.get(record.channel_url, record.channel_url),
        "subdir": record.subdir,
        "type": "conda" if record.file_name.endswith(".conda") else "tar.bz2",
    }
    return PackageURL("conda", None, record.name, record.version, qualifiers).to_string()


def _wheel_purl(wheel: WheelRecord) -> str:
    qualifiers = {"file_name": wheel.file_name}
    if not wheel.url.startswith(_PYPI_FILES):
        qualifiers["download_url"] = wheel.url
    return PackageURL("pypi", None, wheel.name, wheel.version, qualifiers).to_string()
