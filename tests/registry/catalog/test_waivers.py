import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from builder.errors import Refusal
from registry.catalog.ports import settled_nowhere
from registry.catalog.records import EVERYTHING, Actor, Visibility, WaiverRecord
from registry.catalog.waiver_ends import end_waivers_of
from registry.catalog.waiver_requests import MAX_WAITING, WaiverRequest
from registry.database import tables
from registry.errors import (
    CatalogTextInvalid,
    EnvironmentUnknown,
    NothingRefused,
    TooManyWaivers,
    VersionUnknown,
    WaiverDecided,
    WaiverInvalid,
    WaiverUnknown,
)
from registry.policy.policy import read_policy
from tests.registry.catalog.house import ADA, BOB, House, key_of

pytestmark = pytest.mark.anyio

IT = Actor("root")
PATH = "analytics/forecast"
PLACE = ("analytics", "forecast")
WANTED, OTHER = b"numpy 2.3.1", b"numpy 2.2"
REFUSAL = Refusal("company", "age", "it@example.org", packages=("numpy ==2.3.1",))


def know(house: House, *names: str, namespace: str | None = None) -> None:
    """Have the house know policies."""
    for name in names:
        house.book.put_policy(read_policy(name, 'contact = "it"', namespace=namespace))
    house.requests.rules = lambda: house.book.rules(*PLACE)


async def refused(house: House, data: bytes = WANTED, refusal: Refusal = REFUSAL) -> None:
    """Have a version refused."""
    house.requests.refusals[data] = refusal
    version = await house.built(PATH, data)
    assert version.state == "failed", version


async def asked(house: House, actor: Actor = ADA, **more: Any) -> WaiverRecord:
    """Return the one waiver that is asked for."""
    values: dict[str, Any] = {"place": PLACE, "reason": "it fixes a bug", **more}
    ((waiver, _),) = await house.waivers.request(actor, WaiverRequest(**values))
    return waiver


async def ready(house: House, *policies: str) -> None:
    await house.follower.start()
    know(house, *(policies or ("company",)))
    await house.environment(PATH)
    await refused(house)


async def specs(house: House, *place: str | None) -> list[str]:
    """Return what is let pass somewhere, once memory is as the database."""
    await house.follower.catch_up()
    return [one.spec for one in house.book.rules(*(place or (None,))).exemptions]


async def test_a_waiver_is_asked_for_by_the_environment_and_the_build_goes_on(
    house: House,
) -> None:
    await ready(house)
    version = await house.versions.get(*PLACE, 1)
    assert version.message == (
        "it is refused; ask for a waiver: pullforge waiver request analytics/forecast --reason WHY"
    )
    waiver = await asked(house)
    assert (waiver.policy, waiver.kind, waiver.spec, waiver.manager, waiver.version) == (
        *("company", "age", "numpy ==2.3.1", "conda", 1),
    )
    assert (waiver.state, waiver.scope, waiver.requested_by) == ("waiting", "environment", "ada")
    assert await specs(house, *PLACE) == []
    granted = await house.waivers.grant(IT, waiver.id, reason="for the release")
    assert (granted.state, granted.decided_by) == ("granted", "root")
    assert await specs(house, *PLACE) == ["numpy ==2.3.1"]
    made = await house.ended(PATH, 2)
    assert (made.state, made.reason, made.requested_by) == ("built", "waiver", "ada")
    assert (await house.environments.get(*PLACE)).active == 2
    actions = [one for one in await house.actions(PATH) if "waiver" in one or "queued" in one]
    assert actions == ["version.queued", "waiver.requested", "waiver.granted", "version.queued"]


async def test_it_holds_nowhere_else(house: House) -> None:
    await ready(house)
    await house.environment("analytics/other")
    await house.environment("sales/forecast")
    await house.waivers.grant(IT, (await asked(house)).id)
    assert await specs(house, *PLACE) == ["numpy ==2.3.1"]
    for place in [("analytics", "other"), ("sales", "forecast"), (None,), ("analytics", None)]:
        assert await specs(house, *place) == [], place


async def test_it_holds_as_far_as_whoever_decides_says(house: House) -> None:
    await ready(house)
    number = (await asked(house)).id
    await house.waivers.grant(IT, number, scope="namespace", spec="numpy >=2.3")
    assert await specs(house, "analytics", "other") == ["numpy >=2.3"]
    assert await specs(house) == await specs(house, "sales", "forecast") == []
    await house.waivers.grant(IT, number, scope="everything")
    assert await specs(house) == await specs(house, "sales", "x") == ["numpy >=2.3"]
    await house.waivers.grant(IT, number, scope="environment")
    assert await specs(house) == await specs(house, "analytics", "other") == []
    with pytest.raises(WaiverInvalid, match="'numpy': another package needs another waiver"):
        await house.waivers.grant(IT, number, spec="pandas")
    with pytest.raises(WaiverInvalid, match="a waiver is for a package"):
        await house.waivers.grant(IT, number, spec="*")
    past = house.database.now() - timedelta(seconds=1)
    with pytest.raises(WaiverInvalid, match="ended by now"):
        await house.waivers.grant(IT, number, expires_at=past)
    assert await specs(house, *PLACE) == ["numpy >=2.3"]


async def test_a_waiver_for_everybody_is_asked_for_by_policy_and_package(house: House) -> None:
    await house.follower.start()
    know(house, "company")
    bound = 'contact = "it"\nnamespaces = ["team-*"]'
    house.book.put_policy(read_policy("team", bound))
    waiver = await asked(house, place=None, policy="company", spec="Left-Pad==1.0")
    assert (waiver.scope, waiver.spec, waiver.path) == ("everything", "left-pad ==1.0", None)
    assert await asked(house, place=None, policy="company", spec="left-pad ==1.0") == waiver
    other = await asked(house, BOB, place=None, policy="company", spec="left-pad ==1.0")
    assert other.id != waiver.id
    with pytest.raises(WaiverInvalid, match="for everything alone"):
        await house.waivers.grant(IT, waiver.id, scope="namespace")
    with pytest.raises(WaiverInvalid, match="no policy 'team' that holds for images"):
        await asked(house, place=None, policy="team", spec="left-pad")
    with pytest.raises(NothingRefused):
        await asked(house, place=None)
    await house.waivers.grant(IT, waiver.id)
    assert await specs(house) == ["left-pad ==1.0"]


async def test_the_same_request_twice_is_the_same_waiver(house: House) -> None:
    await ready(house)
    first = await house.waivers.request(ADA, WaiverRequest("why", PLACE))
    again = await house.waivers.request(BOB, WaiverRequest("other", PLACE))
    assert [one for _, one in first] == [True]
    assert again == [(first[0][0], False)]
    explicit = await asked(house, policy="company", spec="NUMPY==2.3.1")
    assert explicit == first[0][0]
    await house.waivers.withdraw(ADA, explicit.id)
    assert (await asked(house)).id != explicit.id


async def test_who_has_as_many_that_wait_as_one_may_asks_for_no_more(house: House) -> None:
    await house.follower.start()
    know(house, "company")
    for number in range(MAX_WAITING):
        await asked(house, place=None, policy="company", spec=f"p{number}")
    with pytest.raises(TooManyWaivers, match="50 waivers that 'ada'"):
        await asked(house, place=None, policy="company", spec="one-more")
    await asked(house, BOB, place=None, policy="company", spec="one-more")


async def test_all_packages_that_were_refused_are_asked_for_and_the_build_waits_for_all(
    house: House,
) -> None:
    await house.follower.start()
    know(house, "company")
    await house.environment(PATH)
    both = Refusal("company", "age", packages=("numpy ==2.3.1", "pandas ==3.0"))
    await refused(house, refusal=both)
    found = await house.waivers.request(ADA, WaiverRequest("why", PLACE))
    one, two = (waiver.id for waiver, _ in found)
    await house.waivers.grant(IT, one)
    with pytest.raises(VersionUnknown):
        await house.versions.get(*PLACE, 2)
    await house.waivers.grant(IT, two)
    assert (await house.ended(PATH, 2)).state == "built"


async def test_what_is_refused_or_withdrawn_lets_nothing_pass_and_is_final(house: House) -> None:
    await ready(house)
    waiver = await asked(house)
    await house.waivers.refuse(IT, waiver.id, reason="use 2.3.2")
    refusal = await house.waivers.get(waiver.id)
    assert (refusal.state, refusal.decision) == ("refused", "use 2.3.2")
    for late in (
        house.waivers.grant(IT, waiver.id),
        house.waivers.refuse(IT, waiver.id, reason=""),
        house.waivers.withdraw(ADA, waiver.id),
    ):
        with pytest.raises(WaiverDecided):
            await late
    withdrawn = await asked(house)
    await house.waivers.withdraw(ADA, withdrawn.id)
    await house.waivers.withdraw(ADA, withdrawn.id)
    with pytest.raises(WaiverDecided):
        await house.waivers.grant(IT, withdrawn.id)
    assert await specs(house, *PLACE) == []
    with pytest.raises(VersionUnknown):
        await house.versions.get(*PLACE, 2)
    with pytest.raises(WaiverUnknown):
        await house.waivers.get(2**63)
    with pytest.raises(CatalogTextInvalid):
        await asked(house, reason="x" * 4001)


async def test_one_that_holds_can_be_ended(house: House) -> None:
    await ready(house)
    waiver = await asked(house)
    await house.waivers.grant(IT, waiver.id)
    assert (await house.waivers.refuse(IT, waiver.id, reason="no")).state == "ended"
    assert await specs(house, *PLACE) == []
    assert (await house.actions(PATH)).count("waiver.ended") == 1


async def test_nothing_is_asked_for_what_no_policy_refused(house: House) -> None:
    await house.follower.start()
    know(house, "company")
    await house.environment(PATH)
    with pytest.raises(NothingRefused, match="no policy has refused a package there"):
        await asked(house)
    await house.built(PATH, OTHER)
    with pytest.raises(NothingRefused, match="version 1 of 'analytics/forecast' is built"):
        await asked(house, version=1)
    with pytest.raises(VersionUnknown):
        await asked(house, version=9)
    with pytest.raises(EnvironmentUnknown):
        await asked(house, place=("analytics", "nothing"))
    await refused(house, refusal=Refusal("company", "bases", "it@example.org"))
    with pytest.raises(NothingRefused, match=r"a waiver is for a package: ask it@example\.org"):
        await asked(house)


async def test_a_version_that_somebody_wants_instead_stays_active(house: House) -> None:
    await ready(house)
    waiver = await asked(house)
    assert (await house.built(PATH, OTHER)).number == 2
    await house.waivers.grant(IT, waiver.id)
    assert (await house.ended(PATH, 3)).state == "built"
    assert (await house.environments.get(*PLACE)).active == 2


async def test_a_choice_of_another_version_is_not_overridden(house: House) -> None:
    await house.follower.start()
    know(house, "company")
    await house.environment(PATH)
    await house.built(PATH, b"one")
    await house.built(PATH, b"two")
    await refused(house)
    waiver = await asked(house)
    await house.versions.activate(ADA, *PLACE, 1)
    await house.waivers.grant(IT, waiver.id)
    assert (await house.ended(PATH, 4)).state == "built"
    assert (await house.environments.get(*PLACE)).active == 1


async def test_what_goes_on_already_is_not_queued_twice(house: House) -> None:
    await ready(house)
    waiver = await asked(house)
    await house.versions.ask(ADA, *PLACE, WANTED)
    await house.waivers.grant(IT, waiver.id)
    assert (await house.ended(PATH, 2)).state == "built"
    with pytest.raises(VersionUnknown):
        await house.versions.get(*PLACE, 3)


async def test_a_version_that_is_under_way_by_the_old_rules_is_not_waited_for(
    house: House,
) -> None:
    await ready(house)
    waiver = await asked(house)
    let_go = house.requests.hold(WANTED)
    await house.versions.ask(ADA, *PLACE, WANTED)
    running = asyncio.create_task(house.runner.run())
    try:
        await house.reached(PATH, 2, "building")
        await house.waivers.grant(IT, waiver.id)
        let_go.set()
        assert (await house.reached(PATH, 3)).state == "built"
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_it_follows_the_name_and_not_who_gets_the_name_next(house: House) -> None:
    await ready(house)
    await house.waivers.grant(IT, (await asked(house)).id)
    await house.environments.update(ADA, *PLACE, name="renamed")
    assert await specs(house, *PLACE) == []
    assert await specs(house, "analytics", "renamed") == ["numpy ==2.3.1"]
    await house.environment(PATH)
    assert await specs(house, *PLACE) == []
    await house.environments.delete(ADA, "analytics", "renamed")
    assert await specs(house, "analytics", "renamed") == []
    await house.environments.restore(ADA, "analytics", "renamed")
    assert await specs(house, "analytics", "renamed") == ["numpy ==2.3.1"]
    await house.namespaces.update(ADA, "analytics", name="science")
    assert await specs(house, "analytics", "renamed") == []
    assert await specs(house, "science", "renamed") == ["numpy ==2.3.1"]
    await house.namespaces.create(ADA, "sales", owner="ada")
    await house.environments.move(ADA, "science", "renamed", "sales", "renamed")
    assert await specs(house, "sales", "renamed") == []
    assert await specs(house, "science", "renamed") == []
    another = House(house.database, "two")
    know(another, "company")
    await another.follower.start()
    assert await specs(another, "sales", "renamed") == []


async def test_a_server_that_starts_knows_what_holds(house: House) -> None:
    await ready(house)
    await house.waivers.grant(IT, (await asked(house)).id)
    another = House(house.database, "two")
    know(another, "company")
    await another.follower.start()
    assert await specs(another, *PLACE) == ["numpy ==2.3.1"]


async def test_the_own_policy_of_a_namespace_is_waived_there_alone(house: House) -> None:
    await house.follower.start()
    await house.environment(PATH)
    for namespace in ("analytics", "sales"):
        know(house, "own", namespace=namespace)
    await refused(house, refusal=Refusal("own", "packages", packages=("numpy ==2.3.1",)))
    waiver = await asked(house)
    assert waiver.is_own
    with pytest.raises(WaiverInvalid, match="own policy of 'analytics'"):
        await house.waivers.grant(ADA, waiver.id, scope="everything")
    await house.waivers.grant(ADA, waiver.id, scope="namespace")
    assert await specs(house, *PLACE) == ["numpy ==2.3.1"]
    assert await specs(house, "sales", "forecast") == []


async def test_a_waiver_ends_with_its_time_and_is_told_of_before_once(house: House) -> None:
    await ready(house)
    now = house.database.now()
    waiver = await asked(house)
    await house.waivers.grant(IT, waiver.id, expires_at=now + timedelta(days=30))
    second = House(house.database, "two")
    for one in (house, second):
        await one.ends.look()
    assert "waiver.ends_soon" not in await house.actions(PATH)
    await expire(house, waiver.id, now + timedelta(days=6))
    for one in (house, second, house):
        await one.ends.look()
    assert (await house.actions(PATH)).count("waiver.ends_soon") == 1
    assert await specs(house, *PLACE) == ["numpy ==2.3.1"]
    await expire(house, waiver.id, now - timedelta(seconds=1))
    for one in (second, house):
        await one.ends.look()
    assert (await house.actions(PATH)).count("waiver.ended") == 1
    assert await specs(house, *PLACE) == []
    assert (await house.waivers.get(waiver.id)).state == "ended"
    # It can be asked for anew.
    assert (await asked(house)).state == "waiting"


async def test_a_short_waiver_is_not_told_of_at_once(house: House) -> None:
    await ready(house)
    waiver = await asked(house)
    soon = house.database.now() + timedelta(days=2)
    await house.waivers.grant(IT, waiver.id, expires_at=soon)
    await house.ends.look()
    assert "waiver.ends_soon" not in await house.actions(PATH)


async def expire(house: House, number: int, at: Any) -> None:
    """Have a waiver that was granted a month ago end at a time."""
    table = tables.waiver
    values = {"expires_at": at, "decided_at": at - timedelta(days=30)}
    async with house.database.writing() as connection:
        await connection.execute(update(table).where(table.c.id == number).values(**values))


async def test_what_is_let_pass_ends_with_the_policy(house: House) -> None:
    await ready(house, "company", "other")
    waiver = await asked(house)
    await house.waivers.grant(IT, waiver.id)
    other = await asked(house, policy="other", spec="numpy")
    async with house.database.writing() as connection:
        now = house.database.now()
        assert await end_waivers_of(connection, IT, "company", None, now)
    assert await specs(house, *PLACE) == []
    assert (await house.waivers.get(waiver.id)).state == "ended"
    assert (await house.waivers.get(other.id)).state == "waiting"


async def test_waivers_are_listed_to_those_who_see_them(house: House) -> None:
    await ready(house)
    mine = await asked(house)
    everybodys = await asked(house, BOB, place=None, policy="company", spec="left-pad")
    await house.waivers.grant(IT, mine.id)

    async def listed(**more: Any) -> list[int]:
        values: dict[str, Any] = {"visible": EVERYTHING, "sees": lambda _: True, **more}
        return [one.id for one in (await house.waivers.list(**values)).items]

    assert await listed() == [everybodys.id, mine.id]
    assert await listed(state="waiting") == [everybodys.id]
    assert await listed(namespace="analytics") == [mine.id]
    assert await listed(visible=Visibility(), asker="bob") == [everybodys.id]
    assert await listed(visible=Visibility((("analytics", "*"),))) == [mine.id]
    assert await listed(visible=Visibility((("sales", "*"),))) == []
    assert await listed(sees=lambda one: one.state == "granted") == [mine.id]
    page = await house.waivers.list(lambda _: True, visible=EVERYTHING, limit=1)
    assert ([one.id for one in page.items], page.next) == ([everybodys.id], str(everybodys.id))
    rest = await house.waivers.list(
        lambda _: True, visible=EVERYTHING, limit=1, before=everybodys.id
    )
    assert ([one.id for one in rest.items], rest.next) == ([mine.id], None)


async def test_a_wheel_is_let_pass_as_a_wheel_alone(house: House) -> None:
    await house.follower.start()
    know(house, "company")
    await house.environment(PATH)
    packages = ("requests ==2.32.0",)
    await refused(house, refusal=Refusal("company", "age", manager="pypi", packages=packages))
    waiver = await asked(house)
    assert (waiver.manager, waiver.spec) == ("pypi", "requests==2.32.0")
    await house.waivers.grant(IT, waiver.id)
    await house.follower.catch_up()
    (passed,) = house.book.rules(*PLACE).exemptions
    assert (passed.manager, passed.policy) == ("pypi", "company")
    for spec in ("requests[socks]", "requests; python_version<'3'", "a b", "./x"):
        with pytest.raises(WaiverInvalid):
            await asked(house, policy="company", spec=spec, manager="pypi")
    for spec in ("https://x.org/main::numpy", "*", "num*", "numpy[md5=1]", "n" * 201, ""):
        with pytest.raises(WaiverInvalid):
            await asked(house, policy="company", spec=spec)


async def test_a_server_that_has_not_heard_of_a_waiver_yet_makes_the_version_by_it(
    house: House,
) -> None:
    await ready(house)
    waiver = await asked(house)
    behind = House(house.database, "two")
    know(behind, "company")
    behind.requests.refusals[WANTED] = REFUSAL
    await behind.follower.start()
    settled, house.waivers._settled = house.waivers._settled, settled_nowhere
    await house.waivers.grant(IT, waiver.id)
    house.waivers._settled = settled
    assert behind.book.waivers() == []
    assert (await behind.ended(PATH, 2)).state == "built"


async def test_what_is_done_is_told_with_what_was_before(house: House) -> None:
    await ready(house)
    waiver = await asked(house)
    await house.waivers.grant(IT, waiver.id, reason="yes", scope="namespace")
    await house.waivers.refuse(IT, waiver.id, reason="no more")
    events = await house.events.list(visible=EVERYTHING, namespace="analytics", limit=500)
    told = [one for one in events if one.action.startswith("waiver.")]
    assert [(one.action, one.actor, one.number) for one in told] == [
        ("waiver.requested", "ada", 1),
        ("waiver.granted", "root", 1),
        ("waiver.ended", "root", 1),
    ]
    asked_for, granted, ended = (one.detail for one in told)
    assert asked_for["after"]["reason"] == "it fixes a bug"
    assert granted["before"] == {"state": "waiting", "scope": "environment", "decision": ""}
    assert granted["after"] == {"state": "granted", "scope": "namespace", "decision": "yes"}
    assert (ended["before"]["state"], ended["after"]["state"]) == ("granted", "ended")


async def test_one_that_holds_no_more_is_in_nobodys_way(house: House) -> None:
    await ready(house)
    moved = await asked(house)
    await house.waivers.grant(IT, moved.id)
    assert await asked(house) == await house.waivers.get(moved.id)
    await house.namespaces.create(ADA, "sales", owner="ada")
    await house.environments.move(ADA, *PLACE, "sales", "forecast")
    there = await asked(house, place=("sales", "forecast"))
    assert (there.id != moved.id, there.state, there.path) == (True, "waiting", "sales/forecast")
    soon = house.database.now() + timedelta(hours=1)
    await house.waivers.grant(IT, there.id, expires_at=soon)
    await expire(house, there.id, house.database.now() - timedelta(seconds=1))
    again = await asked(house, place=("sales", "forecast"))
    assert (again.id != there.id, again.state) == (True, "waiting")


async def test_what_was_refused_last_goes_on(house: House) -> None:
    await ready(house)
    first = await asked(house)
    await refused(house, OTHER)
    again = await asked(house)
    assert (again.id, again.version) == (first.id, 2)
    await house.waivers.grant(IT, first.id)
    made = await house.ended(PATH, 3)
    assert (made.state, made.key) == ("built", key_of(OTHER))


async def test_granting_anew_makes_nothing_again(house: House) -> None:
    await ready(house)
    waiver = await asked(house)
    await house.waivers.grant(IT, waiver.id)
    await house.versions.cancel(ADA, *PLACE, 2)
    await house.waivers.grant(IT, waiver.id, expires_at=house.database.now() + timedelta(days=9))
    await house.waivers.refuse(IT, waiver.id, reason="")
    with pytest.raises(VersionUnknown):
        await house.versions.get(*PLACE, 3)
