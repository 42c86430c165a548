"""PyPI's dependencies → conda's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from email.message import Message

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_MACHINES = {"linux-64": "x86_64", "linux-aarch64": "aarch64", "noarch": "x86_64"}


class Translation:
    """Translates the metadata of wheels.

    Args:
        names: PyPI name → conda name, where they differ.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def name(self, pypi_name: str) -> str:
        """The conda package that has this project."""
        canonical = canonicalize_name(pypi_name)
        return self._names.get(canonical, canonical)

    def depends(
        self, metadata: Message, subdir: str, pythons: Iterable[str], extra: str = ""
    ) -> list[str]:
        """Match specs of what is required, sorted.

        A noarch package serves several versions of Python: what one of them needs, all depend on.
        A required extra is a package of its own, `jsonschema-with-format`, as on conda-forge.

        Args:
            metadata: Of the wheel.
            subdir: Of the package that it becomes.
            pythons: Minor versions that the package is for.
            extra: Only what this extra adds, when given.
        """
        specs: set[str] = set()
        for requirement in _applying(metadata, subdir, pythons, extra):
            version = _version_spec(requirement)
            specs.add(f"{self.name(requirement.name)} {version}".strip())
            for required_extra in requirement.extras:
                specs.add(f"{self.extra_name(requirement.name, required_extra)} {version}".strip())
        return sorted(specs)

    def required_extras(
        self, metadata: Message, subdir: str, pythons: Iterable[str], extra: str = ""
    ) -> set[tuple[str, str]]:
        """PyPI name and extra of each requirement in `depends` that names an extra."""
        return {
            (canonicalize_name(requirement.name), required_extra)
            for requirement in _applying(metadata, subdir, pythons, extra)
            for required_extra in requirement.extras
        }

    def extra_name(self, pypi_name: str, extra: str) -> str:
        """The package that stands for an extra."""
        return f"{self.name(pypi_name)}-with-{canonicalize_name(extra)}"

    def constrains(self, metadata: Message, subdir: str, pythons: Iterable[str]) -> list[str]:
        """What extras ask of packages that may be installed beside: `run_constrained`.

        Lower bounds only: the exact versions in an extra are those of somebody's test machine.
        """
        extras = metadata.get_all("Provides-Extra") or []
        python = min(pythons)
        environment = _environment(subdir, python)
        specs: dict[str, str] = {}
        for requirement in _requirements(metadata):
            version = _version_spec(requirement)
            applies = any(_applies(requirement, environment, extra) for extra in extras)
            bounds = all(specifier.operator == ">=" for specifier in requirement.specifier)
            if version and bounds and applies and not _applies(requirement, environment, ""):
                specs.setdefault(self.name(requirement.name), version)
        return [f"{name} {version}" for name, version in sorted(specs.items())]


def _applying(
    metadata: Message, subdir: str, pythons: Iterable[str], extra: str
) -> list[Requirement]:
    """The requirements that one of the Python versions has."""
    environments = [_environment(subdir, python) for python in pythons]
    return [
        requirement
        for requirement in _requirements(metadata)
        if any(_applies(requirement, environment, extra) for environment in environments)
    ]


def _requirements(metadata: Message) -> list[Requirement]:
    return [Requirement(text) for text in metadata.get_all("Requires-Dist") or []]


def _applies(requirement: Requirement, environment: Mapping[str, str], extra: str) -> bool:
    """Whether it is required; with an extra: whether it is required because of the extra."""
    marker = requirement.marker
    if not extra:
        return marker is None or marker.evaluate({**environment, "extra": ""})
    if marker is None or marker.evaluate({**environment, "extra": ""}):
        return False
    return marker.evaluate({**environment, "extra": extra})


def _environment(subdir: str, python: str) -> dict[str, str]:
    return {
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": _MACHINES[subdir],
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{python}.9",
        "python_version": python,
        "sys_platform": "linux",
    }


def _version_spec(requirement: Requirement) -> str:
    parts = []
    for specifier in sorted(requirement.specifier, key=str, reverse=True):
        operator, version = specifier.operator, specifier.version
        if operator in {"==", "==="}:
            parts.append(version if version.endswith(".*") else f"=={version}")
        else:
            parts.append(f"{operator}{version}")
    return ",".join(parts)
