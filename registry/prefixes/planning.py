"""What a root lacks, and what it has too much: decisions alone, by what is there and is to be."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from registry.prefixes.drivers import Found
from registry.prefixes.finding import Mark
from registry.prefixes.links import text_of
from registry.prefixes.seen import SeenLink
from registry.prefixes.status import Change, What
from registry.prefixes.wanted import Targets, WantedLink, about


@dataclass(slots=True)
class State:
    """What is there, by path relative to the root; a pass notes what it changes."""

    root: Path
    platform: str
    #: What the driver has made.
    found: dict[str, Found]
    #: That lead to where builds are.
    links: dict[str, SeenLink]
    #: Since when nobody wants a prefix, in seconds since 1970.
    unwanted: dict[str, float]

    def whole(self, path: str, key: str | None = None) -> Mark | None:
        """Return the mark of a whole prefix at a path, of any build or of one."""
        found = self.found.get(path)
        mark = found.mark if found is not None else None
        if mark is None or (key is not None and mark.key != key):
            return None
        is_right = mark.platform == self.platform and mark.prefix == f"{self.root}/{path}"
        return mark if is_right else None


def to_make(state: State, targets: Targets) -> list[str]:
    """Return the paths of prefixes that are missing or damaged, in the order of their making."""
    return [
        path for path, version in targets.prefixes.items() if state.whole(path, version.key) is None
    ]


def to_link(state: State, targets: Targets) -> list[WantedLink]:
    """Return the links that are missing or lead elsewhere."""
    return [link for path, link in targets.links.items() if not is_linked(state, path, link)]


def is_linked(state: State, path: str, link: WantedLink) -> bool:
    """Tell whether a link is as it is to be."""
    seen = state.links.get(path)
    return seen is not None and seen.text == text_of(path, link.prefix)


def to_unlink(state: State, targets: Targets) -> list[str]:
    """Return the paths of links that nobody wants.

    An environment that could not be switched keeps the link of the version that it is at, too.
    """
    kept = {
        (state.links[path].prefix, path)
        for path, link in targets.links.items()
        if path in state.links and not is_linked(state, path, link)
    }
    return sorted(
        path
        for path in state.links.keys() - targets.links.keys()
        if not any(
            state.links[path].prefix == prefix and path.startswith(other) for prefix, other in kept
        )
    )


def blocked(state: State, keys: Collection[str]) -> list[str]:
    """Return the paths of prefixes of builds that nobody may have."""
    return sorted(
        path
        for path, found in state.found.items()
        if found.mark is not None and found.mark.key in keys
    )


def unwanted(state: State, targets: Targets, now: float) -> dict[str, float]:
    """Return since when nobody wants which prefixes, of those that no link leads to either."""
    led_to = {link.prefix for link in state.links.values()}
    return {
        # A clock that was put back makes nothing wait for ever.
        path: min(state.unwanted.get(path, now), now)
        for path in sorted(state.found.keys() - targets.prefixes.keys() - led_to)
    }


def planned(
    state: State, targets: Targets, keys: Collection[str], now: float, grace_seconds: float
) -> tuple[Change, ...]:
    """Return what a pass would do, if all of it could be done; ``state`` is used up.

    Args:
        state: What is there.
        targets: What is to be.
        keys: Of builds that are blocked.
        now: The time.
        grace_seconds: How long what is unwanted stays.
    """
    changes: list[Change] = []
    for path in to_make(state, targets):
        what: What = "mended" if path in state.found else "made"
        changes.append(Change(what, path, about(targets.prefixes[path])))
    for link in to_link(state, targets):
        changes.append(Change("linked", link.path, about(link.version)))
        state.links[link.path] = SeenLink(text_of(link.path, link.prefix), link.prefix)
    changes += [
        Change("unlinked", path, state.links.pop(path).prefix) for path in to_unlink(state, targets)
    ]
    gone = set(blocked(state, keys))
    for path, since in unwanted(state, targets, now).items():
        if path in gone or since + grace_seconds <= now:
            changes.append(Change("removed", path, key_of(state.found, path)))
        elif path not in state.unwanted:
            changes.append(Change("unwanted", path, key_of(state.found, path)))
    return tuple(changes)


def key_of(found: Mapping[str, Found], path: str) -> str:
    """Return what a prefix is called of which no version is known."""
    mark = found[path].mark
    return mark.key if mark is not None else "damaged"
