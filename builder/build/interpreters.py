"""Pythons that compile noarch packages and wheels, unpacked where a sandbox can run them."""

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from builder.bytecode.compiler import Compiler
from builder.concurrency.single_flight import SingleFlight
from builder.errors import BytecodeError, SolveError
from builder.fetch.packages import Packages
from builder.install.python_prefix import unpack_python
from builder.layer import PythonTarget
from builder.lock import Lock
from builder.platforms import Subdir
from builder.ports import Workers
from builder.records import PackageRecord, link_order, needs_bytecode
from builder.sandbox.sandbox import Sandbox, SandboxChoice, find_sandbox
from builder.solve import Solver
from builder.spec import Constraint, EnvironmentSpec, Requirement

#: Raised when unpacking changes, so that old directories are not used.
_FORMAT: Final = 1


class CompilingPythons:
    """Finds the Python that compiles for a lock and unpacks it in ``directory``.

    The directory may be emptied while no build runs. The solver finds a Python for this machine
    (``host_subdir``) where the lock has none; the sandbox is looked for at the first compilation.
    """

    def __init__(
        self,
        solver: Solver,
        packages: Packages,
        workers: Workers,
        directory: Path,
        host_subdir: Subdir,
        sandbox: SandboxChoice,
    ) -> None:
        self._solver = solver
        self._packages = packages
        self._workers = workers
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._host_subdir = host_subdir
        self._choice: SandboxChoice = sandbox
        self._sandbox: Sandbox | None = None
        self._searches: SingleFlight[tuple[PackageRecord, ...]] = SingleFlight()
        self._flights: SingleFlight[Path] = SingleFlight()

    async def choose(self, lock: Lock) -> Lock:
        """Return ``lock`` with the exact Python that compiles for each of its platforms.

        That is the platform's own, or where this machine cannot run it, one of the same version
        for this machine; if the channels have none, the newest of the same minor version, whose
        bytecode has the same format. The lock keeps the choice: it decides the image's bytes.

        Raises:
            BytecodeError: The channels have no such Python for this machine.
        """
        chosen: dict[Subdir, str] = {}
        for subdir, records in lock.platforms.items():
            version = _python_version(records)
            compiled = subdir in lock.wheels or any(map(needs_bytecode, records))
            if version is None or not compiled:
                continue
            chosen[subdir] = await self._choose(lock, version)
        return dataclasses.replace(lock, bytecode=chosen) if chosen != lock.bytecode else lock

    async def records(self, lock: Lock, version: str) -> tuple[PackageRecord, ...]:
        """Return a Python of exactly that version for this machine, with all that it needs.

        Raises:
            BytecodeError: The channels have none.
        """
        return _closure(lock.platforms.get(self._host_subdir, ()), version) or (
            await self._searches.run(f"{lock.key}-{version}", lambda: self._search(lock, version))
        )

    async def compiler(self, records: Sequence[PackageRecord], target: PythonTarget) -> Compiler:
        """Return what compiles for ``target`` with the Python in ``records``, unpacked once.

        Raises:
            PackageError: It cannot be downloaded or unpacked.
            SandboxUnavailable: There is nothing to run it in.
        """
        sandbox = await self.sandbox()
        python = next(record for record in records if record.name == "python")
        prefix = await self._flights.run(python.sha256, lambda: self._unpack(records, python))
        return Compiler(prefix, target, sandbox, prefix.with_name(f"{prefix.name}-bytecode"))

    async def sandbox(self) -> Sandbox:
        """Return what Pythons run in, which was seen to work.

        Raises:
            SandboxUnavailable: Nothing works here, now; it is tried again at the next call.
        """
        if self._sandbox is None:
            self._sandbox = await asyncio.to_thread(find_sandbox, self._choice)
        return self._sandbox

    async def close(self) -> None:
        """Cancel the running tasks and wait for them to end."""
        await self._searches.close()
        await self._flights.close()

    async def _search(self, lock: Lock, version: str) -> tuple[PackageRecord, ...]:
        return _closure(await self._solve(lock, Constraint("==", version)), version)

    async def _unpack(self, records: Sequence[PackageRecord], python: PackageRecord) -> Path:
        prefix = self._directory / f"{python.sha256}-{_FORMAT}"
        if prefix.is_dir():
            return prefix

        async def work(paths: list[Path]) -> None:
            await self._workers.run(unpack_python, paths, prefix)

        await self._packages.use(records, work)
        return prefix

    async def _choose(self, lock: Lock, version: str) -> str:
        if version == _python_version(lock.platforms.get(self._host_subdir, ())):
            return version
        try:
            await self._solve(lock, Constraint("==", version))
        except BytecodeError:
            minor = ".".join(version.split(".")[:2])
            found = await self._solve(lock, Constraint("=", minor))
            return _python_version(found) or version
        return version

    async def _solve(self, lock: Lock, constraint: Constraint) -> Sequence[PackageRecord]:
        """Return an environment for this machine with such a Python."""
        spec = EnvironmentSpec(
            requirements=(Requirement("python", (constraint,)),),
            channels=lock.channels,
            platforms=(self._host_subdir,),
            virtual_packages=lock.virtual_packages,
        )
        try:
            solved = await self._solver.solve(spec)
        except SolveError as exc:
            raise BytecodeError(
                f"no Python {constraint} for {self._host_subdir} can be found to compile with:"
                f" {exc.message}"
            ) from exc
        return solved[self._host_subdir]


def _python_version(records: Sequence[PackageRecord]) -> str | None:
    return next((record.version for record in records if record.name == "python"), None)


def _closure(records: Sequence[PackageRecord], version: str) -> tuple[PackageRecord, ...]:
    """Return Python of that version with everything it needs, or nothing if it is not there."""
    by_name = {record.name: record for record in records}
    if "python" not in by_name or by_name["python"].version != version:
        return ()
    wanted, found = ["python"], {"python"}
    while wanted:
        for name in by_name[wanted.pop()].depends_names:
            if name in by_name and name not in found and by_name[name].noarch != "python":
                found.add(name)
                wanted.append(name)
    return link_order([by_name[name] for name in sorted(found)])
