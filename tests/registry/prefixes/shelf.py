"""A server that is a dictionary, and roots that are kept equal to it."""

import asyncio
import hashlib
import io
import tarfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import zstandard

from builder.install.prefix.installation import InstallationPlan
from builder.layer import LayerPackage
from builder.platforms import Subdir
from builder.ports import Workers
from conformance.channel.writer import PLACEHOLDER, Entry, Package, package_bytes
from registry.errors import PrefixSourceUnavailable, PrefixUnusable
from registry.prefixes.layout import preset
from registry.prefixes.opening import driver_of
from registry.prefixes.packages import PackageDirectory
from registry.prefixes.reconciling import Reconciler
from registry.prefixes.root import Root, RootOptions
from registry.prefixes.server import Wanted, WantedVersion
from registry.prefixes.status import Change, PassReport
from tests.builder.install.layers import PYTHON, record_of

P = ParamSpec("P")
Result = TypeVar("Result")

OPTIONS = RootOptions(preset("own"), "linux-64", grace_seconds=0.0)


def tool(name: str = "tool", version: str = "1.0", size_bytes: int = 100) -> Package:
    """A package with a file that is shared, one that says the prefix, and a link."""
    return Package(
        name,
        version,
        subdir="linux-64",
        noarch=None,
        entries=[
            Entry(f"bin/{name}", b"#!" + PLACEHOLDER.encode() + b"/bin/sh\n", mode=0o755),
            Entry(f"share/{name}/text", f"{name} {version}\n".encode() * (size_bytes // 8)),
            Entry(f"share/{name}/link", link="text"),
        ],
    )


def hello(version: str = "1.0") -> Package:
    """A package whose modules get bytecode."""
    entry = Entry("site-packages/hello.py", b"print('hello')\n")
    return Package("hello", version, noarch="python", entries=[entry])


class Threads:
    """Computes in threads; implements :class:`builder.ports.Workers`."""

    async def run(self, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        return await asyncio.to_thread(function, *args, **kwargs)


@dataclass
class Shelf:
    """Implements :class:`registry.prefixes.server.Server`."""

    versions: dict[tuple[str, str, int], WantedVersion] = field(default_factory=dict)
    blocked: set[str] = field(default_factory=set)
    #: Keys of builds that it refuses, with what it says.
    refused: dict[str, str] = field(default_factory=dict)
    #: What it says instead of any answer.
    away: str = ""
    #: How often each thing was asked for.
    asked: Counter[str] = field(default_factory=Counter)
    #: Is awaited before an archive is given.
    before_package: Callable[[], Any] | None = None
    _packages: dict[str, tuple[Package, ...]] = field(default_factory=dict)
    _archives: dict[str, bytes] = field(default_factory=dict)

    def put(self, name: str, number: int, *packages: Package) -> WantedVersion:
        """Have a version, which is the active one of its environment from now on."""
        namespace, environment = name.split("/")
        text = "\n".join(package.filename for package in packages)
        key = hashlib.sha256(text.encode()).hexdigest()[:32]
        self._packages[key] = packages
        for which, one in self.versions.items():
            if which[:2] == (namespace, environment):
                self.versions[which] = replace(one, is_active=False)
        version = WantedVersion(namespace, environment, number, key, True, 1_700_000_000.0 + number)
        self.versions[namespace, environment, number] = version
        return version

    def activate(self, name: str, number: int) -> WantedVersion:
        """Have another version be the active one."""
        namespace, environment = name.split("/")
        for which, one in list(self.versions.items()):
            if which[:2] == (namespace, environment):
                self.versions[which] = replace(one, is_active=which[2] == number)
        return self.versions[namespace, environment, number]

    def remove(self, name: str) -> None:
        """Have an environment no more."""
        for which in [which for which in self.versions if "/".join(which[:2]) == name]:
            del self.versions[which]

    def now(self, *, versions: int | None = 0) -> Wanted:
        """Return what it tells."""
        found = [one for one in self.versions.values() if one.is_active or versions is None]
        return Wanted(tuple(found), str(hash(tuple(found))), frozenset(self.blocked))

    async def wanted(
        self, only: Sequence[str], versions: int | None, known: str | None, wait_seconds: float
    ) -> Wanted | None:
        return self.now(versions=versions)

    async def installation(self, version: WantedVersion, subdir: Subdir) -> InstallationPlan:
        self._answer("installation", version.key)
        packages = []
        for package in self._packages[version.key]:
            data = package_bytes(package)
            record = record_of(package, data)
            self._archives[record.sha256] = data
            packages.append(LayerPackage(record))
        return InstallationPlan(version.key, subdir, tuple(packages), PYTHON)

    async def package(self, version: WantedVersion, sha256: str, size_bytes: int, to: Path) -> None:
        self._answer(f"package {sha256}", version.key)
        if self.before_package is not None:
            await self.before_package()
        to.write_bytes(self._archives[sha256])

    async def bytecode(self, version: WantedVersion, subdir: Subdir, to: Path) -> None:
        self._answer("bytecode", version.key)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for package in self._packages[version.key]:
                for entry in package.entries:
                    if package.noarch == "python" and entry.path.endswith(".py"):
                        name = Path(entry.path).stem
                        info = tarfile.TarInfo(
                            f"{PYTHON.site_packages}/__pycache__/{name}.cpython-311.pyc"
                        )
                        info.size = 4
                        tar.addfile(info, io.BytesIO(b"code"))
        to.write_bytes(zstandard.compress(buffer.getvalue()))

    def _answer(self, what: str, key: str) -> None:
        self.asked[what] += 1
        if self.away:
            raise PrefixSourceUnavailable(self.away)
        if key in self.refused:
            raise PrefixUnusable(self.refused[key])


@dataclass
class Kept:
    """A root that is kept equal to a shelf."""

    shelf: Shelf
    root: Root
    reconciler: Reconciler
    changes: list[Change]
    said: list[str]
    time: float = 1_800_000_000.0

    @property
    def path(self) -> Path:
        return self.root.path

    async def sync(self, *, versions: int | None = 0) -> PassReport:
        """Make a pass that has to make everything equal."""
        report = await self.run(versions=versions)
        assert not report.problems, report.problems
        return report

    async def run(self, *, versions: int | None = 0) -> PassReport:
        """Make a pass, and wait until what it throws away is gone."""
        report = await self.reconciler.run(self.shelf.now(versions=versions))
        await self.reconciler.settle()
        for name in (".making", ".trash", ".packages/.making", ".packages/.trash"):
            assert not names_in(self.path / name)
        return report

    def tree(self) -> set[str]:
        """Links with what they say, and prefixes, as they are."""
        return set(_tree(self.path, ""))

    def text(self, link: str, path: str) -> str:
        """A file of an environment, by its link."""
        return (self.path / link / path).read_text()

    def packages(self) -> set[str]:
        """What is unpacked: name and version."""
        found = (self.path / ".packages").glob("*/tree/share/*/text")
        return {path.read_text().partition("\n")[0] for path in found}


def _tree(directory: Path, above: str) -> list[str]:
    found = []
    for path in sorted(directory.iterdir()):
        name = above + path.name
        if path.is_symlink():
            found.append(f"{name} -> {path.readlink()}")
        elif not path.is_dir() or (path / "conda-meta").is_dir():
            found.append(name)
        elif not path.name.startswith("."):
            found += _tree(path, f"{name}/") or [f"{name}/"]
    return found


def keep(
    path: Path,
    shelf: Shelf | None = None,
    options: RootOptions = OPTIONS,
    workers: Workers | None = None,
) -> Kept:
    """Return a root at a path, of a shelf that may have others."""
    root = Root(path, options)
    shelf = shelf or Shelf()
    changes: list[Change] = []
    said: list[str] = []
    kept: Kept
    reconciler = Reconciler(
        root,
        shelf,
        PackageDirectory(root, workers or Threads()),
        driver_of(root),
        on_change=changes.append,
        say=said.append,
        now=lambda: kept.time,
    )
    kept = Kept(shelf, root, reconciler, changes, said)
    return kept


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def until(condition: Callable[[], object]) -> None:
    """Let others run until something is so."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 (there is no event)
            await asyncio.sleep(0)
