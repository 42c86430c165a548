"""Wheels by the rules of policies: uv chooses, a judge refuses, uv chooses again.

::

    without rules ──→ nothing refused ──→ that is it
         │ refused
         └──→ with a date and without what was refused ──→ nothing refused ──→ that is it
                  └────────────── again ──────────────┘

uv cannot be told what to leave out but by dates and versions, so that what it has chosen is looked
at, a bounded number of times. An index says when a wheel was uploaded; its licence stands in the
wheel, which is downloaded for it if rules are about licences, and only when nothing else is wrong.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from builder.build.contents_cache import ContentsCache
from builder.concurrency.single_flight import together
from builder.errors import NoWheel, PolicyRefused, SolveError, UnknownPackage, Unsatisfiable
from builder.lock import WheelFacts
from builder.pypi import ProjectLimits, Provided, Pypi, Target
from builder.pypi.requirement import project_of
from builder.records import WheelRecord
from builder.rules.candidate import NO_LICENCE, UNDATED, Candidate
from builder.rules.judging import Judge
from builder.rules.violation import Violation
from builder.solve.blame import blame
from builder.spec import EnvironmentSpec

#: How often uv is asked again.
_ROUNDS: Final = 20
_NOTHING_FITS: Final[tuple[type[SolveError], ...]] = (UnknownPackage, NoWheel, Unsatisfiable)


class JudgedWheels:
    """Chooses the wheels of one platform."""

    def __init__(self, contents: ContentsCache, pypi: Pypi, judge: Judge) -> None:
        self._contents = contents
        self._pypi = pypi
        self._judge = judge
        #: What was refused and is there in another version now, by name.
        self.refused: tuple[Violation, ...] = ()

    async def choose(
        self, spec: EnvironmentSpec, provided: Provided, target: Target
    ) -> Mapping[WheelRecord, WheelFacts]:
        """Return the wheels, sorted by name, with what is known of them.

        Raises:
            SolveError: Nothing fits, also without rules, or the index does not answer.
            PolicyRefused: Nothing fits by the rules.
            PackageError: A package of conda, or a wheel whose licence matters, cannot be had.
        """
        facts, refused = await self._chosen(spec, provided, target, ProjectLimits())
        if not refused:
            return facts
        first = refused
        seen = {wheel.name for wheel in facts}
        excluded: dict[str, Violation] = {}
        for _ in range(_ROUNDS):
            excluded.update({self._exclusion(one): one for one in refused})
            dates = self._judge.own_dates(seen)
            limits = ProjectLimits(self._judge.published_until_ms, dates, tuple(excluded))
            try:
                facts, refused = await self._chosen(spec, provided, target, limits)
            except _NOTHING_FITS as exc:
                raise self._blamed(exc.message, [*first, *excluded.values()], spec) from exc
            seen |= {wheel.name for wheel in facts}
            if not refused:
                chosen = {wheel.name for wheel in facts}
                left_out = {one.name: one for one in reversed([*first, *excluded.values()])}
                self.refused = tuple(left_out[name] for name in sorted(chosen & left_out.keys()))
                return facts
        raise self._blamed("", refused, spec)

    async def facts_of(
        self, wheels: Sequence[WheelRecord], target: Target
    ) -> Mapping[WheelRecord, WheelFacts]:
        """Return what rules want to know of wheels; raises as :meth:`choose`."""
        dates: Mapping[str, int] = {}
        if wheels and self._judge.published_until_ms is not None:
            dates = await self._pypi.dates(wheels, target)
        return await self._with_licences(
            {wheel: self._dated(dates.get(wheel.sha256)) for wheel in wheels}
        )

    async def _chosen(
        self, spec: EnvironmentSpec, provided: Provided, target: Target, limits: ProjectLimits
    ) -> tuple[Mapping[WheelRecord, WheelFacts], list[Violation]]:
        """Return what uv chooses, and what of it is refused."""
        found = await self._pypi.resolve_dated(
            spec.pip, provided, target, spec.until, dict(spec.hashes), limits
        )
        facts: Mapping[WheelRecord, WheelFacts]
        facts = {wheel: self._dated(published_ms) for wheel, published_ms in found.items()}
        refused = self._refused(facts)
        if not refused:
            facts = await self._with_licences(facts)
            refused = self._refused(facts)
        return facts, refused

    def _refused(self, facts: Mapping[WheelRecord, WheelFacts]) -> list[Violation]:
        judged = (self._judge.refusal(Candidate.of_wheel(w, known)) for w, known in facts.items())
        return [violation for violation in judged if violation is not None]

    async def _with_licences(
        self, facts: Mapping[WheelRecord, WheelFacts]
    ) -> Mapping[WheelRecord, WheelFacts]:
        if not self._judge.reads_licences:
            return facts
        contents = await together(self._contents.get_wheel(wheel) for wheel in facts)
        return {
            wheel: WheelFacts(known.license or NO_LICENCE, facts[wheel].published_ms)
            for wheel, known in zip(facts, contents, strict=True)
        }

    def _dated(self, published_ms: int | None) -> WheelFacts:
        return WheelFacts(published_ms=UNDATED if published_ms is None else published_ms)

    def _exclusion(self, one: Violation) -> str:
        """Return the constraint that leaves out what was refused, or all of a project."""
        if self._judge.refuses_all("pypi", one.name):
            return f"{one.name}<0.dev0"
        return f"{one.name}!={one.version}"

    def _blamed(
        self, said: str, refused: Sequence[Violation], spec: EnvironmentSpec
    ) -> PolicyRefused:
        wanted = {project_of(text) for text in spec.pip}
        error = blame(said, list(dict.fromkeys(refused)), wanted)
        assert error is not None, "something is refused"
        return error
