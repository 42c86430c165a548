"""What is to be in a root: paths of prefixes and links, and what can have none."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from registry.prefixes.layout import Layout, Template
from registry.prefixes.server import Wanted, WantedVersion
from registry.prefixes.status import Problem


@dataclass(frozen=True, slots=True)
class WantedLink:
    """A link that is to be there."""

    #: Relative to the root, as all paths here.
    path: str
    #: The path of the prefix that it leads to.
    prefix: str
    version: WantedVersion
    #: Whether it is that of the environment; else that of a version.
    is_active: bool


@dataclass(frozen=True, slots=True)
class Targets:
    """All that is to be in a root."""

    #: By path; what is active comes first.
    prefixes: Mapping[str, WantedVersion]
    #: By path.
    links: Mapping[str, WantedLink]
    problems: tuple[Problem, ...]


def about(version: WantedVersion) -> str:
    """Return what a version is called for people, for example ``"analytics/forecast v3"``."""
    return f"{version.namespace}/{version.environment} v{version.number}"


def targets(wanted: Wanted, layout: Layout) -> Targets:
    """Return where everything is to be.

    Where two things would have the same path, or one would be in the other, prefixes are first,
    then links of environments, then links of versions; what comes later is told.
    """
    placing = _Placing(layout)
    ordered = sorted(
        (one for one in wanted.versions if one.key not in wanted.blocked),
        key=lambda one: (not one.is_active, one.namespace, one.environment, one.number, one.key),
    )
    placed = [one for one in ordered if placing.place_prefix(one)]
    placing.place_links(layout.link, [one for one in placed if one.is_active], is_active=True)
    if layout.version_link is not None:
        placing.place_links(layout.version_link, placed, is_active=False)
    return Targets(placing.prefixes, placing.links, tuple(placing.problems))


class _Placing:
    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.prefixes: dict[str, WantedVersion] = {}
        self.links: dict[str, WantedLink] = {}
        self.problems: list[Problem] = []
        #: Of everything placed: directories that its path needs.
        self._directories: set[str] = set()

    def place_prefix(self, version: WantedVersion) -> bool:
        """Give a version's build its path; tell whether it has one."""
        try:
            path = self._layout.builds.path(version)
        except ValueError as exc:
            return self._tell(version, str(exc))
        taken = self.prefixes.get(path)
        if taken is not None and taken.key == version.key:
            return True
        if not self._is_free(version, path):
            return False
        self.prefixes[path] = version
        return True

    def place_links(
        self, template: Template, versions: Iterable[WantedVersion], *, is_active: bool
    ) -> None:
        """Give versions the links of a template, as far as these are free."""
        for version in versions:
            try:
                path = template.path(version)
            except ValueError as exc:
                self._tell(version, str(exc))
                continue
            if self._is_free(version, path):
                prefix = self._layout.builds.path(version)
                self.links[path] = WantedLink(path, prefix, version, is_active)

    def _is_free(self, version: WantedVersion, path: str) -> bool:
        """Tell whether nothing else is to be at a path, above or below it, and take it."""
        parts = path.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts))]
        for other in (path, *above):
            taken = self.prefixes.get(other)
            if taken is None and other in self.links:
                taken = self.links[other].version
            if taken is not None:
                where = f"'{path}'" if other == path else f"'{path}' would be in '{other}', which"
                return self._tell(
                    version, f"{where} is that of {about(taken)} already: choose another template"
                )
        if path in self._directories:
            return self._tell(
                version,
                f"'{path}' is a directory that others are in already: choose another template",
            )
        self._directories.update(above)
        return True

    def _tell(self, version: WantedVersion, why: str) -> bool:
        self.problems.append(Problem(about(version), f"{about(version)} is left out: {why}"))
        return False
