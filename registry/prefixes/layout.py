"""Which path a version and its build have: templates, and presets of them.

A template is a path relative to the root, with fields in braces, for example
``{namespace}/envs/{environment}``.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

from registry.errors import RootUnusable
from registry.prefixes.server import WantedVersion

FIELDS: Final = ("namespace", "environment", "key", "number", "created")
#: What is between two slashes of a path.
_MAX_PART_BYTES: Final = 255
_TOKEN: Final = re.compile(r"\{([^{}]*)\}|([^{}]+)|([{}])")
#: What a field may be. A server may be anybody's, and so may what it says.
_VALUES: Final[Mapping[str, re.Pattern[str]]] = {
    "namespace": re.compile(r"[^/\0.][^/\0]*"),
    "environment": re.compile(r"[^/\0.][^/\0]*"),
    "key": re.compile(r"[0-9a-f]{32}"),
    "number": re.compile(r"[0-9]+"),
    "created": re.compile(r"[0-9]+"),
}


@dataclass(frozen=True, slots=True)
class Template:
    """A path with fields.

    >>> Template.parse("{namespace}/envs/{environment}").parts[1].pattern
    'envs'
    """

    text: str
    #: One for each part of the path: matches whatever it can be.
    parts: tuple[re.Pattern[str], ...] = field(repr=False)
    fields: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the template that a text stands for.

        Raises:
            RootUnusable: It is no path below the root, or has a field that there is not.
        """
        found: set[str] = set()
        parts = text.split("/")
        patterns = []
        for part in parts:
            pattern = ""
            for name, plain, odd in _TOKEN.findall(part):
                if odd or (not plain and name not in FIELDS):
                    fields = ", ".join(f"{{{one}}}" for one in FIELDS)
                    raise RootUnusable(
                        f"'{text}' has '{odd or '{' + name + '}'}', which is no field: write"
                        f" {fields}"
                    )
                found |= {name} if name else set()
                pattern += re.escape(plain) if plain else f"(?:{_VALUES[name].pattern})"
            if not part or part.startswith(".") or "\0" in part:
                raise RootUnusable(
                    f"'{text}' is no path in a root: write parts with '/' between them, none of"
                    " which is empty or begins with '.'"
                )
            patterns.append(re.compile(pattern, re.DOTALL))
        return cls(text, tuple(patterns), frozenset(found))

    def path(self, version: WantedVersion) -> str:
        """Return the path of a version.

        Raises:
            ValueError: It has none: a field is no part of a path, or too long; one sentence.
        """
        values = {
            "namespace": version.namespace,
            "environment": version.environment,
            "key": version.key,
            "number": str(version.number),
            "created": str(int(version.created)),
        }
        for name in sorted(self.fields):
            # Paths are in scripts and logs: in one line, and what they look like.
            if not (_VALUES[name].fullmatch(values[name]) and values[name].isprintable()):
                raise ValueError(f"its {name} '{values[name][:100]}' cannot be part of a path")
        path = self.text.format_map(values)
        for part in path.split("/"):
            if len(part.encode("utf-8", "surrogatepass")) > _MAX_PART_BYTES:
                raise ValueError(f"'{part[:40]}…' is longer than a file's name may be")
        return path

    def matches(self, path: str) -> bool:
        """Tell whether a path can be one of this template."""
        parts = path.split("/")
        return len(parts) == len(self.parts) and all(
            pattern.fullmatch(part) for pattern, part in zip(self.parts, parts, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Layout:
    """Where builds and links are."""

    #: Of a build: the prefix itself.
    builds: Template
    #: Of an environment: leads to its active version.
    link: Template
    #: Of a version; ``None``: versions have no links.
    version_link: Template | None

    @classmethod
    def of(cls, builds: str, link: str, version_link: str | None) -> Self:
        """Return the layout with these templates.

        Raises:
            RootUnusable: Two builds, or two environments, could have the same path.
        """
        layout = cls(
            Template.parse(builds),
            Template.parse(link),
            Template.parse(version_link) if version_link else None,
        )
        if "key" not in layout.builds.fields:
            raise RootUnusable(
                f"'{builds}' gives several builds the same path: write {{key}} somewhere in it"
            )
        for template, needed in (
            (layout.link, {"namespace", "environment"}),
            (layout.version_link, {"namespace", "environment", "number"}),
        ):
            if template is None:
                continue
            for name in sorted(needed - template.fields):
                raise RootUnusable(
                    f"'{template.text}' gives several links the same path: write {{{name}}}"
                    " somewhere in it"
                )
        for name in sorted(layout.link.fields - {"namespace", "environment"}):
            raise RootUnusable(
                f"'{link}' is a link that changes its own path: leave out {{{name}}}"
            )
        return layout

    def replaced(self, builds: str | None, link: str | None, version_link: str | None) -> "Layout":
        """Return this layout with other templates, where they are given; empty: no such links.

        Raises:
            RootUnusable: As :meth:`of`.
        """
        mine = self.version_link.text if self.version_link else None
        return Layout.of(
            builds or self.builds.text,
            link or self.link.text,
            mine if version_link is None else version_link,
        )


PRESETS: Final[Mapping[str, Layout]] = {
    "own": Layout.of(
        "builds/{key}", "{namespace}/envs/{environment}", "{namespace}/envs/{environment}@v{number}"
    ),
    # conda-store has <namespace>/<hash>-<time>-<id>-<name>; scripts look for what ends in the name.
    "conda-store": Layout.of(
        "{namespace}/{key}-{number}-{environment}", "{namespace}/envs/{environment}", None
    ),
    # A pod sees its namespaces' directories alone.
    "nebari": Layout.of(
        "{namespace}/builds/{key}", "{namespace}/envs/{namespace}-{environment}", None
    ),
}


def preset(name: str) -> Layout:
    """Return a layout by its name.

    Raises:
        RootUnusable: There is none of that name.
    """
    if name not in PRESETS:
        raise RootUnusable(f"there is no layout '{name}': choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
