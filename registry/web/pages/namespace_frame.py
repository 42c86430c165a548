"""What all pages of a namespace have: what it is, what one may do in it, and the way around."""

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

from registry.auth.roles import Role, covers
from registry.web.browser.forms import Fields
from registry.web.pages.visit import Visit


@dataclass(frozen=True, slots=True)
class Frame:
    """A namespace as one visitor sees it."""

    #: The API's document of it.
    document: Mapping[str, Any]
    #: Of the visitor, in all of it; ``None``: they see a part of it.
    role: Role | None
    #: Where that comes from, in words.
    reasons: tuple[str, ...]
    #: Whether they have logged in.
    is_known: bool

    @property
    def slug(self) -> str:
        """Its part of addresses."""
        return str(self.document["slug"])

    @property
    def path(self) -> str:
        """Where its page is."""
        return f"/{self.slug}"

    @property
    def sees_all(self) -> bool:
        """Whether they see all of it."""
        return covers(self.role, "viewer")

    @property
    def may_edit(self) -> bool:
        """Whether they make environments in it."""
        return covers(self.role, "editor")

    @property
    def is_admin(self) -> bool:
        """Whether they give roles in it, and change it."""
        return covers(self.role, "admin")

    @property
    def is_owner(self) -> bool:
        """Whether they may give it away."""
        return covers(self.role, "owner")

    @property
    def automation(self) -> list[tuple[str, str]]:
        """The pages of what goes on by itself in it: addresses and titles."""
        here = f"{self.path}/-"
        found = [(f"{here}/proposals", "Proposals"), (f"{here}/schedules", "Schedules")]
        if self.sees_all:
            found.append((f"{here}/sources", "Sources"))
        if self.is_admin:
            found.append((f"{here}/webhooks", "Webhooks"))
        return found

    @property
    def tabs(self) -> list[tuple[str, str]]:
        """Its pages that are of use to them: addresses and titles."""
        here = f"{self.path}/-"
        found = [(self.path, "Environments")]
        if self.is_known:
            found.append((self.automation[0][0], "Automation"))
        if self.sees_all and self.is_known:
            found.append((f"{here}/members", "Members"))
        found += [(f"{here}/policy", "Policy"), (f"{here}/findings", "Findings")]
        if self.is_known:
            found.append((f"{here}/waivers", "Waivers"))
        if self.sees_all:
            found.append((f"{here}/usage", "Usage"))
        found.append((f"{here}/activity", "Activity"))
        if self.is_admin:
            found.append((f"{here}/settings", "Settings"))
        return found


def place_of(visit: Visit) -> str:
    """Return where the namespace of an address is in the API."""
    return f"/namespaces/{visit.field('namespace')}"


async def framed(visit: Visit, *others: Awaitable[Any]) -> tuple[Any, ...]:
    """Return the frame of a page, and what else it needs, asked for at once.

    Raises:
        ApiProblem: Something of it is not there for the visitor.
    """
    place = place_of(visit)
    tasks = [
        asyncio.ensure_future(one) for one in (visit.get_all(place, f"{place}/access"), *others)
    ]
    try:
        (document, access), *found = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    reasons = tuple(access["reasons"])
    return Frame(document, access["role"], reasons, visit.name is not None), *found


def kept(fields: Fields, *names: str) -> dict[str, str]:
    """Return fields of an address that say something, to be kept on the way to the next page."""
    return {name: value for name in names if (value := fields.get(name, "").strip())}
