"""Writing a spec as an image name."""

import re
from typing import Final

from packaging.requirements import Requirement as PipRequirement

from builder.image_name.tokens import PYPI, WORDS, encode
from builder.spec import Constraint, EnvironmentSpec, Operator, Requirement

#: Comparisons of PyPI that names have a word for; others, extras and markers are left out.
_PIP_CONDITION: Final = re.compile(r"(==|!=|<=|>=|<|>)([^*=]+?)(\.\*)?")


def canonical_name(spec: EnvironmentSpec) -> str:
    """Return the one name that all names of the same spec have in common, with its tag.

    It is for display, and reads back as ``spec`` where channels know the same packages and the
    same defaults hold, unless it is longer than a name may be. Items are joined by ``/``, which
    needs no knowledge of package names; a Python version is written as an item. What only files
    can ask for is left out.
    """
    everything = [*spec.requirements, *(_of_pypi(text) for text in spec.pip)]
    items = [item for wanted in everything for item in _items(wanted)]
    tag = []
    if spec.until:
        tag.append(spec.until.isoformat())
    tag += [f"cuda{v.version}" for v in spec.virtual_packages if v.name == "__cuda"]
    # Without it a name means x86_64, or what the administrator chose.
    tag += [
        v.build
        for v in spec.virtual_packages
        if v.name == "__archspec" and v.build.startswith("x86_64_v")
    ]
    if spec.base is None:
        tag.append("bare")
    user, _, group = spec.user.partition(":")
    if user and user == group:
        tag.append(f"user{user}")
    return f"env/{'/'.join(items)}:{'-'.join(tag) or 'latest'}"


def _items(wanted: Requirement) -> list[str]:
    """Return the items that say one requirement: one, unless it has several plain versions."""
    package = encode(wanted.name)
    if wanted.channel:
        package = f"{wanted.channel}--{package}"
    plain = [encode(c.version) for c in wanted.constraints if c.operator == "="]
    words = [
        f"{WORDS[c.operator]}.{encode(c.version)}" for c in wanted.constraints if c.operator != "="
    ]
    first = ".".join([package, *plain[:1], *words])
    return [first, *(f"{package}.{version}" for version in plain[1:])]


def _of_pypi(text: str) -> Requirement:
    wanted = PipRequirement(text)
    constraints = []
    for specifier in wanted.specifier:
        match = _PIP_CONDITION.fullmatch(str(specifier))
        if match and not (match[3] and match[1] != "=="):
            operator: Operator = "=" if match[3] else match[1]  # type: ignore[assignment]  # one of them
            constraints.append(Constraint(operator, match[2]))
    return Requirement(wanted.name, tuple(sorted(constraints)), PYPI)
