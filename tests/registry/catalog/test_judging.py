import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import pytest
from sqlalchemy import delete, select, update

from builder.rules.model import Advisory, Affected, AffectedRange
from registry.catalog.assessing import MAX_EACH, Assessor
from registry.catalog.filling import fill_locks, fill_nameless
from registry.catalog.findings import Finding, Findings
from registry.catalog.judged import Judged, RulesOf
from registry.catalog.judging import Judging
from registry.catalog.ports import LockedPackage
from registry.catalog.records import EVERYTHING, Visibility
from registry.database import Database, tables
from registry.policy.book import PolicyBook
from registry.policy.policy import read_policy
from registry.policy.waivers import Waiver
from tests.registry.catalog.house import ADA, House, key_of, stop

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

P = ParamSpec("P")
Result = TypeVar("Result")

OPENSSL = Advisory(
    "GHSA-1234",
    (Affected("conda", "openssl", (AffectedRange("0", fixed="3.0.8"),)),),
    severity="high",
)


class Threads:
    """Computes in a thread; implements :class:`builder.ports.Workers`."""

    def __init__(self) -> None:
        self.calls = 0

    async def run(self, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        self.calls += 1
        return await asyncio.to_thread(function, *args, **kwargs)


@dataclass
class Court:
    """A catalog whose versions are judged."""

    house: House
    book: PolicyBook
    workers: Threads
    judging: Judging
    findings: Findings
    built: int = 0
    paths: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, house: House, server: str = "one", book: PolicyBook | None = None) -> "Court":
        book = book or house.book
        workers = Threads()
        channels = {"https://c.test/main": "main"}
        assessor = Assessor(house.database, workers, channels)
        judging = Judging(house.database, book, assessor, server)
        return cls(house, book, workers, judging, Findings(house.database))

    async def has(self, path: str, *packages: LockedPackage) -> str:
        """Return the key of a new version of an environment, which has these packages."""
        self.built += 1
        data = f"{path} {self.built}".encode()
        self.house.packages[key_of(data)] = list(packages)
        if self.paths.isdisjoint({path}):
            self.paths.add(path)
            await self.house.environment(path)
        await self.house.built(path, data)
        return key_of(data)

    def policy(self, name: str, text: str, namespace: str | None = None) -> None:
        self.book.put_policy(
            read_policy(name, text, version=1, namespace=namespace, source="database")
        )

    async def found(self, **more: Any) -> Sequence[Finding]:
        return (await self.findings.list(visible=EVERYTHING, limit=1000, **more)).items

    async def events(self, action: str) -> list[tuple[str, Any]]:
        found = await self.house.events.list(visible=EVERYTHING, limit=1000)
        return [
            (f"{one.namespace}/{one.environment}", one.detail)
            for one in found
            if one.action == action
        ]


def package(name: str, version: str, **more: Any) -> LockedPackage:
    channel = more.pop("channel", "https://c.test/main")
    return LockedPackage("linux-64", "conda", name, version, "h0_0", channel, **more)


@pytest.fixture
async def court(house: House) -> Court:
    return Court.of(house)


async def test_a_new_policy_finds_what_is_there_and_tells_each_environment(court: Court) -> None:
    key = await court.has("ada/one", package("left-pad", "1.0"), package("zlib", "1"))
    await court.has("bob/two", package("zlib", "1"))
    assert await court.judging.look()
    assert await court.found() == []
    court.policy("company", '[packages]\ndenied = ["left-pad"]')
    assert await court.judging.look()
    (found,) = await court.found()
    assert (found.key, found.namespace, found.environment) == (key, "ada", "one")
    assert (found.name, found.version, found.platform) == ("left-pad", "1.0", "linux-64")
    assert (found.owner, found.created_by, found.is_active) == ("ada", "ada", True)
    assert found.sentence.startswith("left-pad 1.0 is not allowed by policy 'company'")
    ((path, detail),) = await court.events("finding.found")
    assert path == "ada/one"
    assert (detail["policy"], detail["owner"], detail["count"]) == ("company", "ada", 1)
    assert detail["findings"][0]["package"] == "left-pad 1.0"
    court.book.remove_policy("company")
    assert await court.judging.look()
    assert await court.found() == []
    ((path, detail),) = await court.events("finding.gone")
    assert (path, detail["findings"][0]["package"]) == ("ada/one", "left-pad 1.0")


async def test_an_advisory_names_environments_of_several_namespaces_and_what_fixes_them(
    court: Court,
) -> None:
    court.policy("company", '[advisories]\nminimum_severity = "high"')
    for path in ("ada/one", "ada/two", "bob/one"):
        await court.has(path, package("openssl", "3.0.1"))
    await court.has("bob/fixed", package("openssl", "3.0.8"))
    assert await court.judging.look()
    assert await court.found() == []
    court.book.put_advisories((OPENSSL,))
    assert await court.judging.look()
    found = await court.found()
    assert {f"{one.namespace}/{one.environment}" for one in found} == {
        *("ada/one", "ada/two", "bob/one")
    }
    assert {(one.advisory, one.fixed_in) for one in found} == {("GHSA-1234", "3.0.8")}
    told = dict(await court.events("finding.found"))
    assert {detail["findings"][0]["fixed_in"] for detail in told.values()} == {"3.0.8"}
    assert len(told) == 3


async def test_what_is_built_is_judged_without_judging_all_again(court: Court) -> None:
    court.policy("company", 'mode = "warn"\n[packages]\ndenied = ["left-pad"]')
    await court.has("ada/one", package("zlib", "1"))
    assert await court.judging.look()
    before = await court.found()
    key = await court.has("ada/one", package("left-pad", "1.0"))
    assert await court.judging.look()
    (found,) = await court.found()
    assert (before, found.key, found.mode) == ([], key, "warn")
    calls = court.workers.calls
    assert await court.judging.look()
    assert court.workers.calls == calls, "nothing has changed, and nothing is judged"


async def test_a_lock_is_judged_as_a_whole(court: Court) -> None:
    court.policy(
        "company",
        """
[packages]
required = ["tzdata", { spec = "pip", if = "python" }]
[limits]
packages = 2
size = "1 KiB"
[platforms]
allowed = ["linux-aarch64"]
[bases]
allowed = ["debian:*"]
""",
    )
    await court.has(
        "ada/bad",
        *(package("python", "3.12"), package("a", "1", size_bytes=900)),
        package("b", "1", size_bytes=200),
    )
    assert await court.judging.look()
    found = await court.found()
    assert {one.kind for one in found} == {"packages", "limits", "platforms", "bases"}
    said = {one.kind: one.sentence for one in found}
    assert len(said) == len(found), "of each kind there is one, with all reasons"
    assert "it lacks pip" in said["packages"]
    assert "it lacks tzdata" in said["packages"]
    assert "3 packages" in said["limits"]
    assert "1100 bytes" in said["limits"]


async def test_a_policy_of_a_namespace_judges_that_one_alone(court: Court) -> None:
    await court.has("ada/one", package("left-pad", "1.0"))
    await court.has("bob/one", package("left-pad", "1.0"))
    court.policy("own", '[packages]\ndenied = ["left-pad"]', "bob")
    assert await court.judging.look()
    (found,) = await court.found()
    assert (found.namespace, found.policy) == ("bob", "own")
    assert await court.found(namespace="ada") == []
    assert await court.found(namespace="bob") == [found]
    await court.house.environments.move(ADA, "bob", "one", "ada", "moved")
    assert await court.judging.look()
    assert await court.found() == []
    await court.house.environments.move(ADA, "ada", "one", "bob", "moved")
    assert await court.judging.look()
    assert [(one.namespace, one.environment) for one in await court.found()] == [("bob", "moved")]


async def test_a_waiver_lifts_a_finding_of_its_environment_alone(court: Court) -> None:
    court.policy("company", '[packages]\ndenied = ["left-pad"]')
    await court.has("ada/one", package("left-pad", "1.0"))
    await court.has("ada/two", package("left-pad", "1.0"))
    assert await court.judging.look()
    assert len(await court.found()) == 2
    court.book.put_waiver(Waiver(7, "left-pad ==1.0", namespace="ada", environment="two"))
    assert await court.judging.look()
    assert [one.environment for one in await court.found()] == ["one"]
    court.book.remove_waiver(7)
    assert await court.judging.look()
    assert len(await court.found()) == 2


async def test_what_is_deleted_has_no_findings_until_it_is_restored(court: Court) -> None:
    court.policy("company", '[packages]\ndenied = ["left-pad"]')
    await court.has("ada/one", package("left-pad", "1.0"))
    assert await court.judging.look()
    await court.house.environments.delete(ADA, "ada", "one")
    assert await court.found() == []
    court.policy("other", '[packages]\ndenied = ["right-pad"]')
    assert await court.judging.look()
    await court.house.environments.restore(ADA, "ada", "one")
    assert await court.judging.look()
    assert [one.environment for one in await court.found()] == ["one"]


async def test_many_packages_of_one_lock_are_told_up_to_a_bound(court: Court) -> None:
    some = [package(f"gnu-{number:03}", "1", licence="GPL-3.0-only") for number in range(50)]
    await court.has("ada/one", *some)
    court.policy("company", '[licences]\ndenied = ["GPL-3.0-*"]')
    assert await court.judging.look()
    found = await court.found()
    assert len(found) == MAX_EACH
    assert await court.judging.look()
    assert await court.found() == found


async def test_a_new_policy_is_judged_once_across_servers(house: House, database: Database) -> None:
    courts = [Court.of(house, f"server {number}", PolicyBook()) for number in range(3)]
    await courts[0].has("ada/one", package("left-pad", "1.0"))
    for court in courts:
        court.policy("company", '[packages]\ndenied = ["left-pad"]')
    done = await asyncio.gather(*(court.judging.look() for court in courts))
    assert any(done)
    for court in courts:  # those that found another one at it look again
        assert await court.judging.look()
    assert sum(court.workers.calls for court in courts) == 1
    assert len(await courts[0].found()) == 1
    assert len(await courts[0].events("finding.found")) == 1


async def test_a_server_that_was_killed_while_it_judged_is_followed_by_another(
    court: Court, database: Database
) -> None:
    await court.has("ada/one", package("left-pad", "1.0"))
    other = Court.of(court.house, "other")
    assert await other.judging._claim()
    court.policy("company", '[packages]\ndenied = ["left-pad"]')
    assert not await court.judging.look()
    async with database.writing() as connection:
        table = tables.judging
        await connection.execute(update(table).values(claimed_until=database.now()))
    assert await court.judging.look()
    assert len(await court.found()) == 1


async def test_judging_goes_on_by_itself(court: Court) -> None:
    await court.has("ada/one", package("left-pad", "1.0"))
    running = asyncio.create_task(court.judging.run())
    try:
        async with asyncio.timeout(20):
            court.policy("company", '[packages]\ndenied = ["left-pad"]')
            while len(await court.found()) != 1:  # noqa: ASYNC110 (a database tells of nothing)
                await asyncio.sleep(0.01)
            court.book.remove_policy("company")
            while await court.found():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        await stop(running)


async def test_exact_packages_are_kept_once_however_many_locks_have_them(
    court: Court, database: Database
) -> None:
    some = [package("zlib", "1"), package("openssl", "3.0.1")]
    await court.has("ada/one", *some)
    await court.has("ada/two", *some, package("left-pad", "1.0"))
    async with database.reading() as connection:
        rows = (await connection.execute(select(tables.package.c.name))).scalars().all()
    assert sorted(rows) == ["left-pad", "openssl", "zlib"]


async def keys_of(*keys: str) -> AsyncIterator[str]:
    for key in keys:
        yield key


async def test_locks_of_no_environment_are_judged_once_they_were_read(court: Court) -> None:
    court.policy("company", '[packages]\ndenied = ["left-pad"]')
    key = await court.has("ada/one", package("left-pad", "1.0"))
    nameless, gone = key_of(b"nameless"), key_of(b"gone")
    court.house.packages[nameless] = [package("left-pad", "1.1")]
    assert await court.judging.look()
    database, content_of = court.house.database, court.house.content_of
    assert await fill_nameless(database, keys_of(key, nameless, gone), content_of) == 1
    assert await court.judging.look()
    (new, _) = await court.found()
    assert (new.key, new.namespace, new.environment) == (nameless, None, None)
    assert await fill_nameless(database, keys_of(key, nameless), content_of) == 0
    assert len(await court.events("finding.found")) == 1
    seen = await court.findings.list(visible=Visibility((("ada", "*"),)))
    assert [one.environment for one in seen.items] == ["one"]


async def test_strangers_have_no_more_locks_judged_than_there_is_room_for(court: Court) -> None:
    keys = [key_of(str(number).encode()) for number in range(5)]
    court.house.packages |= {key: [package("zlib", "1")] for key in keys}
    database, content_of = court.house.database, court.house.content_of
    assert await fill_nameless(database, keys_of(*keys), content_of, most=3) == 3
    assert await fill_nameless(database, keys_of(*keys), content_of, most=3) == 0


async def test_locks_of_before_are_read_and_judged(court: Court, database: Database) -> None:
    """Rows of before know neither an exact package nor what a lock is as a whole."""
    court.policy("company", '[licences]\ndenied = ["GPL-3.0-*"]')
    key = await court.has("ada/one", package("gnu", "1", licence="GPL-3.0-only"))
    async with database.writing() as connection:
        await connection.execute(delete(tables.lock_platform))
        await connection.execute(update(tables.lock_package).values(package_id=None))
    assert await court.judging.look()
    assert await court.found() == []
    assert await fill_locks(database, court.house.content_of) == 1
    assert await court.judging.look()
    assert [one.key for one in await court.found()] == [key]
    assert await fill_locks(database, court.house.content_of) == 0


async def test_what_is_moved_while_it_is_judged_is_judged_again_where_it_is(court: Court) -> None:
    """Nothing of it is taken for judged that was held against the rules of another place."""
    text = '[packages]\ndenied = ["left-pad"]'
    await court.has("ada/one", package("left-pad", "1.0"))
    await court.house.namespaces.create(ADA, "strict", owner="ada")
    court.policy("firm", f'namespaces = ["strict"]\n{text}')
    assess = court.judging.assess

    async def slowly(rules_of: RulesOf, judged: Judged) -> Mapping[int, Sequence[Any]]:
        found = await assess(rules_of, judged)
        court.judging.assess = assess  # type: ignore[method-assign]
        await court.house.environments.move(ADA, "ada", "one", "strict", "one")
        return found

    court.judging.assess = slowly  # type: ignore[method-assign]
    assert await court.judging.look()
    assert [one.policy for one in await court.found()] == ["firm"]


async def test_what_is_restored_while_others_are_judged_is_judged(court: Court) -> None:
    await court.has("ada/one", package("left-pad", "1.0"))
    assert await court.judging.look()
    await court.has("ada/two", package("zlib", "1.0"))
    court.policy("company", '[packages]\ndenied = ["left-pad"]')
    await court.house.environments.delete(ADA, "ada", "one")
    assert await court.judging.look()
    table = tables.version
    async with court.house.database.writing() as connection:
        await connection.execute(update(table).values(judged=0))
    assess = court.judging.assess

    async def slowly(rules_of: RulesOf, judged: Judged) -> Mapping[int, Sequence[Any]]:
        found = await assess(rules_of, judged)
        court.judging.assess = assess  # type: ignore[method-assign]
        await court.house.environments.restore(ADA, "ada", "one")
        return found

    court.judging.assess = slowly  # type: ignore[method-assign]
    assert await court.judging.look()
    assert [one.environment for one in await court.found()] == ["one"]
