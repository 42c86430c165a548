import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from builder.build.interpreters import CompilingPythons
from builder.errors import BytecodeError, SandboxUnavailable, Unsatisfiable
from builder.fetch.packages import Packages
from builder.layer import PythonTarget
from builder.lock import Lock
from builder.platforms import Subdir
from builder.ports import Workers
from builder.records import PackageRecord
from builder.solve import Solver
from builder.spec import EnvironmentSpec
from tests.builder.records_for_tests import record, wheel

SIX = record("six", "python", noarch="python")
ZLIB = record("zlib")


def python(version: str) -> PackageRecord:
    return record("python", "zlib", version=version)


class FakeSolver:
    """Has the given Pythons for this machine, newest last."""

    def __init__(self, *versions: str) -> None:
        self.versions = versions
        self.asked: list[str] = []

    async def solve(self, spec: EnvironmentSpec) -> dict[Subdir, tuple[PackageRecord, ...]]:
        (constraint,) = spec.requirements[0].constraints
        self.asked.append(str(constraint))
        for version in reversed(self.versions):
            exact = constraint.operator == "==" and version == constraint.version
            prefix = constraint.operator == "=" and version.startswith(f"{constraint.version}.")
            if exact or prefix:
                return {"linux-64": (ZLIB, python(version))}
        raise Unsatisfiable("no such python")


class FakePackages:
    """Gives every archive a path of its own."""

    async def use(
        self, records: Sequence[PackageRecord], work: Callable[[list[Path]], Awaitable[None]]
    ) -> None:
        await work([Path("/archives") / wanted.name for wanted in records])


class Recorder:
    """Runs nothing, and remembers what it was asked to run."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    async def run(self, function: object, *args: object) -> None:
        self.calls.append(args)


def choose(solver: FakeSolver, root: Path, **platforms: tuple[PackageRecord, ...]) -> Lock:
    by_subdir = {cast("Subdir", name.replace("_", "-")): known for name, known in platforms.items()}
    lock = Lock(platforms=by_subdir, channels=(), virtual_packages=())
    return asyncio.run(compilers(solver, root).choose(lock))


def compilers(solver: FakeSolver, root: Path, workers: Recorder | None = None) -> CompilingPythons:
    return CompilingPythons(
        cast("Solver", solver),
        cast("Packages", FakePackages()),
        cast("Workers", workers or Recorder()),
        root,
        "linux-64",
        "none",
    )


def unpack(compiling: CompilingPythons, lock: Lock) -> Path:
    async def scenario() -> Path:
        records = await compiling.records(lock, "3.11.7")
        target = PythonTarget("3.11.7", "lib/python3.11/site-packages")
        return (await compiling.compiler(records, target)).prefix

    return asyncio.run(scenario())


def test_an_environment_is_compiled_by_its_own_python(tmp_path: Path) -> None:
    solver = FakeSolver()
    lock = choose(solver, tmp_path, linux_64=(ZLIB, python("3.11.7"), SIX))
    assert lock.bytecode == {"linux-64": "3.11.7"}
    assert solver.asked == []


def test_an_environment_without_noarch_packages_needs_no_compiler(tmp_path: Path) -> None:
    assert choose(FakeSolver(), tmp_path, linux_64=(ZLIB, python("3.11.7"))).bytecode == {}


def test_another_platform_is_compiled_by_the_same_version_for_this_machine(tmp_path: Path) -> None:
    solver = FakeSolver("3.11.2", "3.11.7")
    lock = choose(solver, tmp_path, linux_aarch64=(ZLIB, python("3.11.2"), SIX))
    assert lock.bytecode == {"linux-aarch64": "3.11.2"}


def test_without_the_same_version_the_newest_of_the_same_minor_version_compiles(
    tmp_path: Path,
) -> None:
    solver = FakeSolver("3.11.5", "3.11.7", "3.12.1")
    lock = choose(solver, tmp_path, linux_aarch64=(ZLIB, python("3.11.2"), SIX))
    assert lock.bytecode == {"linux-aarch64": "3.11.7"}
    assert solver.asked == ["==3.11.2", "=3.11"]


def test_without_any_such_python_the_lock_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BytecodeError, match=r"no Python =3\.11 for linux-64"):
        choose(FakeSolver("3.12.1"), tmp_path, linux_aarch64=(ZLIB, python("3.11.2"), SIX))


def test_a_compiler_is_unpacked_with_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    workers = Recorder()
    lock = Lock(
        platforms={"linux-64": (ZLIB, python("3.11.7"), SIX, record("numpy", "python"))},
        channels=(),
        virtual_packages=(),
    )
    prefix = unpack(compilers(FakeSolver(), tmp_path, workers), lock)
    assert prefix.parent == tmp_path
    assert workers.calls == [([Path("/archives/zlib"), Path("/archives/python")], prefix)]


def test_without_a_sandbox_nothing_is_unpacked_and_no_package_is_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(choice: str) -> None:
        raise SandboxUnavailable(f"PULLFORGE_SANDBOX={choice} does not work")

    monkeypatch.setattr("builder.build.interpreters.find_sandbox", find)
    workers = Recorder()
    lock = Lock(platforms={"linux-64": (ZLIB, python("3.11.7"))}, channels=(), virtual_packages=())
    with pytest.raises(SandboxUnavailable, match="PULLFORGE_SANDBOX=none does not work"):
        unpack(compilers(FakeSolver(), tmp_path, workers), lock)
    assert workers.calls == []


def test_a_compiler_that_is_unpacked_is_not_unpacked_again(tmp_path: Path) -> None:
    workers = Recorder()
    lock = Lock(platforms={"linux-64": (ZLIB, python("3.11.7"))}, channels=(), virtual_packages=())
    compiling = compilers(FakeSolver(), tmp_path, workers)
    unpack(compiling, lock).mkdir()
    unpack(compiling, lock)
    assert len(workers.calls) == 1


def test_a_lock_for_another_platform_gets_its_compiler_from_the_channels(tmp_path: Path) -> None:
    workers = Recorder()
    lock = replace(
        Lock(
            platforms={"linux-aarch64": (ZLIB, python("3.11.2"), SIX)},
            channels=(),
            virtual_packages=(),
        ),
        bytecode={"linux-aarch64": "3.11.7"},
    )
    unpack(compilers(FakeSolver("3.11.7"), tmp_path, workers), lock)
    assert len(workers.calls) == 1


def test_wheels_need_a_compiler_where_no_noarch_package_does(tmp_path: Path) -> None:
    lock = Lock(
        platforms={
            "linux-64": (ZLIB, python("3.11.7")),
            "linux-aarch64": (ZLIB, python("3.11.2")),
        },
        channels=(),
        virtual_packages=(),
        wheels={"linux-aarch64": (wheel("demo"),)},
    )
    solver = FakeSolver("3.11.2")
    chosen = asyncio.run(compilers(solver, tmp_path).choose(lock))
    assert chosen.bytecode == {"linux-aarch64": "3.11.2"}
    assert chosen.wheels == lock.wheels
