"""Roles of conda-store as roles of a server.

There, people have a primary namespace, which is called as they are; a role is that of everybody
with one primary namespace in what a pattern names. Here it is given to the user of that name.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, Protocol
from urllib.parse import quote

from registry.catalog.slugs import environment_slug
from registry.cli.api import Api, Document, Refused
from registry.cli.conda_store_records import OldRole, Remark
from registry.cli.conda_store_report import Report
from registry.errors import CatalogNameInvalid

#: Which generation is taken.
RoleVersions = Literal["v1", "v2", "none"]

_ROLES: Final = {"viewer": "viewer", "developer": "editor", "editor": "editor", "admin": "admin"}
_GLOB: Final = re.compile(r"[a-z0-9._*-]+")
_ORDER: Final = ("viewer", "editor", "admin", "owner")


class RoleChoice(Protocol):
    """What is asked for of roles."""

    @property
    def namespaces(self) -> tuple[str, ...]:
        """Names there; none said: all."""
        ...

    @property
    def roles(self) -> RoleVersions | None:
        """Which generation is taken; ``None``: the one that has any."""
        ...

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing is changed."""
        ...


class _NoEqual(Exception):
    """A role has no equal here: one sentence."""


async def move_roles(
    api: Api,
    roles: Sequence[OldRole],
    choice: RoleChoice,
    namespaces: Mapping[str, str],
    report: Report,
) -> None:
    """Give the roles that conda-store had; one that somebody has here already stays as it is.

    Args:
        api: Where to.
        roles: Of both generations.
        choice: What is asked for.
        namespaces: Slugs here by names there.
        report: Gets what was done.

    Raises:
        RemoteError: The server does not answer, or they may not be given.
    """
    wanted: dict[tuple[str, str, str], str] = {}
    for role in _in_force(roles, choice, report):
        try:
            if choice.namespaces and role.entity.partition("/")[0] not in choice.namespaces:
                continue
            place = (role.subject, *_globs(role.entity, namespaces))
            named = _role(role.role)
        except _NoEqual as exc:
            what = f"{role.role} on {role.entity} for {role.subject}"
            report.no_equal.append(Remark(what, str(exc)))
            continue
        wanted[place] = max(named, wanted.get(place, named), key=_ORDER.index)
    if wanted:
        await _give(api, wanted, choice, report)


def _in_force(roles: Sequence[OldRole], choice: RoleChoice, report: Report) -> list[OldRole]:
    """Return the roles of one generation: those of the other give no rights there.

    Which one holds is said in conda-store's configuration, and nowhere else.
    """
    found: dict[str, list[OldRole]] = {
        version: [one for one in roles if one.version == version] for version in ("v1", "v2")
    }
    version = choice.roles
    if version is None:
        if found["v1"] and found["v2"]:
            report.not_taken.append(
                Remark(
                    f"{len(roles)} roles",
                    "there are some of both generations, of which one holds: say --roles v1 or"
                    " --roles v2, as 'role_mappings_version' of its configuration does (v1 if it"
                    " is not there)",
                )
            )
            return []
        version = "v1" if found["v1"] else "v2"
    for name, rows in found.items():
        if rows and name != version:
            why = f"left out, as --roles {version} was said"
            report.not_taken.append(Remark(f"{len(rows)} roles of {name}", why))
    return found.get(version, [])


def _role(name: str) -> str:
    """Return what a role is called here.

    Raises:
        _NoEqual: There is none.
    """
    if name not in _ROLES:
        raise _NoEqual(f"there is no role '{name}' here")
    return _ROLES[name]


def _globs(entity: str, namespaces: Mapping[str, str]) -> tuple[str, str]:
    """Return the patterns of namespace and environment that mean what conda-store's does.

    Raises:
        _NoEqual: There are none.
    """
    namespace, slash, environment = entity.partition("/")
    if not slash or not namespace or not environment:
        raise _NoEqual("it names no environments")
    if "*" not in namespace:
        if namespace not in namespaces:
            raise _NoEqual(f"there is no namespace '{namespace}'")
        return namespaces[namespace], _glob(environment)
    return _glob(namespace), _glob(environment)


def _glob(pattern: str) -> str:
    if "*" not in pattern:
        try:
            return environment_slug(pattern)
        except CatalogNameInvalid as exc:
            raise _NoEqual(exc.message) from exc
    # Names lose their large letters here, and so do patterns of names.
    pattern = re.sub(r"\*+", "*", pattern.lower())
    if not _GLOB.fullmatch(pattern):
        raise _NoEqual("patterns have small letters, digits, '.', '_', '-' and '*' here")
    return pattern


async def _give(
    api: Api, wanted: Mapping[tuple[str, str, str], str], choice: RoleChoice, report: Report
) -> None:
    here = (await api.all("grants")).objects("items")
    given = {
        (one.word("subject"), one.word("namespace"), one.word("environment")): one.word("role")
        for one in here
        if one["subject_kind"] == "user"
    }
    tally = report.tallies["roles"]
    for place, role in sorted(wanted.items()):
        what = f"{role} on {place[1]}/{place[2]} for {place[0]}"
        if place in given:
            tally.known += 1
            if given[place] != role:
                report.not_taken.append(Remark(what, f"it is {given[place]} here, which stays"))
            continue
        try:
            if not choice.is_dry_run:
                await _send(api, place, role)
            tally.made += 1
        except Refused as exc:
            if exc.status in {401, 403}:
                raise
            report.refuse("roles", what, str(exc))


async def _send(api: Api, place: tuple[str, str, str], role: str) -> Document:
    subject, namespace, environment = place
    body: dict[str, Any] = {
        "role": role,
        "subject_kind": "user",
        "subject": subject,
        "environment": environment,
    }
    if "*" in namespace:
        path, body = "grants", {**body, "namespace": namespace}
    else:
        path = f"namespaces/{quote(namespace, safe='')}/grants"
    return api.document(await api.send("POST", path, body=body))
