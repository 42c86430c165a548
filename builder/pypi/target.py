"""What a wheel must fit: a Python of conda on a Linux with some glibc."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from builder.errors import NoWheel
from builder.layer import PythonTarget
from builder.platforms import Subdir
from builder.pypi.wheel_tags import MACHINES, glibc_minor
from builder.records import PackageRecord
from builder.spec import VirtualPackage

#: The minor versions of glibc that uv has platforms for, newest first.
_UV_GLIBCS: Final = (*range(40, 30, -1), 28, 17)
_CPYTHON: Final = re.compile(r"3\.[0-9]+(?:\.[0-9]+)*(?:(?:a|b|rc)[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Target:
    """What wheels are chosen for."""

    subdir: Subdir
    python: PythonTarget
    #: For example ``"2.36"``; ``None`` where the environment does not say.
    glibc: str | None

    @classmethod
    def of(
        cls,
        subdir: Subdir,
        records: Sequence[PackageRecord],
        virtual_packages: Sequence[VirtualPackage],
    ) -> "Target":
        """Return the target that an environment is.

        Raises:
            NoWheel: It has no Python, or one that wheels are not resolved for.
        """
        python = next((record for record in records if record.name == "python"), None)
        if python is None:
            raise NoWheel(
                f"packages of PyPI need a Python, and none is in the environment ({subdir})"
            )
        short = ".".join(python.version.split(".")[:2])
        site_packages = python.python_site_packages_path or f"lib/python{short}/site-packages"
        is_free_threaded = "t/" in site_packages
        if "pypy" in python.build or is_free_threaded or not _CPYTHON.fullmatch(python.version):
            raise NoWheel(
                f"packages of PyPI are resolved for CPython 3 with its lock, and not for"
                f" python {python.version} {python.build} ({subdir})"
            )
        glibc = next((v.version for v in virtual_packages if v.name == "__glibc"), None)
        return cls(subdir, PythonTarget(python.version, site_packages), glibc)

    @property
    def uv_platform(self) -> str:
        """The name uv has for the platform; of the glibcs it knows, the newest that is there.

        Raises:
            UnsupportedPackage: glibc's version is none.
        """
        there = glibc_minor(self.glibc)
        minor = next((known for known in _UV_GLIBCS if known <= there), _UV_GLIBCS[-1])
        return f"{MACHINES[self.subdir]}-manylinux_2_{minor}"
