"""What an environment gets from PyPI: wheels for each platform, beside what conda installs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from builder.build.contents_cache import ContentsCache
from builder.concurrency.single_flight import together
from builder.errors import (
    BuilderError,
    NoWheel,
    PolicyRefused,
    UnknownPackage,
    Unsatisfiable,
)
from builder.lock import Lock, WheelFacts
from builder.platforms import Subdir
from builder.ports import Progress, ProgressListener
from builder.pypi import Provided, Pypi, Target
from builder.records import PackageRecord, WheelRecord
from builder.resolve.judged_wheels import JudgedWheels
from builder.rules.judging import Judge
from builder.rules.violation import Violation
from builder.spec import EnvironmentSpec

#: What leaves a platform out rather than fails: trying again would change nothing.
_NOTHING_FITS: Final[tuple[type[BuilderError], ...]] = (
    UnknownPackage,
    NoWheel,
    Unsatisfiable,
    PolicyRefused,
)

#: A package that needs none of these does not know where Python looks for modules.
_NEEDED_BY_MODULES: Final = frozenset({"python", "python_abi"})


@dataclass(frozen=True, slots=True)
class ResolvedWheels:
    """What was found."""

    #: Has each platform for which everything that is wanted exists, if only as conda's packages.
    wheels: Mapping[Subdir, tuple[WheelRecord, ...]]
    #: The others, with the sentence that says why.
    left_out: Mapping[Subdir, str]
    #: What their index says of them, by sha256, as far as rules ask for it.
    facts: Mapping[str, WheelFacts] = field(default_factory=dict)
    #: What rules have left out, and there is in another version.
    refused: tuple[Violation, ...] = ()


class WheelResolver:
    """Chooses the wheels of environments."""

    def __init__(self, contents: ContentsCache, pypi: Pypi) -> None:
        self._contents = contents
        self._pypi = pypi

    async def choose(
        self,
        spec: EnvironmentSpec,
        solved: Mapping[Subdir, tuple[PackageRecord, ...]],
        on_progress: ProgressListener,
        judge: Judge | None = None,
    ) -> ResolvedWheels:
        """Return the wheels that ``spec.pip`` means beside conda's packages.

        As with those, only the first platform is mandatory, unless the spec says otherwise.

        Args:
            spec: What is wanted.
            solved: Conda's packages.
            on_progress: Is told how far it is.
            judge: Leaves out what breaks rules, if there are any.

        Raises:
            SolveError: Nothing fits on a mandatory platform, or the index does not answer.
            PolicyRefused: Nothing does by the rules, and something would without them.
            PackageError: A package of conda cannot be had.
        """
        wheels: dict[Subdir, tuple[WheelRecord, ...]] = {}
        left_out: dict[Subdir, str] = {}
        facts: dict[str, WheelFacts] = {}
        refused: list[Violation] = []
        for platform, records in solved.items():
            try:
                target = Target.of(platform, records, spec.virtual_packages)
                provided = await self._provided(records, on_progress)
                on_progress(Progress("pypi"))
                if judge is None:
                    wheels[platform] = await self._pypi.resolve(
                        spec.pip, provided, target, spec.until, dict(spec.hashes)
                    )
                    continue
                judged = JudgedWheels(self._contents, self._pypi, judge)
                found = await judged.choose(spec, provided, target)
                wheels[platform] = tuple(found)
                facts.update({wheel.sha256: one for wheel, one in found.items()})
                refused += judged.refused
            except _NOTHING_FITS as exc:
                if platform == spec.platforms[0] or spec.every_platform:
                    raise
                left_out[platform] = exc.message
        return ResolvedWheels(wheels, left_out, facts, tuple(refused))

    async def facts(self, lock: Lock, judge: Judge) -> Mapping[str, WheelFacts]:
        """Return what rules want to know of the wheels of a lock, by their sha256.

        Raises:
            SolveError: The index does not answer.
            PackageError: A wheel whose licence matters cannot be had.
        """
        found: dict[str, WheelFacts] = {}
        for platform, wheels in lock.wheels.items():
            target = Target.of(platform, lock.platforms[platform], lock.virtual_packages)
            judged = JudgedWheels(self._contents, self._pypi, judge)
            facts = await judged.facts_of(wheels, target)
            found.update({wheel.sha256: one for wheel, one in facts.items()})
        return found

    async def _provided(
        self, records: tuple[PackageRecord, ...], on_progress: ProgressListener
    ) -> Provided:
        """Return what conda's packages install for Python."""
        on_progress(Progress("download"))
        suspects = [r for r in records if not _NEEDED_BY_MODULES.isdisjoint(r.depends_names)]
        contents = await together(self._contents.get(record) for record in suspects)
        homes = {
            name: (record, version)
            for record, known in zip(suspects, contents, strict=True)
            for name, version in known.distributions
        }

        async def extras(name: str) -> tuple[str, ...]:
            return await self._contents.extras(homes[name][0], name)

        return Provided({name: homes[name][1] for name in sorted(homes)}, extras)
