"""``policy-solve``: what rules that hit cost a solve in a channel of half a million records.

Both are solved by turns, in the same processes. Warm is a process that has solved the same before;
cold, a new one with nothing on disk.
"""

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench
from benchmarks.figure import Figure
from benchmarks.large_channel import NEWEST_MS, count_records, ensure_large_channel
from benchmarks.solve_scale import wanted_of
from builder.rules.model import (
    NO_RULES,
    Advisory,
    AdvisoryRule,
    Affected,
    AffectedRange,
    AgeRule,
    Author,
    DeniedRule,
    LicenceRule,
    Rules,
)
from builder.solve import Solver
from builder.spec import EnvironmentSpec
from conformance.channel.server import ChannelServer

_COMPANY: Final = Author("company", contact="it@example.org")
#: As many as OSV has for PyPI in some years.
_ADVISORIES: Final = 5000
#: Solves of each by turns.
_TURNS: Final = 20


@dataclass(frozen=True, slots=True)
class _Seconds:
    """What solves took, without rules and with them."""

    without: Sequence[float]
    ruled: Sequence[float]

    @property
    def ratio(self) -> float:
        """The medians, one by the other."""
        return statistics.median(self.ruled) / statistics.median(self.without)


def measure(bench: Bench) -> Figure:
    """Return the seconds of a warm solve by rules ÷ without."""
    directory = ensure_large_channel(10 if bench.short else 1)
    runs = bench.runs(5)
    without, ruled = [], []
    with ChannelServer(directory) as channel:
        asyncio.run(_cold(channel.url, bench.directory("first"), NO_RULES))  # the server is cold
        for _ in range(runs):
            without.append(asyncio.run(_cold(channel.url, bench.directory("cold"), NO_RULES)))
            ruled.append(asyncio.run(_cold(channel.url, bench.directory("cold"), _rules())))
        warm = asyncio.run(_warm(channel.url, bench.directory("warm"), _TURNS))
    cold = _Seconds(without, ruled)
    note = (
        f"{count_records(directory):,} records; warm {statistics.median(warm.without) * 1000:.0f}"
        f" ms without and {statistics.median(warm.ruled) * 1000:.0f} ms with rules, cold"
        f" {cold.ratio:.2f} times as long"
    )
    return Figure(warm.ratio, runs, note)


def _rules() -> Rules:
    """Return rules of every kind that a solve knows; several leave out what it would take."""
    advisories = [
        Advisory(f"GHSA-{number}", (Affected("pypi", f"pure{number}", (AffectedRange("9"),)),))
        for number in range(_ADVISORIES)
    ]
    hit = Affected("conda", "compiled300", (AffectedRange("1.24.0"),))
    return Rules(
        denied=(DeniedRule(_COMPANY, "pure10 ==1.25.0"), DeniedRule(_COMPANY, "lib3 <1.5")),
        licences=(LicenceRule(_COMPANY, denied=("GPL-3.0-*", "AGPL-*")),),
        age=(AgeRule(_COMPANY, "7 days", NEWEST_MS),),
        advisories=(AdvisoryRule(_COMPANY, (*advisories, Advisory("GHSA-hit", (hit,)))),),
    )


async def _cold(url: str, cache: Path, rules: Rules) -> float:
    solver = Solver(cache)
    started = time.monotonic()
    await solver.solve(wanted_of(url), rules)
    seconds = time.monotonic() - started
    await solver.close()
    return seconds


async def _warm(url: str, cache: Path, turns: int) -> _Seconds:
    solver, wanted, rules = Solver(cache), wanted_of(url), _rules()
    for each in (NO_RULES, rules):
        await _solve(solver, wanted, each)
    without, ruled = [], []
    for _ in range(turns):
        without.append(await _solve(solver, wanted, NO_RULES))
        ruled.append(await _solve(solver, wanted, rules))
    await solver.close()
    return _Seconds(without, ruled)


async def _solve(solver: Solver, wanted: EnvironmentSpec, rules: Rules) -> float:
    started = time.monotonic()
    await solver.solve(wanted, rules)
    return time.monotonic() - started
