"""Which layers an image gets: decided from what its packages install, before any is made."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from builder.build.conflicts import InstalledPaths, resolve_conflicts
from builder.build.grouping import group
from builder.errors import UnsupportedPackage
from builder.install.contents import PackageContents, installed_links, installed_paths
from builder.install.wheel.contents import WheelContents, wheel_paths
from builder.install.wheel.tags import check_fits
from builder.layer import LayerPackage, LayerPlan, PythonTarget
from builder.lock import Lock
from builder.platforms import Subdir
from builder.pypi.wheel_tags import supported_tags
from builder.records import ArchiveRecord, PackageRecord, WheelRecord, link_order, needs_bytecode


@dataclass(frozen=True, slots=True)
class Installation:
    """What is installed for one platform of a lock, in which order and for which Python."""

    subdir: Subdir
    #: In the order in which they are linked.
    records: tuple[PackageRecord, ...]
    #: Linked after all of these, sorted by name, as pip installs over conda.
    wheels: tuple[WheelRecord, ...]
    #: Set when the environment has Python.
    python: PythonTarget | None
    #: The version of glibc that the lock takes for granted, e.g. ``"2.36"``.
    glibc: str | None

    @classmethod
    def of(cls, lock: Lock, subdir: Subdir) -> "Installation":
        """Return what a lock wants installed for one of its platforms."""
        records = link_order(lock.platforms[subdir])
        virtual = {package.name: package.version for package in lock.virtual_packages}
        return cls(
            subdir,
            records,
            lock.wheels.get(subdir, ()),
            _python_target(records, lock.bytecode.get(subdir)),
            virtual.get("__glibc"),
        )

    def check_wheels(self) -> None:
        """Refuse what cannot be installed, before anything is downloaded.

        Raises:
            CorruptPackage: A file's name is that of no wheel, or of another than its record says.
            UnsupportedPackage: A wheel is for another platform or Python, or there is no Python.
        """
        if not self.wheels:
            return
        if self.python is None:
            raise UnsupportedPackage(
                f"'{self.wheels[0].name}' from PyPI needs Python, which the environment does not"
                " have; add python to its conda packages"
            )
        tags = supported_tags(self.subdir, self.python, self.glibc)
        target = f"{self.subdir} with Python {self.python.short} and glibc {self.glibc or '2.17'}"
        for wheel in self.wheels:
            check_fits(wheel, tags, target)

    def expected(self) -> tuple[LayerPlan, ...]:
        """Return the layers, lowest first, if no package changes another.

        Mostly that is so, and it is known before any package has been read. What is made of them in
        vain are layers that another image may have.
        """
        records: list[ArchiveRecord] = [*self.records, *self.wheels]
        return group([LayerPackage(record) for record in records], self.python)

    def plan(
        self, contents: Sequence[PackageContents], wheel_contents: Sequence[WheelContents]
    ) -> tuple[LayerPlan, ...]:
        """Return the layers, lowest first.

        Args:
            contents: Of each of :attr:`records`, in that order.
            wheel_contents: Of each of :attr:`wheels`, in that order.

        Raises:
            UnsupportedPackage: A distribution is in a conda package and in a wheel, modules need a
                Python that there is not, or symlinks lead in a circle.
            PackageError: A wheel has paths that cannot be installed.
        """
        self._check_distributions(contents)
        installed = {
            record.sha256: InstalledPaths(
                installed_paths(known, self.python), installed_links(known, self.python)
            )
            for record, known in zip(self.records, contents, strict=True)
        }
        for wheel, known in zip(self.wheels, wheel_contents, strict=True):
            installed[wheel.sha256] = InstalledPaths(wheel_paths(known, self.python))
        records = map(_of_known_kind, self.records, contents)
        packages = resolve_conflicts((*records, *self.wheels), installed)
        return group(packages, self.python)

    def _check_distributions(self, contents: Sequence[PackageContents]) -> None:
        """Refuse a project that conda and PyPI both bring: Python would find two of it."""
        wheels = {wheel.name: wheel for wheel in self.wheels}
        for known in contents:
            for name, version in known.distributions:
                if name in wheels:
                    raise UnsupportedPackage(
                        f"'{name}' is wanted twice: {version} is in the conda package"
                        f" '{known.label}', {wheels[name].version} comes from PyPI; ask for it once"
                    )


def _of_known_kind(record: PackageRecord, known: PackageContents) -> PackageRecord:
    """Return the record with ``noarch: python`` as its archive says, whatever the index does."""
    if known.is_noarch_python:
        return replace(record, noarch="python")
    return replace(record, noarch="generic") if needs_bytecode(record) else record


def _python_target(records: Sequence[PackageRecord], bytecode: str | None) -> PythonTarget | None:
    """Return what noarch packages and wheels are installed for, if the environment has Python."""
    for record in records:
        if record.name == "python":
            short = ".".join(record.version.split(".")[:2])
            site_packages = record.python_site_packages_path or f"lib/python{short}/site-packages"
            return PythonTarget(bytecode or record.version, site_packages)
    return None
