"""uv's answer: a ``pylock.toml`` with every wheel that would do, of which the best is taken."""

import datetime
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from packaging.tags import Tag
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename
from packaging.version import Version

from builder.errors import NoWheel, UnsafePackage
from builder.pypi.target import Target
from builder.pypi.wheel_tags import supported_tags
from builder.records import WheelRecord, wheel_address, without_credentials

_URL: Final = re.compile(r"https?://[!-~]+/[A-Za-z0-9_.!+%~-]+\.whl")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
#: ``name==version  # via a, b`` or ``name @ address  # via a, b``.
_VIA: Final = re.compile(r"([A-Za-z0-9._-]+)(?:==| @ )\S+\s+# via (.*)")


def read_pylock(
    text: str,
    target: Target,
    provided: Collection[str],
    hosts: Collection[str],
    hashes: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> tuple[WheelRecord, ...]:
    """Return the wheels of an answer, sorted by name, without those that conda provides.

    Args:
        text: A ``pylock.toml``.
        target: What they must fit.
        provided: Normalized names.
        hosts: Where wheels may lie, with the port where there is one.
        hashes: Of which the wheels of some projects must have one.

    Raises:
        NoWheel: A project has none that fits, or none with a sha256, or not with one of those.
        UnsafePackage: A wheel lies on a host that is not allowed.

    Source: PEP 751.
    """
    ranks = supported_tags(target.subdir, target.python, target.glibc)
    wheels = [
        _record(package, ranks, target, hashes.get(package["name"], ()))
        for package in tomllib.loads(text).get("packages", [])
        if package["name"] not in provided
    ]
    for wheel in wheels:
        host = urlsplit(wheel.url).netloc
        if host not in hosts:
            raise UnsafePackage(
                f"{wheel.file_name} lies on '{host}', from which this server takes no wheels"
            )
    return tuple(sorted(wheels, key=lambda wheel: wheel.name))


def read_dates(text: str) -> Mapping[str, int]:
    """Return when wheels were uploaded, in milliseconds since 1970, by their sha256.

    Those that the index does not say are left out.
    """
    found = {}
    for package in tomllib.loads(text).get("packages", []):
        for wheel in package.get("wheels", []):
            uploaded, digest = wheel.get("upload-time"), wheel.get("hashes", {}).get("sha256", "")
            if isinstance(uploaded, datetime.datetime) and digest:
                moment = uploaded if uploaded.tzinfo else uploaded.replace(tzinfo=datetime.UTC)
                found[digest] = round(moment.timestamp() * 1000)
    return found


def read_needs(text: str) -> Mapping[str, tuple[str, ...]]:
    """Return the names of what each package needs, from a ``requirements.txt`` with annotations.

    >>> read_needs("idna==3.10  # via -r wanted.in, requests")
    {'requests': ('idna',)}
    """
    needs: dict[str, set[str]] = {}
    for line in text.splitlines():
        match = _VIA.fullmatch(line.strip())
        for needing in match[2].split(", ") if match else ():
            if match and not needing.startswith("-"):
                needs.setdefault(needing, set()).add(match[1])
    return {name: tuple(sorted(needed)) for name, needed in sorted(needs.items())}


def _record(
    package: Mapping[str, Any],
    ranks: Mapping[Tag, int],
    target: Target,
    hashes: Collection[str],
) -> WheelRecord:
    name, version = str(package["name"]), str(package["version"])
    wheels = package.get("wheels", [])
    if hashes:
        wheels = [w for w in wheels if w.get("hashes", {}).get("sha256", "") in hashes]
    if hashes and not wheels:
        raise NoWheel(
            f"no wheel of '{name}' {version} has the sha256 that was asked for: leave '--hash' out,"
            " or give that of a wheel, since sources are not built"
        )
    best = _best(wheels, ranks, name, version)
    if best is None:
        raise NoWheel(
            f"no wheel of '{name}' {version} fits Python {target.python.short} on {target.subdir}"
            f" with glibc {target.glibc or '2.17'}"
        )
    digest = best.get("hashes", {}).get("sha256", "")
    if not _SHA256.fullmatch(digest):
        raise NoWheel(f"the index gives no sha256 for {best['url']}, so it cannot be locked")
    return WheelRecord(
        name=name,
        version=version,
        url=wheel_address(without_credentials(best["url"])),
        sha256=digest,
        size_bytes=int(best.get("size", 0)),
    )


def _best(
    wheels: Sequence[Mapping[str, Any]], ranks: Mapping[Tag, int], name: str, version: str
) -> Mapping[str, Any] | None:
    """Return the wheel with the best tag; of several the one with the highest build number."""
    fitting = []
    for wheel in wheels:
        url = str(wheel.get("url", ""))
        if not _URL.fullmatch(url):
            continue
        file_name = unquote(url.rpartition("/")[2])
        try:
            named, numbered, build, tags = parse_wheel_filename(file_name)
        except InvalidWheelFilename:
            continue
        if named == canonicalize_name(name) and numbered == Version(version):
            rank = min((ranks[tag] for tag in tags if tag in ranks), default=None)
            if rank is not None:
                number, suffix = build or (0, "")
                fitting.append(((rank, -number, suffix, file_name), wheel))
    return min(fitting, key=lambda pair: pair[0])[1] if fitting else None
