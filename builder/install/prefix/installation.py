"""What one platform of a lock installs: all that making a prefix has to know."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, NewType

from builder.errors import BuilderError
from builder.install.paths import path_fault
from builder.layer import LayerPackage, LayerPlan, PythonTarget
from builder.lock.fields import entry_of, extra_of, record_of
from builder.lock.wheel_fields import wheel_entry_of, wheel_extra_of, wheel_of
from builder.platforms import PLATFORMS, Subdir
from builder.records import PackageRecord, WheelRecord, canonical_json, needs_bytecode

#: Raised when the meaning of a written installation changes.
FORMAT: Final = 1
#: Of what is wrong with one that somebody sends.
_MAX_REASON: Final = 300
_KEY: Final = re.compile(r"[0-9a-f]{32}")
_PYTHON: Final = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}[A-Za-z0-9_.!+-]{0,100}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_VALUE: Final = re.compile(r"[^\0]{0,32768}")

#: What an unpacked package is called, 64 hex digits: it stands for all that decides its bytes.
UnpackedName = NewType("UnpackedName", str)


@dataclass(frozen=True, slots=True)
class InstallationPlan:
    """The packages of one platform of a lock, and how they are installed beside each other."""

    #: Of the lock.
    key: str
    subdir: Subdir
    #: Conda packages and wheels, in the order in which they are linked.
    packages: tuple[LayerPackage, ...]
    python: PythonTarget | None = None
    #: Are set when the environment is activated.
    variables: Mapping[str, str] = field(default_factory=dict)

    def python_of(self, package: LayerPackage) -> PythonTarget | None:
        """Return the Python that a package is unpacked for; ``None`` if it depends on none."""
        record = package.record
        if isinstance(record, PackageRecord) and not needs_bytecode(record):
            return None
        return self.python

    def name_of(self, package: LayerPackage) -> UnpackedName:
        """Return what a package of this installation is called when it is unpacked.

        It is the key of a layer with this package alone: two environments share an unpacked package
        if they would share its layer.
        """
        return UnpackedName(LayerPlan((package,), self.python_of(package)).key)


def dump_installation(plan: InstallationPlan) -> bytes:
    """Return an installation as JSON, the same bytes for equal ones."""
    content = {
        "format": FORMAT,
        "key": plan.key,
        "subdir": plan.subdir,
        "python": asdict(plan.python) if plan.python else None,
        "variables": dict(plan.variables),
        "packages": [_dumped(package, plan.subdir) for package in plan.packages],
    }
    return canonical_json(content).encode() + b"\n"


def parse_installation(data: bytes) -> InstallationPlan:
    """Return the installation that was written as ``data``, and believe nothing of it.

    Raises:
        ValueError: It is none; the sentence says why.
    """
    try:
        return _plan(json.loads(data))
    except (
        BuilderError,
        LookupError,
        TypeError,
        AttributeError,
        ValueError,
        RecursionError,
    ) as exc:
        raise ValueError(f"this is no installation: {str(exc)[:_MAX_REASON]}") from exc


def _dumped(package: LayerPackage, subdir: Subdir) -> dict[str, Any]:
    record = package.record
    if isinstance(record, WheelRecord):
        content = {"entry": wheel_entry_of(record, subdir), "extra": wheel_extra_of(record)}
    else:
        content = {"entry": entry_of(record, subdir), "extra": extra_of(record)}
    return {**content, "omit": package.omit, "redirects": package.redirects}


def _plan(content: Mapping[str, Any]) -> InstallationPlan:
    if content["format"] != FORMAT:
        raise ValueError(f"it has format {content['format']!r}, and {FORMAT} is what is read here")
    subdir = content["subdir"]
    if subdir not in PLATFORMS:
        raise ValueError("it is for an unknown platform")
    if not isinstance(content["packages"], list):
        raise TypeError("its packages are no list")
    packages = tuple(map(_package, content["packages"]))
    if len({package.record.sha256 for package in packages}) < len(packages):
        raise ValueError("it has a package twice")
    return InstallationPlan(
        key=_matching(content["key"], _KEY),
        subdir=subdir,
        packages=packages,
        python=None if content["python"] is None else _python(content["python"]),
        variables={
            _matching(name, _VARIABLE): _matching(value, _VALUE)
            for name, value in content["variables"].items()
        },
    )


def _package(content: Mapping[str, Any]) -> LayerPackage:
    entry, extra = dict(content["entry"]), dict(content["extra"])
    record = wheel_of(entry, extra) if entry["manager"] == "pip" else record_of(entry, extra)
    redirects = ((_path(link), _directory(to)) for link, to in content["redirects"])
    return LayerPackage(record, tuple(map(_path, content["omit"])), tuple(redirects))


def _python(content: Mapping[str, Any]) -> PythonTarget:
    return PythonTarget(_matching(content["version"], _PYTHON), _path(content["site_packages"]))


def _directory(path: str) -> str:
    return path if path == "." else _path(path)


def _path(path: str) -> str:
    if fault := path_fault(path):
        raise ValueError(f"path {path!r} {fault}")
    return path


def _matching(text: str, pattern: re.Pattern[str]) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is malformed")
    return text
