"""Stand-in until branch inputs lands."""

import json
from dataclasses import dataclass

from builder.errors import InputError, LockError
from builder.image_name import NameDefaults
from builder.lock import Lock, from_yaml
from builder.spec import EnvironmentSpec, Requirement

__all__ = ["PackageList", "read_request"]


@dataclass(frozen=True, slots=True)
class PackageList:
    """Stand-in."""

    platforms: tuple[str, ...] = ()


def read_request(data: bytes, defaults: NameDefaults) -> EnvironmentSpec | Lock | PackageList:
    """Return what is asked for."""
    if data.lstrip().startswith(b"{"):
        try:
            content = json.loads(data)
        except ValueError as exc:
            raise InputError("this is not JSON", line=1) from exc
        specs = content.get("specs", [])
        for at, spec in enumerate(specs):
            if not spec.replace("-", "").isalnum():
                raise InputError(f"'{spec}' is not a match spec", field=f"specs[{at}]")
        return EnvironmentSpec(
            requirements=tuple(sorted(Requirement(spec) for spec in specs)),
            channels=defaults.needed(frozenset()),
            platforms=tuple(sorted(defaults.platforms)),
            virtual_packages=defaults.virtual_packages,
            base=None if content.get("base") is None else defaults.base,
        )
    try:
        return from_yaml(data)
    except LockError as exc:
        raise InputError(exc.message) from exc
