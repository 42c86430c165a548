"""An environment as its pages show it: where it is, who looks at it, what every page has."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from registry.web.pages.fields import whole
from registry.web.pages.visit import Visit

Result = TypeVar("Result")

#: The sections, by the end of their address.
_TABS: Final = (
    ("", "Overview"),
    ("/-/versions", "Versions"),
    ("/-/packages", "Packages"),
    ("/-/layers", "Layers"),
    ("/-/downloads", "Downloads"),
    ("/-/schedule", "Schedule"),
    ("/-/activity", "Activity"),
    ("/-/settings", "Settings"),
)
#: By a role's rank, what its owner may do: words of ``/access``.
_CHANGE: Final = "change, build, activate"
_DELETE: Final = "delete, move, rename"


@dataclass(frozen=True, slots=True)
class Place:
    """Where an environment is: both names as addresses have them, quoted."""

    namespace: str
    environment: str

    @property
    def here(self) -> str:
        """The address of its page."""
        return f"/{self.namespace}/{self.environment}"

    @property
    def api(self) -> str:
        """Its address in the API."""
        return f"/namespaces/{self.namespace}/environments/{self.environment}"

    def version(self, number: int | str) -> str:
        """Return the address of the page of a version."""
        return f"{self.here}/-/versions/{number}"

    def version_api(self, number: int | str) -> str:
        """Return the address of a version in the API."""
        return f"{self.api}/versions/{number}"


def place_of(visit: Visit) -> Place:
    """Return the environment that the address of a page names."""
    return Place(visit.field("namespace"), visit.field("environment"))


@dataclass(frozen=True, slots=True)
class Shown:
    """An environment, and what whoever looks at it may do."""

    place: Place
    environment: Mapping[str, Any]
    access: Mapping[str, Any]

    @property
    def may_change(self) -> bool:
        """Whether they may change, build, cancel and activate."""
        return bool(self.access["may"].get(_CHANGE))

    @property
    def may_delete(self) -> bool:
        """Whether they may delete, move and rename."""
        return bool(self.access["may"].get(_DELETE))

    @property
    def number(self) -> int | None:
        """The version that is shown where none is said: the active one, if there is one."""
        active: int | None = self.environment["active"]
        return active

    def frame(self, tab: str = "") -> dict[str, Any]:
        """Return what every page of an environment has.

        Args:
            tab: The end of the address of the section.
        """
        here = self.place.here
        return {
            "environment": self.environment,
            "access": self.access,
            "may_change": self.may_change,
            "may_delete": self.may_delete,
            "here": here,
            "namespace": self.environment["namespace"],
            "tabs": [(f"{here}{end}", text) for end, text in _TABS],
            "tab": f"{here}{tab}",
        }


async def shown_of(visit: Visit) -> Shown:
    """Return the environment of a page.

    Raises:
        ApiProblem: There is none for whoever asks.
    """
    place = place_of(visit)
    environment, access = await asyncio.gather(
        visit.get(place.api, details=1), visit.get(f"{place.api}/access")
    )
    return Shown(place, environment, access)


async def number_of(visit: Visit, shown: Shown) -> int | None:
    """Return the version that a page is of: as its address says, else the active one.

    Where none is active, it is the newest that was built; ``None``: there is none.
    """
    if said := whole(visit.query.get("version", "")):
        return said
    if shown.number is not None:
        return shown.number
    versions = await visit.get(f"{shown.place.api}/versions", limit=50)
    return next((one["number"] for one in versions["items"] if one["state"] == "built"), None)
