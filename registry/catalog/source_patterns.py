"""Which file of a source defines which environment.

A pattern is a path relative to the source. ``{environment}`` and ``{namespace}`` stand for a name,
``*`` for any text, each within one component; ``**/``, once, for any folders, or none::

    {environment}/environment.yml       forecast/environment.yml   → forecast
    teams/{namespace}/{environment}.yml teams/data/forecast.yml    → data/forecast
    **/pixi.lock                        apps/web/pixi.lock         → web
    environment.yml                     environment.yml            → as the source's directory

Without ``{environment}``, a file defines an environment that is called as its folder. The first
pattern that matches a path says what it is; of files in one folder that define one environment, the
one of the first pattern counts, so that a lock counts before the file that it was made of.

Without patterns, a source has the usual ones (:data:`USUAL`), at any depth. Of these, the names
that say nothing (``forecast.yml``) are *loose*: other programs have such files too, so that only
those count whose text looks like an environment's.

>>> patterns = parse_patterns(None, has_namespace=True, root_name="team")
>>> chosen = patterns.choose(["a/environment.yml", "a/conda-lock.yml", "b.yml", "environment.yml"])
>>> [f"{path}: {place.environment}" for path, place in chosen.places.items()]
['a/conda-lock.yml: a', 'b.yml: b', 'environment.yml: team']
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from registry.errors import SourceInvalid

#: What counts where nothing else is said; a source without a namespace has it below
#: ``{namespace}/``. Those in one line have the same rank.
USUAL: Final = (
    ("**/{environment}/pixi.lock",),
    ("**/{environment}/conda-lock.yml",),
    ("**/{environment}/environment.yml", "**/{environment}/environment.yaml"),
    ("**/{environment}.yml", "**/{environment}.yaml"),
)
#: Of these, the files of the root itself, which define an environment called as the directory.
_IN_ROOT: Final = (("pixi.lock",), ("conda-lock.yml",), ("environment.yml", "environment.yaml"), ())

#: The most patterns of a source, and how long each may be.
MAX_PATTERNS: Final = 50
_MAX_LENGTH: Final = 200
#: How much of a pattern may stand for something: more takes long to match.
_MAX_FOLDERS: Final = 1
_MAX_PARTS: Final = 2
#: Longer paths cannot be written down with what becomes of them.
MAX_PATH_BYTES: Final = 1000

_WILD: Final = re.compile(r"\{environment\}|\{namespace\}|\*")


@dataclass(frozen=True, slots=True)
class Place:
    """Which environment a file defines."""

    environment: str
    #: ``None``: the source's own.
    namespace: str | None = None

    def __str__(self) -> str:
        """Return it as people write it."""
        return f"{self.namespace}/{self.environment}" if self.namespace else self.environment


@dataclass(frozen=True, slots=True)
class Match:
    """A path that a pattern matches."""

    place: Place
    #: Of files in one folder for one environment, that of the least rank counts.
    rank: int
    #: Whether it counts only if its text looks like an environment's.
    is_loose: bool = False


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which files of a source count."""

    #: By path, in the order of paths.
    places: Mapping[str, Place] = field(default_factory=dict)
    #: What is wrong with files that do not count, by path.
    problems: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Pattern:
    expression: re.Pattern[str]
    rank: int
    is_loose: bool


class Patterns:
    """Tells which environment a path defines; made by :func:`parse_patterns`."""

    def __init__(self, patterns: Sequence[_Pattern], root_name: str) -> None:
        self._patterns = patterns
        self._root_name = root_name

    def match(self, path: str) -> Match | None:
        """Return what a path defines; ``None``: nothing."""
        if len(path) > MAX_PATH_BYTES:
            return None
        for pattern in self._patterns:
            found = pattern.expression.fullmatch(path)
            if found is None:
                continue
            names = found.groupdict()
            environment = names.get("environment") or self._folder_of(path)
            if environment:
                place = Place(environment, names.get("namespace"))
                return Match(place, pattern.rank, pattern.is_loose)
        return None

    def choose(self, paths: Iterable[str]) -> Chosen:
        """Return which of the files of a source count: one for each environment."""
        first: dict[tuple[str, Place], tuple[int, str]] = {}
        problems: dict[str, str] = {}
        for path in sorted(paths):
            match = self.match(path)
            if match is None:
                continue
            key = (path.rpartition("/")[0], match.place)
            rank, other = first.get(key, (match.rank + 1, ""))
            if match.rank < rank:
                first[key] = (match.rank, path)
            elif match.rank == rank:
                problems[path] = _twice(match.place, other)
        places: dict[str, Place] = {}
        defined: dict[Place, str] = {}
        for (_, place), (_, path) in sorted(first.items(), key=lambda one: one[1][1]):
            if place in defined:
                problems[path] = _twice(place, defined[place])
            else:
                defined[place] = path
                places[path] = place
        return Chosen(places, problems)

    def _folder_of(self, path: str) -> str:
        folder = path.rpartition("/")[0]
        return folder.rpartition("/")[2] if folder else self._root_name


def parse_patterns(
    texts: Sequence[str] | None, *, has_namespace: bool, root_name: str = ""
) -> Patterns:
    """Return what the patterns of a source mean.

    Args:
        texts: The patterns; ``None``: the usual ones.
        has_namespace: Whether the source has one: then ``{namespace}`` has no meaning, else all
            patterns must have it.
        root_name: How an environment is called that a file in the root defines; empty: none is.

    Raises:
        SourceInvalid: One cannot be used.
    """
    if texts is None:
        return Patterns(_usual(has_namespace=has_namespace), root_name)
    if not 1 <= len(texts) <= MAX_PATTERNS:
        raise SourceInvalid(
            f"a source has 1 to {MAX_PATTERNS} patterns, or none for the usual ones"
        )
    return Patterns(
        [
            _Pattern(_compiled(text, has_namespace=has_namespace), rank, is_loose=False)
            for rank, text in enumerate(texts)
        ],
        root_name,
    )


def _usual(*, has_namespace: bool) -> list[_Pattern]:
    found = []
    for rank, (texts, in_root) in enumerate(zip(USUAL, _IN_ROOT, strict=True)):
        is_loose = rank == len(USUAL) - 1
        for text in (*texts, *(in_root if has_namespace else ())):
            full = text if has_namespace else text.replace("**/", "**/{namespace}/")
            found.append(
                _Pattern(_compiled(full, has_namespace=has_namespace), rank, is_loose=is_loose)
            )
    return found


def _compiled(text: str, *, has_namespace: bool) -> re.Pattern[str]:
    if reason := _refusal(text, has_namespace=has_namespace):
        raise SourceInvalid(f"the pattern '{text[:_MAX_LENGTH]}' {reason}")
    expression = ""
    *folders, name = text.split("/")
    for folder in folders:
        # What a component matched is not tried in another way: that would multiply.
        expression += r"(?:[^/]+/)*" if folder == "**" else f"(?>{_component(folder)}/)"
    return re.compile(expression + _component(name))


def _refusal(text: str, *, has_namespace: bool) -> str | None:
    """Return why a pattern cannot be used; ``None``: it can."""
    components = text.split("/")
    plain = [_WILD.sub("\0", part) for part in components if part != "**"]
    reasons = (
        (
            not text or len(text) > _MAX_LENGTH or not text.isprintable(),
            f"is no path of 1 to {_MAX_LENGTH} characters that can be printed",
        ),
        (
            any(part in {"", ".", ".."} for part in components),
            "is no path relative to the source, such as '{environment}/environment.yml'",
        ),
        (
            any(part.startswith(".") for part in components),
            "names something hidden, which is not looked at",
        ),
        (
            components.count("**") > _MAX_FOLDERS or components[-1] == "**",
            "may have '**/' once, and the name of a file at its end",
        ),
        (
            any("\0\0" in part or part.count("\0") > _MAX_PARTS for part in plain),
            f"has more than {_MAX_PARTS} of '*' and braces in a name, or no text between them",
        ),
        (
            any(mark in part for part in plain for mark in "{}"),
            "has braces around something else than 'environment' and 'namespace'",
        ),
        (
            text.count("{environment}") > 1 or text.count("{namespace}") > 1,
            "has '{environment}' or '{namespace}' twice",
        ),
        (
            has_namespace and "{namespace}" in text,
            "has '{namespace}', yet the source's own namespace has all of its environments",
        ),
        (
            not has_namespace and "{namespace}" not in text,
            "lacks '{namespace}', which says whose environment it is, as the source has none",
        ),
    )
    return next((reason for is_so, reason in reasons if is_so), None)


def _component(text: str) -> str:
    expression, end = "", 0
    for wild in _WILD.finditer(text):
        expression += re.escape(text[end : wild.start()])
        name = wild[0].strip("{}")
        expression += "[^/]*" if name == "*" else f"(?P<{name}>[^/]+)"
        end = wild.end()
    return expression + re.escape(text[end:])


def _twice(place: Place, other: str) -> str:
    return f"'{place}' is defined by {other} already: one file defines an environment"
