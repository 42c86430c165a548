"""What of an index is not offered to the solver, because policies do not let it be installed.

The solver reads indexes in Rust. To hand it every record from Python takes several times as long as
a solve, so it goes on to read them by itself, and is told what it shall not take::

    roots ──→ names that could be needed ──→ refused records of each
                                               ├─ too young: a date for all (``exclude_newer``)
                                               ├─ all of some versions: a constraint on the version
                                               └─ some of a version: from here, without the refused

Constraints hold for a package if it is installed, and wish for none. A constraint is taken only if
it lets pass exactly the records that the judge does. Else the records that remain are offered in
place of the channel's, as those of a channel of higher priority. That is also done for packages
that may be younger than others, with the date that all must have.

A package is offered by the first channel that has its name, also where all its records there are
refused: one of a lesser channel with the same name is another thing.

What was found out is kept for as long as the indexes are, by the rules and the channels, so that a
judge sees each record once.
"""

import asyncio
import json
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import rattler

from builder.platforms import NOARCH, Subdir
from builder.records import split_match_spec, without_credentials
from builder.rules.candidate import project_of
from builder.rules.checks import passed
from builder.rules.judging import Judge
from builder.rules.versions import conda_version
from builder.rules.violation import Violation
from builder.solve.filtered import Filtered, Original, Refused, allowed_in
from builder.solve.offered import EPOCH, MS, Offered
from builder.spec import Channel

#: For so many sets of channels, platforms and rules is kept what was found out.
_RECENT: Final = 16
#: So many refused versions of a name are kept: one is told, and the newest matters.
_SHOWN: Final = 20
#: Matches no version.
_NOTHING: Final = "<0a0,>0"


@dataclass(slots=True)
class _Name:
    """What is known of a package's name."""

    #: The names of all that any record of it needs.
    needs: frozenset[str] = frozenset()
    #: The place of the channel that offers it; ``None``: none does.
    home: int | None = None
    #: The newest version of which a record is refused comes first.
    refused: tuple[Refused, ...] = ()
    constraint: rattler.MatchSpec | None = None
    #: Whether its records are offered from here.
    is_mixed: bool = False


class Filter:
    """Finds what is not offered of indexes that a gateway has; for one gateway.

    To be used in one event loop, by many at once.
    """

    def __init__(self) -> None:
        self._recent: OrderedDict[tuple[object, ...], dict[tuple[str, int], _Name]] = OrderedDict()

    async def of(
        self,
        gateway: rattler.Gateway,
        judge: Judge,
        channels: Sequence[Channel],
        platform: Subdir,
        pins: Mapping[str, int],
        until_ms: int | None,
    ) -> Filtered:
        """Return what the solver is told.

        Args:
            gateway: Whose indexes are meant.
            judge: By the rules that hold.
            channels: In order of priority.
            platform: What is solved for, beside noarch.
            pins: What is wanted, by its name, and the place of the channel it must come from.
            until_ms: The specification's own date.
        """
        known = self._known(judge, channels, platform)
        while missing := _closure(known, pins)[1]:
            found = await _query(gateway, channels, platform, missing, recursive=True)
            await asyncio.to_thread(_learn, known, judge, channels, found, pins, missing)
        names = sorted(_closure(known, pins)[0])
        each = {name: known[name, pins.get(name, -1)] for name in names}
        mixed = {name: one.home for name, one in each.items() if one.is_mixed}
        filtered = Filtered(
            [one.constraint for one in each.values() if one.constraint],
            published_until_ms=judge.published_until_ms,
            refused={name: one.refused for name, one in each.items() if one.refused},
        )
        if not mixed:
            return filtered
        found = await _query(gateway, channels, platform, list(mixed), recursive=False)
        records, originals = await asyncio.to_thread(
            _allowed, judge, channels, found, mixed, until_ms
        )
        return replace(filtered, records=records, originals=originals)

    def forget(self, url: str) -> None:
        """Forget what was found out of a channel, by its address."""
        for key in [key for key in self._recent if url in key]:
            del self._recent[key]

    def _known(
        self, judge: Judge, channels: Sequence[Channel], platform: Subdir
    ) -> dict[tuple[str, int], _Name]:
        key = (judge.rules.digest, platform, *(channel.url for channel in channels))
        known = self._recent.setdefault(key, {})
        self._recent.move_to_end(key)
        while len(self._recent) > _RECENT:
            self._recent.popitem(last=False)
        return known


def _closure(
    known: Mapping[tuple[str, int], _Name], pins: Mapping[str, int]
) -> tuple[set[str], list[str]]:
    """Return the names that could be needed, and those of them of which nothing is known."""
    found = set(pins)
    missing = []
    waiting = deque(pins)
    while waiting:
        name = waiting.popleft()
        one = known.get((name, pins.get(name, -1)))
        if one is None:
            missing.append(name)
            continue
        new = one.needs - found
        found |= new
        waiting.extend(new)
    return found, sorted(missing)


async def _query(
    gateway: rattler.Gateway,
    channels: Sequence[Channel],
    platform: Subdir,
    names: Sequence[str],
    *,
    recursive: bool,
) -> list[dict[str, list[rattler.RepoDataRecord]]]:
    """Return the records of each channel by their names."""
    sources = [rattler.Channel(channel.url) for channel in channels]
    found = await gateway.query(
        sources,
        [platform, NOARCH],
        [rattler.MatchSpec(name) for name in names],
        recursive=recursive,
        channel_relations="disabled",
    )
    addresses = [without_credentials(channel.base_url).rstrip("/") for channel in sources]
    return await asyncio.to_thread(_by_name, found, addresses)


def _by_name(
    found: Sequence[Sequence[rattler.RepoDataRecord]], addresses: Sequence[str]
) -> list[dict[str, list[rattler.RepoDataRecord]]]:
    """Return the records by channel and name; those of a subdir, found together, are of one."""
    by_name: list[dict[str, list[rattler.RepoDataRecord]]] = [{} for _ in addresses]
    for records in found:
        if not records:
            continue
        address = without_credentials(records[0].channel).rstrip("/")
        of_channel = by_name[addresses.index(address)]
        for record in records:
            of_channel.setdefault(record.name.normalized, []).append(record)
    return by_name


def _learn(
    known: dict[tuple[str, int], _Name],
    judge: Judge,
    channels: Sequence[Channel],
    found: Sequence[Mapping[str, list[rattler.RepoDataRecord]]],
    pins: Mapping[str, int],
    missing: Sequence[str],
) -> None:
    """Add what is found to what is known."""
    names_in: dict[str, str] = {}
    for name in {*missing, *(name for records in found for name in records)}:
        pin = pins.get(name, -1)
        if (name, pin) in known:
            continue
        home = pin if pin >= 0 else next((i for i, of in enumerate(found) if name in of), None)
        records = [] if home is None else found[home].get(name, [])
        needs = frozenset(
            needed
            for record in records
            for spec in record.depends
            if (needed := _needed(spec, names_in)) and not needed.startswith("__")
        )
        one = _Name(needs, home)
        if home is not None:
            _refuse(one, judge, name, channels[home].name, records)
        known[name, pin] = one


def _needed(spec: str, names_in: dict[str, str]) -> str:
    """Return the name in a match spec; records repeat each other's."""
    name = names_in.get(spec)
    if name is None:
        split = split_match_spec(spec)
        name = names_in[spec] = split[0] if split else ""
    return name


def _refuse(
    one: _Name, judge: Judge, name: str, channel: str, records: list[rattler.RepoDataRecord]
) -> None:
    """Find out what of a name is refused, and how the solver is told so."""
    refuses = judge.refuses("conda", name, _project(judge, name, records))
    if refuses is passed:
        return
    until_ms = judge.published_until_ms
    refused: list[tuple[Offered, Violation]] = []
    allowed: list[rattler.RepoDataRecord] = []
    for record in records:
        offered = Offered(record, name, channel)
        violation = refuses(offered)
        if violation is None:
            allowed.append(record)
            one.is_mixed = one.is_mixed or not offered.is_old(until_ms)
        else:
            refused.append((offered, violation))
    one.refused = _newest(refused)
    if one.is_mixed:
        return
    excluded = [offered.record for offered, _ in refused if offered.is_old(until_ms)]
    if excluded:
        one.constraint = _constraint(name, excluded, allowed)
        one.is_mixed = one.constraint is None


def _constraint(
    name: str,
    excluded: Sequence[rattler.RepoDataRecord],
    allowed: Sequence[rattler.RepoDataRecord],
) -> rattler.MatchSpec | None:
    """Return what the allowed records match and the others do not; ``None``: there is nothing."""
    versions = [sorted({str(r.version) for r in records}) for records in (excluded, allowed)]
    ways = [",".join(f"!={version}" for version in versions[0])]
    ways.append("|".join(f"=={version}" for version in versions[1]) or _NOTHING)
    for way in sorted(ways, key=len):
        spec = _match_spec(f'{name}[version="{way}"]')
        if spec and all(map(spec.matches, allowed)) and not any(map(spec.matches, excluded)):
            return spec
    return None


def _match_spec(text: str) -> rattler.MatchSpec | None:
    """Return a match spec; ``None``: an index has a version that none can say."""
    try:
        return rattler.MatchSpec(text)
    except Exception:  # noqa: BLE001 - rattler's exceptions have no base of their own
        return None


def _newest(
    refused: Sequence[tuple[Offered, Violation]],
) -> tuple[Refused, ...]:
    """Return the newest of what is refused, each version once."""
    by_version: dict[str, Violation] = {}
    for offered, violation in refused:
        by_version.setdefault(offered.version, violation)
    read = [
        Refused(version, violation)
        for text, violation in by_version.items()
        if (version := conda_version(text)) is not None
    ]
    read.sort(key=lambda one: one.version, reverse=True)
    return tuple(read[:_SHOWN])


def _allowed(
    judge: Judge,
    channels: Sequence[Channel],
    found: Sequence[Mapping[str, list[rattler.RepoDataRecord]]],
    mixed: Mapping[str, int | None],
    until_ms: int | None,
) -> tuple[dict[tuple[str, str], list[rattler.RepoDataRecord]], dict[str, Original]]:
    """Return the records that are offered from here, and what they were before."""
    records: dict[tuple[str, str], list[rattler.RepoDataRecord]] = {}
    originals = {}
    latest_ms = judge.published_until_ms
    for name, home in mixed.items():
        if home is None:
            continue
        of_name = found[home].get(name, [])
        refuses = judge.refuses("conda", name, _project(judge, name, of_name))
        records.update({(subdir, name): [] for subdir in {r.subdir for r in of_name}})
        for record in of_name:
            offered = Offered(record, name, channels[home].name)
            if not offered.is_old(until_ms) or refuses(offered):
                continue
            originals[record.url] = Original(
                record.channel, record.timestamp, record.indexed_timestamp
            )
            record.channel = allowed_in(channels[home].url)
            if not offered.is_old(latest_ms):
                record.timestamp = EPOCH + (latest_ms or 0) * MS
                record.indexed_timestamp = None
            records[record.subdir, name].append(record)
    return records, originals


def _project(judge: Judge, name: str, records: Sequence[rattler.RepoDataRecord]) -> str:
    """Return the project of PyPI that packages of a name are made from, by the first of them."""
    if not judge.reads_projects or not records:
        return ""
    one = min(records, key=lambda record: record.url)
    return project_of(name, one.depends, json.loads(one.to_json()).get("purls"))
