"""What is in a layer, compared with what py-rattler installs from the same packages."""

import asyncio
import hashlib
import re
import shutil
import stat
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pytest
import rattler

from builder.bytecode.compiler import Compiler
from builder.install.assemble import assemble
from builder.install.contents import installed_paths, read_contents
from builder.install.python_prefix import unpack_python
from builder.layer import LayerBlob, LayerPackage, LayerPlan, PythonTarget
from builder.records import PackageRecord
from builder.sandbox.sandbox import SandboxKind, find_sandbox
from conformance.channel import ensure
from tests.integration.known_packages import install_by_rattler

NAMES = [
    *["pandas", "numpy", "pip", "setuptools", "ruamel.yaml", "requests"],
    *["bzip2-tools", "symlinkdemo", "hardlinkdemo", "shebangdemo", "activatedemo"],
    "postlinkdemo",
]
#: What rattler adds to a prefix of its own, and what differs on purpose: its records name the
#: machine, and its entry points are indented with tabs and writable by the group.
EXTRAS = ("conda-meta/", "CACHEDIR.TAG")

State = tuple[str, str]


@pytest.fixture(scope="module")
def channel() -> Path:
    return ensure("small").channel


@pytest.fixture(scope="module")
def solved(channel: Path) -> list[rattler.RepoDataRecord]:
    return asyncio.run(_solve(channel, NAMES))


@pytest.fixture(scope="module")
def modules(channel: Path) -> list[rattler.RepoDataRecord]:
    """A small environment with modules that need bytecode."""
    return asyncio.run(_solve(channel, ["requests"]))


@pytest.fixture(scope="module")
def target(solved: list[rattler.RepoDataRecord]) -> PythonTarget:
    python = next(record for record in solved if record.name.normalized == "python")
    version = str(python.version)
    short = ".".join(version.split(".")[:2])
    return PythonTarget(version, f"lib/python{short}/site-packages")


@pytest.fixture(scope="module")
def prefix(
    channel: Path,
    modules: list[rattler.RepoDataRecord],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The Python of the environment with everything it needs, unpacked."""
    records = [record for record in modules if not record.noarch.python]
    dest = tmp_path_factory.mktemp("unpacked") / "python"
    unpack_python([_archive(channel, record) for record in records], dest)
    return dest


async def _solve(channel: Path, names: Sequence[str]) -> list[rattler.RepoDataRecord]:
    virtual = [
        rattler.GenericVirtualPackage(
            rattler.PackageName(name), rattler.Version(version), rattler.BuildString("0")
        )
        for name, version in (("__glibc", "2.36"), ("__linux", "6"), ("__unix", "0"))
    ]
    records = await rattler.solve(
        [rattler.Channel(channel.as_uri())],
        [rattler.MatchSpec(name) for name in names],
        platforms=["linux-64", "noarch"],
        virtual_packages=virtual,
    )
    # rattler's threads may still run when the loop ends, and then the process crashes.
    await asyncio.sleep(0.1)
    return list(records)


def _archive(channel: Path, record: rattler.RepoDataRecord) -> Path:
    return channel / record.subdir / record.file_name


def _record(channel: Path, record: rattler.RepoDataRecord) -> PackageRecord:
    data = _archive(channel, record).read_bytes()
    noarch = record.noarch
    return PackageRecord(
        name=record.name.normalized,
        version=str(record.version),
        build=str(record.build),
        build_number=record.build_number,
        subdir=record.subdir,
        url=f"https://channel.test/main/{record.subdir}/{record.file_name}",
        sha256=hashlib.sha256(data).hexdigest(),
        md5=hashlib.md5(data).hexdigest(),
        size_bytes=len(data),
        noarch=None if noarch.none else "python" if noarch.python else "generic",
    )


def _assembled(
    channel: Path,
    solved: Sequence[rattler.RepoDataRecord],
    directory: Path,
    compiler: Compiler | None,
    target: PythonTarget,
) -> LayerBlob:
    records = [_record(channel, record) for record in solved]
    paths = {r.sha256: _archive(channel, s) for r, s in zip(records, solved, strict=True)}
    plan = LayerPlan(tuple(LayerPackage(record) for record in records), target)
    return assemble(plan, paths, "gzip", directory / "layer", directory, compiler)


def _unpack(directory: Path) -> Path:
    root = directory / "root"
    root.mkdir()
    # GNU tar, that nothing of ours is needed to read what is ours.
    with (directory / "layer").open("rb") as layer:
        subprocess.run(["tar", "-x", "--gzip", "-C", str(root)], stdin=layer, check=True)
    return root / "opt/conda"


def _state(prefix: Path) -> dict[str, State]:
    found: dict[str, State] = {}
    for path in sorted(prefix.rglob("*")):
        name = str(path.relative_to(prefix))
        if path.is_symlink():
            found[name] = ("symlink", str(path.readlink()))
        elif path.is_file() and not name.startswith(EXTRAS):
            mode = oct(stat.S_IMODE(path.stat().st_mode))
            found[name] = (mode, hashlib.sha256(path.read_bytes()).hexdigest())
    return found


def _is_generated_script(path: Path) -> bool:
    return path.is_file() and b"sys.exit(" in path.read_bytes()[:500] and b"\t" in path.read_bytes()


def test_a_layer_has_the_files_contents_and_modes_that_rattler_installs(
    tmp_path: Path, channel: Path, solved: list[rattler.RepoDataRecord], target: PythonTarget
) -> None:
    theirs = tmp_path / "theirs"
    install_by_rattler(solved, theirs, "/opt/conda", tmp_path / "cache")
    _assembled(channel, solved, tmp_path, None, target)
    ours = _unpack(tmp_path)
    for script in (theirs / "bin").iterdir():
        if not script.is_symlink() and _is_generated_script(script):
            script.write_bytes(script.read_bytes().replace(b"\t", b"    ").rstrip() + b"\n")
            script.chmod(0o755)
    expected, actual = _state(theirs), _state(ours)
    assert sorted(expected.keys() ^ actual.keys()) == []
    different = {path: (expected[path], actual[path]) for path in expected}
    assert {path: pair for path, pair in different.items() if pair[0] != pair[1]} == {}


def test_rattler_reads_the_records_of_a_layer(
    tmp_path: Path, channel: Path, solved: list[rattler.RepoDataRecord], target: PythonTarget
) -> None:
    _assembled(channel, solved, tmp_path, None, target)
    ours = _unpack(tmp_path)
    records = [rattler.PrefixRecord.from_path(p) for p in (ours / "conda-meta").glob("*.json")]
    assert sorted(record.file_name for record in records) == sorted(s.file_name for s in solved)
    for record in records:
        assert all((ours / path).exists() or (ours / path).is_symlink() for path in record.files)


def test_planning_knows_every_path_before_it_is_written(
    tmp_path: Path, channel: Path, solved: list[rattler.RepoDataRecord], target: PythonTarget
) -> None:
    _assembled(channel, solved, tmp_path, None, target)
    actual = _state(_unpack(tmp_path))
    expected: set[str] = set()
    for record in solved:
        contents = read_contents(_archive(channel, record), _record(channel, record))
        expected |= set(installed_paths(contents, target))
    assert set(actual) <= expected
    missing = expected - set(actual)
    assert {path for path in missing if not path.endswith(".pyc")} == set()


@pytest.mark.parametrize("sandbox", get_args(SandboxKind))
def test_bytecode_in_a_layer_is_found_by_the_python_of_the_layer(
    tmp_path: Path,
    channel: Path,
    modules: list[rattler.RepoDataRecord],
    target: PythonTarget,
    prefix: Path,
    sandbox: SandboxKind,
) -> None:
    _assembled(channel, modules, tmp_path, Compiler(prefix, target, find_sandbox(sandbox)), target)
    ours = _unpack(tmp_path)
    program = "import requests"
    answer = subprocess.run(
        [str(ours / "bin" / f"python{target.short}"), "-B", "-v", "-c", program],
        capture_output=True,
        text=True,
        check=True,
    )
    # Python says where each module's code is from: 'quoted' from bytecode, plain from source.
    # Debian's finds the directory by another name.
    site = re.escape(f"{ours}/lib/python{target.short}/") + "(?:site|dist)-packages/"
    bytecode = f"# code object from '{site}requests/__pycache__/api.cpython-"
    assert re.search(bytecode, answer.stderr)
    assert not re.search(f"# code object from {site}", answer.stderr)


def test_every_sandbox_gives_the_same_layer(
    tmp_path: Path,
    channel: Path,
    modules: list[rattler.RepoDataRecord],
    target: PythonTarget,
    prefix: Path,
) -> None:
    blobs = []
    for sandbox in get_args(SandboxKind):
        directory = tmp_path / sandbox
        directory.mkdir()
        blobs.append(
            _assembled(
                channel, modules, directory, Compiler(prefix, target, find_sandbox(sandbox)), target
            )
        )
        shutil.rmtree(directory)
    assert blobs[1:] == blobs[:-1]
