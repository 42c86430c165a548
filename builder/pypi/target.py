"""What a wheel must fit: a Python of conda on a Linux with some glibc."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from packaging.tags import Tag, compatible_tags, cpython_tags

from builder.errors import NoWheel
from builder.platforms import Subdir
from builder.records import PackageRecord
from builder.spec import VirtualPackage

_MACHINES: Final[dict[Subdir, str]] = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}
#: The older names of three platform tags (PEP 600).
_LEGACY: Final = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
#: Where an environment does not say, wheels may expect what every Linux of today has.
_OLDEST_GLIBC: Final = 17
#: The minor versions of glibc that uv has platforms for, newest first.
_UV_GLIBCS: Final = (*range(40, 30, -1), 28, 17)

_VERSION: Final = re.compile(r"(3)\.([0-9]+)(?:\.[0-9]+)*(?:(?:a|b|rc)[0-9]+)?")
_GLIBC: Final = re.compile(r"2\.([0-9]{1,3})(?:\.[0-9]+)*")


@dataclass(frozen=True, slots=True)
class Target:
    """What wheels are chosen for."""

    subdir: Subdir
    #: The exact version of CPython, e.g. ``"3.11.9"``.
    python: str
    #: The 36 of glibc 2.36.
    glibc_minor: int

    @classmethod
    def of(
        cls,
        subdir: Subdir,
        records: Sequence[PackageRecord],
        virtual_packages: Sequence[VirtualPackage],
    ) -> "Target":
        """Return the target that an environment is.

        Raises:
            NoWheel: It has no Python, or one that wheels are not made for.
        """
        python = next((record for record in records if record.name == "python"), None)
        if python is None:
            raise NoWheel(
                f"packages of PyPI need a Python, and none is in the environment ({subdir})"
            )
        site_packages = python.python_site_packages_path or ""
        if (
            "pypy" in python.build
            or "t/" in site_packages
            or not _VERSION.fullmatch(python.version)
        ):
            raise NoWheel(
                f"packages of PyPI are built into images for CPython 3, and not for"
                f" python {python.version} {python.build} ({subdir})"
            )
        stated = next((v.version for v in virtual_packages if v.name == "__glibc"), "")
        glibc = _GLIBC.fullmatch(stated)
        return cls(subdir, python.version, int(glibc[1]) if glibc else _OLDEST_GLIBC)

    @property
    def short_python(self) -> str:
        """Major and minor version, e.g. ``"3.11"``."""
        return ".".join(self.python.split(".")[:2])

    @property
    def uv_platform(self) -> str:
        """The name uv has for the platform; of the glibcs it knows, the newest that is there."""
        minor = next((known for known in _UV_GLIBCS if known <= self.glibc_minor), _UV_GLIBCS[-1])
        return f"{_MACHINES[self.subdir]}-manylinux_2_{minor}"

    def tags(self) -> dict[Tag, int]:
        """Return the tags that fit, with their rank: the best has 0.

        Source:
            PEP 425, PEP 600. Nothing of the Python or the machine that asks goes in.
        """
        version = (3, int(self.short_python.partition(".")[2]))
        interpreter = f"cp3{version[1]}"
        platforms = list(self._platforms())
        ranked = chain(
            cpython_tags(version, [interpreter], platforms),
            compatible_tags(version, interpreter, platforms),
        )
        ranks: dict[Tag, int] = {}
        for tag in ranked:
            ranks.setdefault(tag, len(ranks))
        return ranks

    def _platforms(self) -> Iterator[str]:
        machine = _MACHINES[self.subdir]
        oldest = 5 if machine == "x86_64" else _OLDEST_GLIBC
        for minor in range(self.glibc_minor, oldest - 1, -1):
            yield f"manylinux_2_{minor}_{machine}"
            if minor in _LEGACY:
                yield f"{_LEGACY[minor]}_{machine}"
        yield f"linux_{machine}"
