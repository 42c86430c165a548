"""From requirements to wheels."""

import asyncio
import datetime
import re
import tempfile
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final

from builder.errors import IndexUnavailable
from builder.pypi.explain import explain
from builder.pypi.limits import ProjectLimits
from builder.pypi.pylock import read_dates, read_needs, read_pylock
from builder.pypi.stubs import write_constraints
from builder.pypi.target import Target
from builder.pypi.uv import Uv, UvFailed
from builder.records import WheelRecord

#: Gives what the extras of one of conda's distributions need, by its normalized name.
ExtrasReader = Callable[[str], Awaitable[Sequence[str]]]

_NO_LIMITS: Final = ProjectLimits()
_NO_EXTRA: Final = re.compile(r"The package `([a-z0-9-]+) @ \S+` does not have an extra named")


@dataclass(frozen=True, slots=True)
class Provided:
    """What conda installs for Python."""

    #: Version of each distribution by its normalized name.
    versions: Mapping[str, str]
    extras: ExtrasReader


class Pypi:
    """Resolves what is wanted from PyPI; to be used by many at once.

    Args:
        uv: Asks the index.
        scratch: A directory for files under way.
        stubs: Where stand-ins for conda's packages are kept; may be emptied at any time
            nothing is resolved.
        hosts: Where wheels may lie, with the port where there is one.
    """

    def __init__(self, uv: Uv, scratch: Path, stubs: Path, hosts: Collection[str]) -> None:
        self._uv = uv
        self._scratch = scratch
        self._stubs = stubs
        self._hosts = frozenset(hosts)

    async def resolve(
        self,
        wanted: Sequence[str],
        provided: Provided,
        target: Target,
        until: datetime.date | None = None,
        hashes: Mapping[str, Collection[str]] = MappingProxyType({}),
        limits: ProjectLimits = _NO_LIMITS,
    ) -> tuple[WheelRecord, ...]:
        """Return the wheels of :meth:`resolve_dated`, which see for all else."""
        found = await self.resolve_dated(wanted, provided, target, until, hashes, limits)
        return tuple(found)

    async def resolve_dated(
        self,
        wanted: Sequence[str],
        provided: Provided,
        target: Target,
        until: datetime.date | None = None,
        hashes: Mapping[str, Collection[str]] = MappingProxyType({}),
        limits: ProjectLimits = _NO_LIMITS,
    ) -> Mapping[WheelRecord, int | None]:
        """Return the wheels to install beside conda's packages, sorted by name, with their dates.

        A date is when it was uploaded, in milliseconds since 1970, if the index says.

        They and what is ``provided`` together meet every requirement of ``wanted`` and of each
        other. No other version of what is provided is ever among them. It may be cancelled at
        any time.

        Args:
            wanted: As :attr:`builder.spec.EnvironmentSpec.pip`.
            provided: What conda installs.
            target: What wheels must fit.
            until: Only what was uploaded up to the end of that day, UTC, counts.
            hashes: As :attr:`builder.spec.EnvironmentSpec.hashes`.
            limits: What else does not count.

        Raises:
            UnknownPackage: The index has no such project.
            NoWheel: A project has no wheel that fits.
            Unsatisfiable: No versions go together.
            SolveTimeout: It took too long.
            IndexUnavailable: The index does not answer.
            UnsafePackage: A wheel lies on a host that is not allowed.
            PackageError: A conda package whose extras are wanted cannot be read, or the target's
                glibc has no version.
        """
        with tempfile.TemporaryDirectory(prefix="pypi-", dir=self._scratch) as folder:
            directory = Path(folder)
            (directory / "wanted.in").write_text("".join(f"{line}\n" for line in wanted))
            options = _options(target, until, limits)
            (directory / "excluded.txt").write_text("".join(f"{x}\n" for x in limits.excluded))
            try:
                pylock = await self._with_extras(options, provided, directory)
                wheels = await asyncio.to_thread(
                    read_pylock, pylock, target, provided.versions, self._hosts, hashes
                )
                dates = read_dates(pylock)
                (directory / "pins.txt").write_text(_pins(wheels))
                # The same again, from uv's cache: this format alone says what needs what.
                options += ["-c", "pins.txt", "--offline", "--annotation-style", "line"]
                needs = read_needs((await self._uv.compile(options, directory)).text)
            except UvFailed as exc:
                raise explain(
                    str(exc), target, provided.versions, until, self._uv.index_url
                ) from exc
        return {
            replace(wheel, requires=needs.get(wheel.name, ())): dates.get(wheel.sha256)
            for wheel in wheels
        }

    async def dates(self, wheels: Sequence[WheelRecord], target: Target) -> Mapping[str, int]:
        """Return when wheels were uploaded, by their sha256, as far as the index has and says it.

        It may be cancelled at any time.

        Raises:
            SolveTimeout: It took too long.
            IndexUnavailable: The index does not answer.
        """
        with tempfile.TemporaryDirectory(prefix="pypi-", dir=self._scratch) as folder:
            directory = Path(folder)
            (directory / "wanted.in").write_text(_pins(wheels))
            for name in ("provided.txt", "excluded.txt"):
                (directory / name).write_text("")
            options = [*_options(target, None, _NO_LIMITS), "--no-deps", "--format", "pylock.toml"]
            try:
                answer = await self._uv.compile(options, directory)
            except UvFailed as exc:
                error = explain(str(exc), target, {}, None, self._uv.index_url)
                if isinstance(error, IndexUnavailable):
                    raise error from exc
                # One of them is on no index: each is asked for alone.
                if len(wheels) == 1:
                    return {}
                found: dict[str, int] = {}
                for wheel in wheels:
                    found |= await self.dates([wheel], target)
                return found
        return read_dates(answer.text)

    async def _with_extras(
        self, options: Sequence[str], provided: Provided, directory: Path
    ) -> str:
        """Return uv's answer once it knows what the extras of conda's packages need.

        uv is asked again for as long as it misses extras of packages that it was told nothing of,
        which the metadata of every package at once would avoid and hardly ever be needed for.
        """
        extras: dict[str, Sequence[str]] = {}
        while True:
            constraints = await asyncio.to_thread(
                write_constraints, provided.versions, extras, self._stubs
            )
            (directory / "provided.txt").write_text(constraints)
            answer = await self._uv.compile([*options, "--format", "pylock.toml"], directory)
            missed = set(_NO_EXTRA.findall(answer.said)) & provided.versions.keys() - extras.keys()
            if not missed:
                return answer.text
            for name in sorted(missed):
                extras[name] = await provided.extras(name)


def _options(target: Target, until: datetime.date | None, limits: ProjectLimits) -> list[str]:
    options = ["wanted.in", "-c", "provided.txt", "-c", "excluded.txt"]
    options += ["--python-version", target.python.version]
    options += ["--python-platform", target.uv_platform]
    return options + limits.options(until)


def _pins(wheels: Sequence[WheelRecord]) -> str:
    return "".join(f"{wheel.name}=={wheel.version}\n" for wheel in wheels)
