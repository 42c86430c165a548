"""Writing a spec as an image name."""

from builder.image_name.tokens import WORDS, encode
from builder.spec import EnvironmentSpec, Requirement


def canonical_name(spec: EnvironmentSpec) -> str:
    """Return the one name that all names of the same spec have in common, with its tag.

    It is for display, and reads back as ``spec`` where channels know the same packages and the
    same defaults hold, unless it is longer than a name may be. Items are joined by ``/``, which
    needs no knowledge of package names; a Python version is written as an item.
    """
    items = [item for wanted in spec.requirements for item in _items(wanted)]
    tag = []
    if spec.until:
        tag.append(spec.until.isoformat())
    tag += [f"cuda{v.version}" for v in spec.virtual_packages if v.name == "__cuda"]
    if spec.base is None:
        tag.append("bare")
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
