"""One sentence out of the tree in which the solver explains that nothing fits.

rattler prints, for example::

    Cannot solve the request because of: The following packages are incompatible
    ├─ x * can be installed with any of the following options:
    │  └─ x 1.0 would require
    │     └─ python 3.12.*, which can be installed with any of the following options:
    │        └─ python 3.12.1
    └─ old * cannot be installed because there are no viable options:
       └─ old 1.0 would require
          └─ python 3.11.*, which cannot be installed because there are no viable options:
             └─ python 3.11.1, which conflicts with the versions reported above.

Each line is indented by three characters a level. The leaves say what is wrong: something has no
candidates, is too new for the date that was asked for, or conflicts; the lines above a leaf say
who wants it. Where a tree has a form that is not known here, its text is joined and cut.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from builder.spec import EnvironmentSpec

#: ``docker`` shows the message in one line of a terminal.
MAX_LENGTH = 400

_PREFIX = "Cannot solve the request because of: "
_GLYPHS = re.compile(r"[│├└─ ]*")
_DRAWN = re.compile(r"[│├└─\s]+")
#: How a requirement names the channel that it is pinned to.
_PIN = re.compile(r"\[channel=\"[^\"]*\"\]")
_NONE_AT_ALL = re.compile(r"No candidates were found for (.+?)\.?")
_NONE_FOR = re.compile(r"(.+), for which no candidates were found\.?")
_ELSEWHERE = " is excluded because candidate not in requested channel"
_TAIL = re.compile(
    r",? (?:which )?(?:can(?:not)? be installed.*|would require|would constrain"
    r"|which conflicts .*|for which no candidates.*)"
)


@dataclass(slots=True)
class _Node:
    text: str
    parents: tuple["_Node", ...] = ()
    children: list["_Node"] = field(default_factory=list)

    @property
    def subject(self) -> str:
        """What the line is about: a requirement, or a package with its versions."""
        return _shorten(_TAIL.split(self.text)[0]).removesuffix(" *")

    @property
    def name(self) -> str:
        return self.subject.partition(" ")[0]


def explain(tree: str, spec: EnvironmentSpec, offer: str) -> str:
    """Return one sentence, without a full stop, of at most :data:`MAX_LENGTH` characters.

    >>> spec = EnvironmentSpec((), (), (), ())
    >>> explain("Cannot solve the request because of: No candidates were found for numpy >=3.",
    ...         spec, "conda-forge has 2.3.1, 2.2.6")
    'no set of versions fits: there is no numpy >=3 (conda-forge has 2.3.1, 2.2.6)'

    Args:
        tree: rattler's message.
        spec: What was asked for.
        offer: Words about which versions of :func:`missing_package` there are, or ``""``.
    """
    text = _PIN.sub("", tree.removeprefix(_PREFIX)).strip()
    roots, nodes = _parse(text)
    for reason in (_missing(nodes, spec, offer), _too_new(nodes), _conflict(roots, nodes)):
        if reason:
            return _cut(f"no set of versions fits: {reason}")
    return _cut(f"no set of versions fits: {_DRAWN.sub(' ', text)}")


def missing_package(tree: str) -> str | None:
    """Return the name of the package that has no candidates, if that is what is wrong.

    >>> missing_package("Cannot solve the request because of: No candidates were found for a >=3.")
    'a'
    """
    nodes = _parse(_PIN.sub("", tree.removeprefix(_PREFIX)).strip())[1]
    leaf = _worst_leaf(nodes)
    return None if leaf is None else leaf[1].partition(" ")[0]


def _parse(text: str) -> tuple[list[_Node], list[_Node]]:
    """Return the nodes of the first level, and all nodes in the order of their lines."""
    lines = [line for line in text.splitlines() if line.strip()]
    path: list[tuple[int, _Node]] = []
    roots, nodes = [], []
    for line in lines:
        indent = len(_GLYPHS.match(line)[0])  # type: ignore[index]  # matches the empty string
        while path and path[-1][0] >= indent:
            path.pop()
        node = _Node(line[indent:].strip(), tuple(parent for _, parent in path))
        if path:
            path[-1][1].children.append(node)
        elif not node.text.startswith("The following packages are incompatible"):
            roots.append(node)
        if not node.text.startswith("The following packages are incompatible"):
            path.append((indent, node))
            nodes.append(node)
    return roots, nodes


def _leaves_without_candidates(nodes: list[_Node]) -> Iterator[tuple[_Node, str]]:
    for node in nodes:
        match = _NONE_AT_ALL.fullmatch(node.text) or _NONE_FOR.fullmatch(node.text)
        if match:
            yield node, match[1].strip().removesuffix(" *")
        elif _ELSEWHERE in node.text and node.parents:
            yield node.parents[-1], node.parents[-1].subject


def _worst_leaf(nodes: list[_Node]) -> tuple[_Node, str] | None:
    """Return the first leaf that has no candidates, preferably of a virtual package."""
    leaves = list(_leaves_without_candidates(nodes))
    virtual = [leaf for leaf in leaves if leaf[1].startswith("__")]
    return next(iter([*virtual, *leaves]), None)


def _missing(nodes: list[_Node], spec: EnvironmentSpec, offer: str) -> str | None:
    """Say what no channel has, with the one who wants it."""
    leaf = _worst_leaf(nodes)
    if leaf is None:
        return None
    node, wanted = leaf
    needing = node.parents[-1].subject if node.parents else ""
    name = wanted.partition(" ")[0]
    if name.startswith("__"):
        return f"{needing or 'the name'} needs {wanted}: {_advice(name, wanted, spec)}"
    said = f"there is no {wanted}"
    if node.parents and node.parents[-1].text.endswith("would require"):
        # The solver never sees the versions that the name itself rules out.
        asked = [r for r in spec.requirements if r.name == name and r.constraints]
        if asked:
            return f"{needing} needs {wanted}, but {asked[0]} is wanted"
        said = f"{needing} needs {wanted}, which no channel has"
    return f"{said} ({offer})" if offer else said


def _advice(name: str, wanted: str, spec: EnvironmentSpec) -> str:
    offered = next(
        (package.version for package in spec.virtual_packages if package.name == name), None
    )
    has = f"the image has {name} {offered}" if offered else f"the image has no {name}"
    if name == "__cuda":
        version = re.search(r"[0-9]+(?:\.[0-9]+)?", wanted)
        number = version[0] if version else "12.0"
        tag = number if "." in number else f"{number}.0"
        return f"{has}; add a tag such as ':cuda{tag}'"
    if name == "__archspec":
        level = re.search(r"x86_64_v[2-4]", wanted)
        allowed = [p for p in spec.virtual_packages if p.name == name]
        # A level means a platform; other platforms have no part in what is wrong.
        builds = [p.build for p in allowed if not level or p.platform in {None, "linux-64"}]
        has = f"the image is for {' and '.join(builds)}" if builds else has
        return f"{has}; add the tag ':{level[0]}'" if level else has
    return has


def _too_new(nodes: list[_Node]) -> str | None:
    for node in nodes:
        subject, found, rest = node.text.partition(" is excluded because ")
        if found and "cutoff" in rest:
            day = re.search(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", rest)
            wanted = node.parents[-1].subject if node.parents else subject
            until = f" up to {day[0]}" if day else " up to the date that was asked for"
            return f"nothing that fits {wanted} was published{until} ({_shorten(subject)} is newer)"
    return None


def _conflict(roots: list[_Node], nodes: list[_Node]) -> str | None:
    """Say who wants what of the package on which requirements disagree."""
    leaf = next((node for node in nodes if ", which conflicts with" in node.text), None)
    if leaf is None:
        return None
    name = leaf.name
    demands = []
    for root in roots:
        demand = _demand(root, name)
        if demand and demand not in demands:
            demands.append(demand)
    return ", but ".join(sorted(demands)) if len(demands) > 1 else None


def _demand(node: _Node, name: str) -> str | None:
    """Return the first demand on package ``name`` at or below ``node``, as words."""
    if node.name == name and "installed" in node.text:
        return _demand_words(node)
    if node.name == name and (
        node.parents and node.parents[-1].text.endswith(("would constrain", "would require"))
    ):
        return _demand_words(node)
    for child in node.children:
        if demand := _demand(child, name):
            return demand
    return None


def _demand_words(node: _Node) -> str:
    if not node.parents:
        return f"{node.subject} is wanted"
    parent = node.parents[-1]
    verb = "allows only" if parent.text.endswith("would constrain") else "needs"
    top = node.parents[0].name
    through = "" if top in {parent.name, node.name} else f" (for {top})"
    return f"{parent.subject} {verb} {node.subject}{through}"


def _shorten(subject: str) -> str:
    """Return ``a 1.0 | 1.1 | 1.2`` as ``a 1.0, …``."""
    first, *others = subject.strip().split(" | ")
    return f"{first}, …" if others else first


def _cut(text: str) -> str:
    return text if len(text) <= MAX_LENGTH else text[: MAX_LENGTH - 1].rstrip() + "…"
