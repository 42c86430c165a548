"""Which advisories a step from one build to another gets rid of, and which it brings."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from builder.rules.affecting import is_affected
from builder.rules.candidate import Candidate
from builder.rules.model import Advisory, Affected, Manager
from registry.policy.documents import SEVERITIES

#: Which package an advisory is about: its id, manager and name.
_Hit = tuple[str, Manager, str]
_NOBODY: Final = len(SEVERITIES)


@dataclass(frozen=True, slots=True)
class AdvisoryChange:
    """An advisory that one of two builds has, and the other has not."""

    advisory: Advisory
    manager: Manager
    name: str
    #: Of the package that is affected.
    version: str
    #: The first version that is not affected any more; empty: none is known.
    fixed_in: str
    platforms: Sequence[str]


@dataclass(frozen=True, slots=True)
class AdvisoryChanges:
    """What becomes of advisories in a step from one build to another, the worst first."""

    #: The first build has them, the second has not.
    fixed: Sequence[AdvisoryChange] = ()
    #: The second build has them, the first has not.
    new: Sequence[AdvisoryChange] = ()


@dataclass(slots=True)
class _Found:
    version: str
    fixed_in: str
    platforms: list[str] = field(default_factory=list)


def advisory_changes(
    old: Mapping[str, Collection[Candidate]],
    new: Mapping[str, Collection[Candidate]],
    advisories: Sequence[Advisory],
) -> AdvisoryChanges:
    """Return the advisories that only one of two builds has.

    Only packages that differ are looked at: what is about one that is the same is about both. With
    twenty thousand advisories that takes some tens of milliseconds: call it in a thread.

    Args:
        old: The packages of the first build, by platform.
        new: Those of the second one. A platform that only one of them has is left out.
        advisories: All that are known.
    """
    pairs = {
        platform: (
            _differing(old[platform], new[platform]),
            _differing(new[platform], old[platform]),
        )
        for platform in sorted(old.keys() & new.keys())
    }
    names = {
        name for both in pairs.values() for one in both for item in one for name in _names(item)
    }
    about = _about(names, advisories)
    before: dict[_Hit, _Found] = {}
    after: dict[_Hit, _Found] = {}
    for platform, (gone, come) in pairs.items():
        had, has = dict(_hits(gone, about)), dict(_hits(come, about))
        _keep(before, had, has, platform)
        _keep(after, has, had, platform)
    known = {one.id: one for some in about.values() for one, _ in some}
    return AdvisoryChanges(_sorted(before, known), _sorted(after, known))


def _differing(packages: Collection[Candidate], others: Collection[Candidate]) -> list[Candidate]:
    there = set(others)
    return [one for one in packages if one not in there]


def _names(package: Candidate) -> Iterator[tuple[Manager, str]]:
    """Yield by which names advisories are about a package."""
    yield package.manager, package.name
    if package.manager == "conda" and package.project:
        yield "pypi", package.project


_About = Mapping[tuple[Manager, str], Sequence[tuple[Advisory, Affected]]]


def _about(names: Collection[tuple[Manager, str]], advisories: Iterable[Advisory]) -> _About:
    found: dict[tuple[Manager, str], list[tuple[Advisory, Affected]]] = defaultdict(list)
    for advisory in advisories:
        for affected in advisory.affected:
            if (affected.manager, affected.name) in names:
                found[affected.manager, affected.name].append((advisory, affected))
    return found


def _hits(packages: Iterable[Candidate], about: _About) -> Iterator[tuple[_Hit, _Found]]:
    for package in packages:
        for name in _names(package):
            for advisory, affected in about.get(name, ()):
                is_hit, fixed_in = is_affected(affected, package)
                if is_hit:
                    hit = (advisory.id, package.manager, package.name)
                    yield hit, _Found(package.version, fixed_in)


def _keep(
    kept: dict[_Hit, _Found],
    one: Mapping[_Hit, _Found],
    other: Mapping[_Hit, _Found],
    platform: str,
) -> None:
    for hit, found in one.items():
        if hit not in other:
            kept.setdefault(hit, found).platforms.append(platform)


def _sorted(
    found: Mapping[_Hit, _Found], known: Mapping[str, Advisory]
) -> Sequence[AdvisoryChange]:
    changes = [
        AdvisoryChange(
            known[number], manager, name, one.version, one.fixed_in, tuple(one.platforms)
        )
        for (number, manager, name), one in found.items()
    ]
    return sorted(changes, key=lambda one: (_rank(one.advisory), one.name, one.advisory.id))


def _rank(advisory: Advisory) -> int:
    said = advisory.severity
    return _NOBODY - SEVERITIES.index(said) if said in SEVERITIES else _NOBODY + 1
