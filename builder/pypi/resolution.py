"""From requirements to wheels."""

import asyncio
import datetime
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from builder.errors import SolveError
from builder.pypi.explain import explain
from builder.pypi.pylock import read_needs, read_pylock
from builder.pypi.stubs import provided_versions, write_constraints
from builder.pypi.target import Target
from builder.pypi.uv import Uv, UvFailed
from builder.records import WheelRecord


class Pypi:
    """Resolves what is wanted from PyPI; to be used by many at once."""

    def __init__(self, uv: Uv, scratch: Path, stubs: Path, hosts: Collection[str]) -> None:
        """Make the resolver.

        Args:
            uv: Asks the index.
            scratch: A directory for files under way.
            stubs: Where stand-ins for conda's packages are kept; may be emptied at any time
                nothing is resolved.
            hosts: Where wheels may lie, with the port where there is one.
        """
        self._uv = uv
        self._scratch = scratch
        self._stubs = stubs
        self._hosts = frozenset(hosts)

    async def resolve(
        self,
        wanted: Sequence[str],
        distributions: Iterable[tuple[str, str]],
        target: Target,
        until: datetime.date | None = None,
    ) -> tuple[WheelRecord, ...]:
        """Return the wheels to install beside conda's packages, sorted by name.

        They and ``distributions`` together meet every requirement of ``wanted`` and of each
        other. It may be cancelled at any time.

        Args:
            wanted: As :attr:`builder.spec.EnvironmentSpec.pip`.
            distributions: Name and version of what conda installs for Python. None of these is
                among the answer, and no other version of it is.
            target: What wheels must fit.
            until: Only what was uploaded up to the end of that day, UTC, counts.

        Raises:
            UnknownPackage: The index has no such project.
            NoWheel: A project has no wheel that fits.
            Unsatisfiable: No versions go together.
            SolveTimeout: It took too long.
            IndexUnavailable: The index does not answer.
            UnsafePackage: A wheel lies on a host that is not allowed.
        """
        provided = provided_versions(distributions)
        constraints = await asyncio.to_thread(write_constraints, provided, self._stubs)
        with tempfile.TemporaryDirectory(prefix="pypi-", dir=self._scratch) as folder:
            directory = Path(folder)
            (directory / "wanted.in").write_text("".join(f"{line}\n" for line in wanted))
            (directory / "provided.txt").write_text(constraints)
            options = _options(target, until)
            try:
                pylock = await self._uv.compile([*options, "--format", "pylock.toml"], directory)
            except UvFailed as exc:
                raise self._explain(exc, target, provided, until) from exc
            wheels = await asyncio.to_thread(read_pylock, pylock, target, provided, self._hosts)
            pins = "".join(f"{wheel.name}=={wheel.version}\n" for wheel in wheels)
            (directory / "pins.txt").write_text(pins)
            # The same again, from uv's cache: this format alone says what needs what.
            options += ["-c", "pins.txt", "--offline", "--annotation-style", "line"]
            try:
                needs = read_needs(await self._uv.compile(options, directory))
            except UvFailed as exc:
                raise self._explain(exc, target, provided, until) from exc
        return tuple(replace(wheel, requires=needs.get(wheel.name, ())) for wheel in wheels)

    def _explain(
        self, failed: UvFailed, target: Target, provided: Mapping[str, str], until: datetime.date | None
    ) -> SolveError:
        return explain(str(failed), target, provided, until, self._uv.index_url)


def _options(target: Target, until: datetime.date | None) -> list[str]:
    options = ["wanted.in", "-c", "provided.txt", "--python-version", target.python]
    options += ["--python-platform", target.uv_platform]
    if until:
        end = until + datetime.timedelta(days=1)
        options += ["--exclude-newer", f"{end.isoformat()}T00:00:00Z"]
    return options
