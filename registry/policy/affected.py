"""Which packages and versions an advisory in OSV format is about.

Source:
    OSV schema 1.7, ``affected[]`` and "Evaluation".
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from packageurl import PackageURL
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from builder.rules.model import Affected, AffectedRange, Manager

#: Ecosystems whose packages are installed here, in lower case.
_MANAGERS: Final[Mapping[str, Manager]] = {
    "pypi": "pypi",
    "conda": "conda",
    "conda-forge": "conda",
}
#: How conda's names of the packages of other ecosystems begin.
_PREFIXES: Final = {"cran": "r-", "bioconductor": "bioconductor-"}
_VERSIONED: Final = frozenset({"ECOSYSTEM", "SEMVER"})
#: At the same version: where a range ends before another begins, and where one version is all.
_EVENTS: Final = {"fixed": 0, "limit": 0, "introduced": 1, "last_affected": 2}
_LAST_KNOWN: Final = re.compile(r"(<=?)\s*([^\s,<>=]+)")
_MAX_NAME: Final = 200
_MAX_VERSION: Final = 100
_MAX_EVENTS: Final = 10_000
_MAX_VERSIONS: Final = 50_000


class FieldInvalid(ValueError):
    """A value is none that the schema allows.

    Args:
        reason: What it is instead.
        path: Where, from the advisory on.
    """

    def __init__(self, reason: str, *path: str | int) -> None:
        self.path = path
        super().__init__(reason)


def read_affected(entry: Any, *path: str | int) -> Affected | None:
    """Return what one element of ``affected`` is about; ``None`` if nothing here is installed so.

    Args:
        entry: Parsed JSON or YAML.
        path: Where it stands, for errors.

    Raises:
        FieldInvalid: It is not as the schema says.
    """
    of = mapping(entry, *path)
    package = mapping(of.get("package"), *path, "package")
    found = _package(package, *path, "package")
    if found is None:
        return None
    manager, name = found
    is_r = manager == "conda" and name.startswith(("r-", "bioconductor-"))
    versions = [
        _version(text, *path, "versions", index)
        for index, text in enumerate(sequence(of.get("versions"), *path, "versions"))
    ]
    if len(versions) > _MAX_VERSIONS:
        raise FieldInvalid(f"there are more than {_MAX_VERSIONS} versions", *path, "versions")
    ranges: list[AffectedRange] = []
    for index, one in enumerate(sequence(of.get("ranges"), *path, "ranges")):
        ranges += _ranges(mapping(one, *path, "ranges", index), *path, "ranges", index)
    known = mapping(of.get("database_specific"), *path, "database_specific")
    ranges = [_with_last_known(one, known) for one in ranges]
    if is_r:  # CRAN's 1.2-3 is conda's 1.2_3
        versions = [text.replace("-", "_") for text in versions]
        ranges = [_of_r(one) for one in ranges]
    besides = tuple(sorted(set(_beyond(versions, ranges))))
    if not ranges and not besides:
        return None
    return Affected(manager, name, joined(ranges), besides)


def mapping(value: Any, *path: str | int) -> Mapping[str, Any]:
    """Return a mapping; nothing at all is an empty one.

    Raises:
        FieldInvalid: It is something else.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise FieldInvalid("a mapping has to stand here", *path)
    return value


def sequence(value: Any, *path: str | int) -> Sequence[Any]:
    """Return a list; nothing at all is an empty one.

    Raises:
        FieldInvalid: It is something else.
    """
    if value is None:
        return ()
    if not isinstance(value, list):
        raise FieldInvalid("a list has to stand here", *path)
    return value


def text_of(value: Any, most: int, *path: str | int) -> str:
    """Return text of one line, at most so long.

    Raises:
        FieldInvalid: It is something else.
    """
    if not isinstance(value, str) or not value or len(value) > most or not value.isprintable():
        raise FieldInvalid(f"text of 1 to {most} characters has to stand here", *path)
    return value


def _package(package: Mapping[str, Any], *path: str | int) -> tuple[Manager, str] | None:
    ecosystem, name = package.get("ecosystem"), package.get("name")
    if isinstance(ecosystem, str) and ecosystem:
        # What stands behind a colon is a release of it, or a channel.
        kind = ecosystem.partition(":")[0].strip().lower()
        manager, prefix = _MANAGERS.get(kind), _PREFIXES.get(kind)
        if manager is not None:
            return manager, _normalized(manager, text_of(name, _MAX_NAME, *path, "name"))
        if prefix is not None:
            return "conda", prefix + text_of(name, _MAX_NAME, *path, "name").lower()
    purl = package.get("purl")
    if isinstance(purl, str) and purl.startswith(("pkg:pypi/", "pkg:conda/")):
        try:
            found = PackageURL.from_string(purl[:1000])
        except ValueError as exc:
            raise FieldInvalid("this is no package URL", *path, "purl") from exc
        manager = _MANAGERS[found.type]
        return manager, _normalized(manager, text_of(found.name, _MAX_NAME, *path, "purl"))
    return None


def _normalized(manager: Manager, name: str) -> str:
    return canonicalize_name(name) if manager == "pypi" else name.lower()


def _version(value: Any, *path: str | int) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    return text_of(value, _MAX_VERSION, *path).strip()


def _ranges(of: Mapping[str, Any], *path: str | int) -> Iterator[AffectedRange]:
    kind = text_of(of.get("type"), _MAX_NAME, *path, "type")
    if kind not in _VERSIONED:
        return  # commits of git, which nobody installs
    events: list[tuple[str, str]] = []
    listed = sequence(of.get("events"), *path, "events")
    if len(listed) > _MAX_EVENTS:
        raise FieldInvalid(f"there are more than {_MAX_EVENTS} events", *path, "events")
    for index, one in enumerate(listed):
        event = mapping(one, *path, "events", index)
        for name in _EVENTS:
            if event.get(name) is not None:
                version = _version(event[name], *path, "events", index, name)
                if (name, version) != ("limit", "*"):
                    events.append((name, version))
    yield from _paired(events)


def _paired(events: list[tuple[str, str]]) -> Iterator[AffectedRange]:
    """Yield the ranges between events, in whatever order those stand.

    >>> [*_paired([("fixed", "2"), ("introduced", "3"), ("introduced", "0")])]
    [AffectedRange(introduced='0', fixed='2', last=''), AffectedRange(introduced='3', fixed='', last='')]
    """  # noqa: E501 - a doctest's line is as long as what it shows
    if events and all(name != "introduced" for name, _ in events):
        events = [("introduced", "0"), *events]
    begun = ""
    for name, version in _sorted(events):
        if name == "introduced":
            begun = begun or version
        elif begun:
            is_last = name == "last_affected"
            yield AffectedRange(begun, "" if is_last else version, version if is_last else "")
            begun = ""
    if begun:
        yield AffectedRange(begun)


def _sorted(events: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Sort events by version, where all of them have one that can be compared."""
    keyed = []
    for name, version in events:
        try:
            number = Version(version)
        except InvalidVersion:
            return events
        is_first = name == "introduced" and version == "0"
        keyed.append(((not is_first, number, _EVENTS[name]), (name, version)))
    return [event for _, event in sorted(keyed, key=lambda one: one[0])]


def _with_last_known(one: AffectedRange, known: Mapping[str, Any]) -> AffectedRange:
    """Return a range with the end that GitHub knows although nothing is fixed.

    Its advisories say so beside the range: otherwise every later version would be affected.
    """
    text = known.get("last_known_affected_version_range")
    if one.fixed or one.last or not isinstance(text, str):
        return one
    match = _LAST_KNOWN.fullmatch(text.strip()[:_MAX_VERSION])
    if match is None:
        return one
    if match[1] == "<":
        return AffectedRange(one.introduced, fixed=match[2])
    return AffectedRange(one.introduced, last=match[2])


def _of_r(one: AffectedRange) -> AffectedRange:
    return AffectedRange(
        *(text.replace("-", "_") for text in (one.introduced, one.fixed, one.last))
    )


def joined(ranges: Iterable[AffectedRange]) -> tuple[AffectedRange, ...]:
    """Return ranges sorted, each once, and one for those of which one begins where another ends.

    Otherwise a version would be told to be fixed that is affected itself.

    >>> joined([AffectedRange("2", "3"), AffectedRange("0", "1"), AffectedRange("1", "2")])
    (AffectedRange(introduced='0', fixed='3', last=''),)
    """
    left = sorted(set(ranges), key=lambda one: (one.introduced, one.fixed, one.last))
    begins = {one.introduced: one for one in left}
    if len(begins) < len(left):  # several begin at once: what follows on what is not one answer
        return tuple(left)
    ends = {one.fixed for one in left}
    found, used = [], 0
    for one in left:
        if one.introduced in ends:
            continue
        end, used = one, used + 1
        while end.fixed in begins and used <= len(left):
            end, used = begins[end.fixed], used + 1
        found.append(AffectedRange(one.introduced, end.fixed, end.last))
    # If some are left over, or too many were used, they follow on each other round and round.
    return tuple(found) if used == len(left) else tuple(left)


def _beyond(versions: Sequence[str], ranges: Sequence[AffectedRange]) -> Iterator[str]:
    """Yield the versions that are in no range: databases list the others, too, by the hundred."""
    bounds = []
    for one in ranges:
        try:
            first = None if one.introduced == "0" else Version(one.introduced)
            fixed = Version(one.fixed) if one.fixed else None
            last = Version(one.last) if one.last else None
        except InvalidVersion:
            continue
        bounds.append((first, fixed, last))
    for text in versions:
        try:
            number = Version(text)
        except InvalidVersion:
            yield text
            continue
        if not any(
            (first is None or number >= first)
            and (fixed is None or number < fixed)
            and (last is None or number <= last)
            for first, fixed, last in bounds
        ):
            yield text
