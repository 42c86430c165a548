"""Solving a specification as policies want it: what they add, and what they leave out.

A rule such as "pip, if python" is known to hold when there is a solution: then what it wants is
added, and all is solved again, until nothing is lacking::

    applied ──→ solve ──→ lacks what a rule wants beside it ──→ add ──→ solve ──→ …
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

from builder.errors import PolicyRefused, Refusal, UnknownPackage, Unsatisfiable
from builder.lock import Told
from builder.records import without_credentials
from builder.rules.applying import Addition, AppliedSpec, applied, with_required
from builder.rules.candidate import Candidate
from builder.rules.judging import Judge
from builder.rules.match_spec import parse_match_spec
from builder.rules.model import NO_RULES, RequiredRule
from builder.rules.violation import Violation, with_ask
from builder.solve import Solution, Solver
from builder.spec import EnvironmentSpec, Requirement

#: What is added may want more beside it; nobody writes longer chains.
_ROUNDS: Final = 10


class RuledSolve:
    """One solve by the rules of a judge, or by none."""

    def __init__(self, solver: Solver, judge: Judge | None) -> None:
        self._solver = solver
        self._judge = judge
        self._rules = NO_RULES if judge is None else judge.rules
        self._applied: AppliedSpec | None = None
        self._added: list[Addition] = []

    async def solve(self, spec: EnvironmentSpec) -> tuple[EnvironmentSpec, Solution]:
        """Return what was solved, with all that is added, and its solution.

        What asks for projects of PyPI gets a Python whether it says so or not.

        Raises:
            PolicyRefused: Rules do not allow it, nothing fits by them, or what they require does
                not go together with the rest.
            SolveError: Nothing fits, or a channel does not answer.
        """
        wanted = self._applied = applied(spec, self._rules)
        self._added = list(wanted.additions)
        solving = wanted.spec
        conditional = list(wanted.conditional)
        try:
            solution = await self._attempt(solving, *_split(solving, self._rules.required))
        except (Unsatisfiable, UnknownPackage) as exc:
            await self._blame_channels(spec, solving)
            raise exc from exc.__cause__
        for _ in range(_ROUNDS):
            lacking = self._lacking(solving, solution, conditional)
            if not lacking:
                break
            requirements = with_required(solving.requirements, lacking)
            added = replace(solving, requirements=requirements)
            solution = await self._attempt(added, lacking, solving)
            solving = added
            self._added += [Addition.by(rule) for rule in lacking]
            conditional = [rule for rule in conditional if rule not in lacking]
        return solving, solution

    def told(self, solution: Solution, wheels: Iterable[Violation]) -> Told:
        """Return in words what rules have done to it."""
        if self._applied is None:
            return Told()
        refused = [one for found in solution.refused.values() for one in found]
        left_out = [one.left_out for one in (*refused, *wheels)]
        return Told(
            tuple(dict.fromkeys(addition.sentence for addition in self._added)),
            tuple(dict.fromkeys(left_out)),
            tuple(dict.fromkeys(one.sentence for one in self._applied.warnings)),
        )

    async def _attempt(
        self, spec: EnvironmentSpec, added: Sequence[RequiredRule], before: EnvironmentSpec
    ) -> Solution:
        """Solve, and tell whether what was added to ``before`` is in the way if nothing fits."""
        try:
            return await self._solver.solve(_with_python(spec), self._rules)
        except (Unsatisfiable, UnknownPackage) as exc:
            if not added:
                raise
            without = replace(spec, requirements=before.requirements)
            await self._solver.solve(_with_python(without), self._rules)
            raise _in_the_way(added, exc.message) from exc

    async def _blame_channels(self, spec: EnvironmentSpec, solving: EnvironmentSpec) -> None:
        """Raise the error of a rule if what is lacking is in a channel that it has taken away.

        Raises:
            PolicyRefused: It is.
        """
        if set(spec.channels) == set(solving.channels):
            return
        everywhere = replace(solving, channels=spec.channels)
        with suppress(Unsatisfiable, UnknownPackage):
            await self._solver.solve(_with_python(everywhere), self._rules)

    def _lacking(
        self, spec: EnvironmentSpec, solution: Solution, rules: Sequence[RequiredRule]
    ) -> list[RequiredRule]:
        """Return the rules that want another package beside those of any platform."""
        if self._judge is None or not rules:
            return []
        channels = {without_credentials(one.url): one.name for one in spec.channels}
        found: dict[RequiredRule, None] = {}
        for packages in solution.values():
            candidates = [Candidate.of_package(package, channels) for package in packages]
            found.update(dict.fromkeys(self._judge.required(candidates, rules)))
        return list(found)


def _split(
    spec: EnvironmentSpec, rules: Sequence[RequiredRule]
) -> tuple[list[RequiredRule], EnvironmentSpec]:
    """Return the rules by which something is wanted, whoever has added it, and all without it."""
    by_rule = {parse_match_spec(rule.spec): rule for rule in rules if not rule.condition}
    kept = tuple(wanted for wanted in spec.requirements if wanted not in by_rule)
    added = [rule for wanted, rule in by_rule.items() if wanted in spec.requirements]
    return added, replace(spec, requirements=kept)


def _in_the_way(added: Sequence[RequiredRule], why: str) -> PolicyRefused:
    specs = " and ".join(rule.spec for rule in added)
    author = added[0].author
    ask = f"ask {author.contact}" if author.contact else ""
    message = f"{specs} is required by policy '{author.policy}', and with it, {why}"
    return PolicyRefused(with_ask(message, ask), Refusal(author.policy, "packages", author.contact))


def _with_python(spec: EnvironmentSpec) -> EnvironmentSpec:
    """Return ``spec`` with a Python where it has wheels to install and asks for none."""
    if not spec.pip or any(wanted.name == "python" for wanted in spec.requirements):
        return spec
    return replace(spec, requirements=tuple(sorted([*spec.requirements, Requirement("python")])))
