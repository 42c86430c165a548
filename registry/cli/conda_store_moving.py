"""What a conda-store has, written to a server; what is there already is asked first.

Nothing is kept of how far it came: each request is carried out whole or not at all, and the server
knows builds by their source and id. A run that was killed is run again.
"""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import httpx

from registry.catalog.slugs import environment_slug, slug_of
from registry.cli.api import Api, Refused
from registry.cli.conda_store_records import (
    Content,
    Old,
    OldBuild,
    OldEnvironment,
    OldService,
    Remark,
    Unreadable,
)
from registry.cli.conda_store_report import Report
from registry.cli.conda_store_roles import RoleVersions, move_roles
from registry.cli.output import plain, say
from registry.cli.remote import RemoteError
from registry.errors import CatalogNameInvalid

#: What is told of a run that came to no end.
GOES_ON: Final = "what was imported stays, and the same command goes on from there"
#: Of one request; a version is an environment's whole lock.
_MAX_VERSIONS: Final = 25
_MAX_BATCH_BYTES: Final = 4 * 2**20
#: How many environments are moved at once.
_AT_ONCE: Final = 4
_ATTEMPTS: Final = 5
_PAUSE_SECONDS: Final = 1.0
#: Answers after which the same may go well a moment later.
_LATER: Final = frozenset({429, 502, 503, 504})
#: Answers to something of which each part may be what is not taken.
_ODD_CONTENT: Final = frozenset({400, 413, 422})
_MAX_DESCRIPTION: Final = 4000
_MAX_MESSAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Choice:
    """What is asked for."""

    #: Names there; none said: all.
    namespaces: tuple[str, ...] = ()
    #: Another name for a namespace, or for ``namespace/environment``, by what it is called there.
    renamed: Mapping[str, str] = field(default_factory=dict)
    #: Which generation of roles is taken; ``None``: the one that has any.
    roles: RoleVersions | None = None
    is_dry_run: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    """Where an environment comes to."""

    namespace: str
    slug: str
    name: str

    @property
    def address(self) -> str:
        return (
            f"namespaces/{quote(self.namespace, safe='')}/environments/{quote(self.slug, safe='')}"
            "/imported-versions"
        )


class Moving:
    """Moves what a conda-store has to a server."""

    def __init__(
        self, old: OldService, api: Api, choice: Choice, on_progress: Callable[[str], None]
    ) -> None:
        """Prepare it; ``on_progress`` gets sentences."""
        self._old = old
        self._api = api
        self._choice = choice
        self._on_progress = on_progress
        self._report = Report(old.source, api.server, choice.is_dry_run)
        self._done = 0
        #: Where versions were made, or would be.
        self._made: set[_Place] = set()
        #: Whether something may have been written.
        self._has_begun = False

    async def run(self) -> Report:
        """Return what was done.

        Raises:
            RemoteError: One of the two does not answer, or may not be asked.
        """
        try:
            return await self._run()
        except RemoteError as exc:
            if not self._has_begun:
                raise
            raise RemoteError(f"{exc}; {GOES_ON}") from exc

    async def _run(self) -> Report:
        self._on_progress(f"reading {self._old.source}")
        old = await self._old.read(self._choice.namespaces)
        if old.unseen is not None:
            # At once: the report comes at the end.
            say(f"pullforge: {plain(old.unseen.what)}: {plain(old.unseen.why)}")
            self._report.not_taken.append(old.unseen)
        self._report.not_taken += old.remarks
        self._require_asked(old)
        namespaces = await self._namespaces(old)
        await self._environments(old, namespaces)
        self._on_progress("moving roles")
        self._has_begun = not self._choice.is_dry_run
        await move_roles(self._api, old.roles, self._choice, namespaces, self._report)
        return self._report

    def _require_asked(self, old: Old) -> None:
        """Return if there is all that is asked for by its name.

        Raises:
            RemoteError: Something is not there, or is not seen.
        """
        names = {one.name for one in old.namespaces}
        paths = {one.path for one in old.environments}
        for one in self._choice.namespaces:
            if one not in names:
                raise RemoteError(
                    f"{self._old.source} has no namespace '{plain(one)}' that can be seen"
                )
        among = " among what --namespace chooses" if self._choice.namespaces else ""
        for one, new in self._choice.renamed.items():
            if one not in names | paths:
                kind = "environment" if "/" in one else "namespace"
                raise RemoteError(
                    f"{self._old.source} has no {kind} '{plain(one)}' that can be seen{among}:"
                    f" leave out --rename {plain(one)}={plain(new)}, or write the name as it is"
                    " there"
                )

    async def _namespaces(self, old: Old) -> dict[str, str]:
        """Return the slug of each namespace that is here now, by its name there."""
        found_here = (await self._api.all("namespaces")).objects("items")
        here = {one.word("slug"): one.word("name") for one in found_here}
        found: dict[str, str] = {}
        for namespace in old.namespaces:
            name = self._choice.renamed.get(namespace.name, namespace.name)
            if namespace.has_metadata:
                self._leave(
                    f"the metadata of {namespace.name}",
                    "set it again where a client of conda-store wants it",
                )
            try:
                slug = slug_of(name)
                if slug not in here:
                    await self._make_namespace(name)
                    here[slug] = name
                    self._report.tallies["namespaces"].made += 1
                elif here[slug] != name and namespace.name not in self._choice.renamed:
                    self._report.refuse(
                        "namespaces",
                        namespace.name,
                        f"'{here[slug]}' has its address '{slug}' here: say --rename"
                        f" {namespace.name}=NAME, with the name of that one to move into it",
                    )
                    continue
                else:
                    self._report.tallies["namespaces"].known += 1
                found[namespace.name] = slug
            except (CatalogNameInvalid, Refused) as exc:
                _raise_if_all(exc)
                self._report.refuse("namespaces", namespace.name, _advice(exc, namespace.name))
        return found

    async def _make_namespace(self, name: str) -> None:
        if not self._choice.is_dry_run:
            self._has_begun = True
            await self._api.send("POST", "namespaces", body={"name": name, "description": ""})

    async def _environments(self, old: Old, namespaces: Mapping[str, str]) -> None:
        """Move all environments, some at once."""
        builds: dict[int, list[OldBuild]] = defaultdict(list)
        for build in sorted(old.builds, key=lambda one: one.id):
            builds[build.environment_id].append(build)
        orphans = sum(len(builds.pop(one)) for one in self._gone(old, builds))
        if orphans:
            self._leave(f"{orphans} builds", "their environments were deleted there")
        places = self._places(old.environments, namespaces)
        deleted = {
            one: await self._deleted(one) for one in {place.namespace for _, place in places}
        }
        turn = asyncio.Semaphore(_AT_ONCE)

        async def move(environment: OldEnvironment, place: _Place) -> None:
            async with turn:
                is_deleted = place.slug in deleted[place.namespace]
                rows = builds.get(environment.id, [])
                await self._environment(environment, place, rows, is_deleted=is_deleted)
                self._done += 1
                self._on_progress(f"{self._done} of {len(places)} environments")

        tasks = [asyncio.create_task(move(*one)) for one in places]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _gone(self, old: Old, builds: Mapping[int, object]) -> set[int]:
        return set(builds) - {one.id for one in old.environments}

    def _places(
        self, environments: Sequence[OldEnvironment], namespaces: Mapping[str, str]
    ) -> list[tuple[OldEnvironment, _Place]]:
        """Return where each environment comes to; what cannot come anywhere is told."""
        found: list[tuple[OldEnvironment, _Place]] = []
        taken: dict[tuple[str, str], str] = {}
        for environment in sorted(environments, key=lambda one: one.id):
            path = environment.path
            namespace = namespaces.get(environment.namespace)
            if namespace is None:
                self._report.refuse("environments", path, "its namespace is refused")
                continue
            name = self._choice.renamed.get(path, environment.name)
            try:
                slug = environment_slug(name)
            except CatalogNameInvalid as exc:
                self._report.refuse("environments", path, _advice(exc, path))
                continue
            first = taken.setdefault((namespace, slug), path)
            if first != path:
                self._report.refuse(
                    "environments",
                    path,
                    f"{first} has the same address '{namespace}/{slug}': say --rename {path}=NAME",
                )
                continue
            found.append((environment, _Place(namespace, slug, name)))
        return found

    async def _deleted(self, namespace: str) -> set[str]:
        """Return the slugs of the environments of a namespace that were deleted here."""
        path = f"namespaces/{quote(namespace, safe='')}/environments"
        try:
            found = await self._api.all(path, {"deleted": "only"})
        except Refused as exc:
            if exc.status != 404:
                raise
            return set()
        return {one.word("slug") for one in found.objects("items")}

    async def _environment(
        self,
        environment: OldEnvironment,
        place: _Place,
        builds: Sequence[OldBuild],
        *,
        is_deleted: bool,
    ) -> None:
        """Move one environment: what is new of it, in as many requests as that takes.

        Args:
            environment: Which.
            place: Where to.
            builds: Of it, all.
            is_deleted: Whether one of that address was deleted here, from wherever it came.
        """
        known = await self._known(place)
        wanted = self._ended(environment, builds)
        tally = self._report.tallies
        if known is None and is_deleted and await self._stays_deleted(place):
            tally["environments"].known += 1
            self._leave(
                f"{environment.path}, with {len(wanted)} builds",
                "it was imported before and is deleted here:"
                f" 'pullforge env restore {place.namespace}/{place.slug}', and import again",
            )
            return
        new = [one for one in wanted if one.id not in (known or ())]
        tally["builds"].known += len(wanted) - len(new)
        if not wanted and known is None:
            self._leave(environment.path, "no build of it has ended")
            return
        versions = _Batch()
        try:
            for build in new:
                version = await self._version(environment, build)
                if version is not None and versions.is_full_with(version):
                    await self._put(environment, place, versions.taken(), active=None)
                if version is not None:
                    versions.add(version)
            active = _active(environment, wanted)
            if versions.rows or active is not None:
                await self._put(environment, place, versions.taken(), active=active)
        except Refused as exc:
            _raise_if_all(exc)
            self._report.refuse("environments", environment.path, _advice(exc, environment.path))
            return
        # None is made where all builds are refused.
        tally["environments"].made += known is None and place in self._made
        tally["environments"].known += known is not None

    async def _stays_deleted(self, place: _Place) -> bool:
        """Tell whether the server makes no environment in place of one that was deleted.

        It says so of no versions at all, too, and changes nothing by that.
        """
        body = {"source": self._old.source, "name": place.name, "versions": []}
        answer = self._api.document(await self._sent(place.address, body))
        return bool(answer.words("messages"))

    def _ended(self, environment: OldEnvironment, builds: Sequence[OldBuild]) -> list[OldBuild]:
        """Return the builds that have ended; how many have not is told."""
        waiting = Counter(one.status for one in builds if one.state is None)
        for status, count in sorted(waiting.items()):
            self._leave(
                f"{count} builds of {environment.path}",
                f"they are {status} there: import again when they have ended",
            )
        return [one for one in builds if one.state is not None]

    async def _known(self, place: _Place) -> set[int] | None:
        """Return the ids of the builds that are here already; ``None``: there is no environment."""
        query: dict[str, object] = {"source": self._old.source}
        found: set[int] = set()
        try:
            while True:
                page = await self._api.get(place.address, query)
                found |= {one.number("id") for one in page.objects("items")}
                after = page.get("next")
                if after is None or after == query.get("after"):
                    return found
                query["after"] = after
        except Refused as exc:
            if exc.status != 404:
                raise
            return None

    async def _version(self, environment: OldEnvironment, build: OldBuild) -> dict[str, Any] | None:
        """Return a build as the server takes it; ``None``: it cannot be had."""
        is_completed = build.state == "completed"
        try:
            content = await self._old.content(
                build, with_lock=is_completed and not self._choice.is_dry_run
            )
        except Unreadable as exc:
            self._report.refuse("builds", f"{environment.path}, build {build.id}", str(exc))
            return None
        if content.problem:
            self._leave(f"the lock of {environment.path}, build {build.id}", content.problem)
        return _row(build, content)

    async def _put(
        self,
        environment: OldEnvironment,
        place: _Place,
        versions: list[dict[str, Any]],
        *,
        active: int | None,
    ) -> None:
        """Send versions, and note what became of them."""
        tally = self._report.tallies["builds"]
        if self._choice.is_dry_run:
            tally.made += len(versions)
            self._made.add(place)
            return
        self._has_begun = True
        body = {
            "source": self._old.source,
            "name": place.name,
            "description": _cut(environment.description, _MAX_DESCRIPTION),
            "keep_ids": True,
            "active": active,
            "versions": versions,
        }
        try:
            answer = self._api.document(await self._sent(place.address, body))
        except Refused as exc:
            if exc.status not in _ODD_CONTENT or not versions:
                raise
            await self._put_each(environment, place, versions, active, exc)
            return
        made = answer.objects("made")
        if made:
            self._made.add(place)
        tally.made += len(made)
        tally.known += len(answer["known"])
        self._report.other_ids += sum(one["id"] != one["version_id"] for one in made)
        completed = {one["id"] for one in versions if one["state"] == "completed"}
        for one in made:
            # What is told of one that failed there is no news.
            if one["message"] and one["id"] in completed:
                self._leave(f"{environment.path}, build {one['id']}", plain(one.word("message")))
        for one in answer.objects("refused"):
            what = f"{environment.path}, build {one['id']}"
            self._report.refuse("builds", what, plain(one.word("message")))
        for sentence in answer.words("messages"):
            self._leave(f"what is active of {environment.path}", plain(sentence))

    async def _put_each(
        self,
        environment: OldEnvironment,
        place: _Place,
        versions: list[dict[str, Any]],
        active: int | None,
        refusal: Refused,
    ) -> None:
        """Send versions one by one, as one that is not taken keeps the others from being made."""
        if len(versions) == 1:
            what = f"{environment.path}, build {versions[0]['id']}"
            self._report.refuse("builds", what, str(refusal))
            return
        for version in versions:
            await self._put(environment, place, [version], active=None)
        if active is not None:
            await self._put(environment, place, [], active=active)

    async def _sent(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        """Return the answer to a request, which is sent again while the server is busy.

        Raises:
            RemoteError: It is busy for long, or refuses it.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._api.send("PUT", path, body=body)
            except Refused as exc:
                if exc.status not in _LATER:
                    raise
                if attempt == _ATTEMPTS:
                    # No refusal of this environment alone: all others wait as well.
                    raise RemoteError(str(exc)) from exc
            await asyncio.sleep(_PAUSE_SECONDS * attempt)
        raise AssertionError

    def _leave(self, what: str, why: str) -> None:
        self._report.not_taken.append(Remark(what, why))


class _Batch:
    """Versions that go into one request."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self._size_bytes = 0

    def is_full_with(self, row: Mapping[str, Any]) -> bool:
        """Tell whether one more is too much."""
        too_large = self._size_bytes + _size_bytes(row) > _MAX_BATCH_BYTES
        return bool(self.rows) and (too_large or len(self.rows) == _MAX_VERSIONS)

    def add(self, row: dict[str, Any]) -> None:
        """Take one more."""
        self.rows.append(row)
        self._size_bytes += _size_bytes(row)

    def taken(self) -> list[dict[str, Any]]:
        """Return them all, and have none."""
        rows, self.rows, self._size_bytes = self.rows, [], 0
        return rows


def _size_bytes(row: Mapping[str, Any]) -> int:
    return len(row["lock"] or "") + len(json.dumps(row["specification"]))


def _row(build: OldBuild, content: Content) -> dict[str, Any]:
    return {
        "id": build.id,
        "specification": content.specification,
        "lock": content.lock if build.state == "completed" else None,
        "state": build.state,
        "message": _cut(build.message, _MAX_MESSAGE),
        "requested_by": "",
        "created_at": build.scheduled_on,
        "started_at": build.started_on,
        "ended_at": build.ended_on,
    }


def _cut(text: str, length: int) -> str:
    r"""Return text of others as the server takes it.

    >>> _cut("\x1b[31mno\nluck", 7)
    ' [31mno'
    """
    # Without half of a character, which JSON can have and UTF-8 cannot.
    text = text.encode(errors="replace").decode()
    return "".join(one if one >= " " or one in "\n\t" else " " for one in text)[:length]


def _active(environment: OldEnvironment, builds: Sequence[OldBuild]) -> int | None:
    """Return the build that is active there; ``None``: it has not been made."""
    made = {one.id for one in builds if one.state == "completed"}
    current = environment.current_build_id
    return current if current in made else None


def _raise_if_all(exc: Exception) -> None:
    """Raise a refusal that every other request would meet too.

    Raises:
        Refused: Whoever asks is not known, or may not do it.
    """
    if isinstance(exc, Refused) and exc.status in {401, 403}:
        raise exc


def _advice(exc: CatalogNameInvalid | Refused, what: str) -> str:
    if isinstance(exc, CatalogNameInvalid):
        return f"{exc.message}; say --rename {what}=NAME"
    return str(exc)
