"""Proposals: opened, decided, tested, and not offered again to who does not want them."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from builder.errors import Refusal
from registry.catalog.blocks import Blocks
from registry.catalog.ports import LockedPackage
from registry.catalog.proposal_records import ClaimedTest, Proposal, Verdict
from registry.catalog.proposals import MAX_OUTPUT
from registry.catalog.records import EVERYTHING, SERVICE, Version, Visibility
from registry.catalog.unneeded import may_go
from registry.catalog.waiver_requests import WaiverRequest
from registry.database import tables
from registry.errors import (
    BuildBlocked,
    CatalogTextInvalid,
    NoTestCommand,
    ProposalDecided,
    ProposalUnknown,
)
from registry.policy.policy import read_policy
from tests.registry.catalog.house import ADA, BOB, House, key_of

pytestmark = pytest.mark.anyio

PATH = "analytics/forecast"
PLACE = ("analytics", "forecast")
OLD = b"numpy"
COMMAND = "python -c 'import numpy'"
PASSED = Verdict(has_passed=True, output="ok", duration_ms=12)


async def ready(house: House, *, then: str = "propose", command: str = "") -> None:
    """Have an environment with an active version, and a schedule."""
    await house.follower.start()
    environment = await house.environment(PATH)
    await house.built(PATH, OLD)
    if command:
        await house.environments.update(ADA, *PLACE, test_command=command)
    await scheduled(house, environment.id, then)


async def scheduled(house: House, environment: int, then: str) -> None:
    async with house.database.writing() as connection:
        now = house.database.now()
        await connection.execute(
            insert(tables.schedule).values(
                environment_id=environment,
                cron="weekly",
                timezone="UTC",
                then=then,
                created_at=now,
                updated_at=now,
            )
        )


async def solved_anew(house: House, key: str, data: bytes = OLD, **more: Any) -> Version:
    """Have the schedule make a version that comes to a build."""
    house.requests.keys[data] = key
    asked: dict[str, Any] = {"reason": "schedule", "renew": True, "propose": True, **more}
    version, _ = await house.versions.ask(SERVICE, *PLACE, data, **asked)
    return await house.ended(PATH, version.number)


async def waiting(house: House) -> list[Proposal]:
    return list((await house.proposals.list(visible=EVERYTHING, state="open")).items)


async def only(house: House) -> Proposal:
    (found,) = await waiting(house)
    return found


async def active(house: House) -> int | None:
    return (await house.environments.get(*PLACE)).active


async def find(house: House, key: str, *, mode: str = "warn") -> None:
    """Have an advisory found against a build of the environment."""
    environment = await house.environments.get(*PLACE)
    async with house.database.writing() as connection:
        await connection.execute(
            insert(tables.finding).values(
                environment_id=environment.id,
                key=key,
                policy="company",
                mode=mode,
                kind="advisories",
                advisory="CVE-2026-1",
                sentence="numpy has a hole",
                found_at=house.database.now(),
            )
        )


async def moved(house: House, number: int, **values: Any) -> None:
    """Change a proposal's row, as time or another server would."""
    async with house.database.writing() as connection:
        await connection.execute(
            update(tables.proposal).where(tables.proposal.c.id == number).values(**values)
        )


async def test_what_a_schedule_makes_waits_and_is_activated_by_somebody(house: House) -> None:
    await ready(house)
    made = await solved_anew(house, "b" * 32)
    assert (made.state, await active(house)) == ("built", 1)
    proposal = await only(house)
    assert (proposal.number, proposal.base, proposal.key) == (2, 1, "b" * 32)
    assert (proposal.path, proposal.state, proposal.reason) == (PATH, "open", "schedule")
    assert (proposal.is_automatic, proposal.test.state) == (False, "none")
    environment = await house.environments.get(*PLACE)
    assert await house.proposals.open_of([environment.id]) == {environment.id: proposal.id}
    decided = await house.proposals.activate(BOB, proposal.id, reason="looks good")
    assert (decided.state, decided.decided_by, decided.decision) == (
        *("activated", "bob", "looks good"),
    )
    assert (decided.base, await active(house)) == (1, 2)
    assert await house.proposals.open_of([environment.id]) == {}
    assert house.memory.pointers[PATH].active == "b" * 32
    actions = (await house.actions(PATH))[-5:]
    assert actions == [
        *("version.building", "version.built", "proposal.opened"),
        *("version.activated", "proposal.activated"),
    ]
    # Once more is as once; a decision is one.
    assert await house.proposals.activate(ADA, proposal.id) == decided
    with pytest.raises(ProposalDecided, match="activate version 2 of 'analytics/forecast' itself"):
        await house.proposals.reject(ADA, proposal.id, reason="")


async def test_the_next_one_replaces_it_and_at_most_one_is_open(house: House) -> None:
    await ready(house)
    for key in ("b" * 32, "c" * 32, "d" * 32):
        await solved_anew(house, key)
    page = await house.proposals.list(visible=EVERYTHING)
    assert [(one.number, one.state, one.decision) for one in page.items] == [
        (4, "open", ""),
        (3, "replaced", "version 4 was proposed"),
        (2, "replaced", "version 3 was proposed"),
    ]
    with pytest.raises(ProposalDecided, match=r"replaced \(version 3 was proposed\)"):
        await house.proposals.activate(ADA, page.items[2].id)


async def test_what_comes_out_as_the_active_one_or_the_proposed_one_is_not_proposed(
    house: House,
) -> None:
    await ready(house)
    same = await solved_anew(house, key_of(OLD))
    assert (same.state, await waiting(house)) == ("unchanged", [])
    await solved_anew(house, "b" * 32)
    before = await only(house)
    again = await solved_anew(house, "b" * 32)
    assert (again.state, again.message) == (
        "unchanged",
        "nothing has changed: it is the same as version 3, which is proposed",
    )
    assert await waiting(house) == [before]
    # Of another text it is another proposal, though the build is the same.
    house.requests.keys[b"numpy # new"] = "b" * 32
    await house.versions.ask(ADA, *PLACE, b"numpy # new", propose=True)
    assert (await house.ended(PATH, 5)).state == "built"
    assert (await only(house)).number == 5


async def test_what_was_rejected_is_not_offered_again_until_something_has_changed(
    house: House,
) -> None:
    await ready(house)
    await solved_anew(house, "b" * 32)
    rejected = await house.proposals.reject(BOB, (await only(house)).id, reason="breaks plots")
    assert (rejected.state, rejected.decision, await active(house)) == (
        *("rejected", "breaks plots", 1),
    )
    for _ in range(2):
        again = await solved_anew(house, "b" * 32)
        assert again.state == "unchanged"
        assert "version 2, which is the same, was rejected by bob" in again.message
        assert await waiting(house) == []
    # Another build is another proposal; and so is that one, once there has been another one active.
    await solved_anew(house, "c" * 32)
    await house.proposals.activate(ADA, (await only(house)).id)
    await solved_anew(house, "b" * 32)
    assert (await only(house)).key == "b" * 32


async def test_an_advisory_against_the_active_build_has_it_offered_again_to_people(
    house: House,
) -> None:
    await ready(house, then="test", command=COMMAND)
    await find(house, key_of(OLD))
    await solved_anew(house, "b" * 32)
    first = await only(house)
    assert first.is_automatic
    await house.proposals.reject(BOB, first.id, reason="no")
    # That one was known when it was rejected.
    assert (await solved_anew(house, "b" * 32)).state == "unchanged"
    async with house.database.writing() as connection:
        await connection.execute(update(tables.finding).values(found_at=house.database.now()))
    assert (await solved_anew(house, "b" * 32)).state == "built"
    # A test does not decide against somebody.
    assert not (await only(house)).is_automatic


async def test_another_test_command_has_it_offered_again(house: House) -> None:
    await ready(house)
    await solved_anew(house, "b" * 32)
    await house.proposals.reject(BOB, (await only(house)).id, reason="nobody has tried it")
    await house.environments.update(ADA, *PLACE, test_command=COMMAND)
    await solved_anew(house, "b" * 32)
    assert (await only(house)).test.state == "waiting"


@pytest.mark.parametrize("more", [{}, {"activate": True, "propose": False}])
async def test_what_somebody_went_back_from_is_not_offered_again(
    house: House, more: dict[str, Any]
) -> None:
    await ready(house)
    await solved_anew(house, "b" * 32, activate=True, propose=False)
    assert await active(house) == 2
    await house.versions.activate(BOB, *PLACE, 1)
    again = await solved_anew(house, "b" * 32, **more)
    assert (again.state, await active(house), await waiting(house)) == ("unchanged", 1, [])
    assert "version 1 was chosen in place of version 2, which is the same" in again.message
    # What fixes something that was found since waits for people, whatever the schedule says.
    await find(house, key_of(OLD))
    assert (await solved_anew(house, "b" * 32, **more)).state == "built"
    assert (await active(house), (await only(house)).number) == (1, 4)


async def test_whoever_asks_themselves_gets_what_they_ask_for(house: House) -> None:
    await ready(house)
    await solved_anew(house, "b" * 32)
    await house.proposals.reject(BOB, (await only(house)).id, reason="no")
    house.requests.keys[OLD] = "b" * 32
    version, _ = await house.versions.ask(
        ADA, *PLACE, OLD, reason="rebuild", renew=True, propose=True
    )
    assert (await house.ended(PATH, version.number)).state == "built"
    proposal = await only(house)
    assert (proposal.reason, proposal.requested_by, proposal.is_automatic) == (
        *("rebuild", "ada", False),
    )
    # The same once more is what is proposed.
    same, is_new = await house.versions.ask(ADA, *PLACE, OLD, propose=True)
    assert (same.number, is_new) == (proposal.number, False)


async def test_a_version_that_is_to_be_active_after_all_is_no_proposal(house: House) -> None:
    await ready(house)
    house.requests.hold(b"pandas")
    version, _ = await house.versions.ask(ADA, *PLACE, b"pandas", propose=True)
    again, is_new = await house.versions.ask(BOB, *PLACE, b"pandas")
    assert (again.number, is_new) == (version.number, False)
    house.requests.held[b"pandas"].set()
    await house.ended(PATH, version.number)
    assert (await active(house), await waiting(house)) == (version.number, [])


async def test_activating_a_newer_version_closes_it_and_an_older_one_does_not(
    house: House,
) -> None:
    await ready(house)
    await house.built(PATH, b"pandas")
    await solved_anew(house, "b" * 32)
    number = (await only(house)).id
    await house.versions.activate(BOB, *PLACE, 1)
    waits = await only(house)
    assert (waits.base, waits.is_overtaken) == (1, True)
    await house.built(PATH, b"scipy")
    closed = await house.proposals.get(number)
    assert (closed.state, closed.decision, closed.decided_by) == (
        *("replaced", "version 4 was activated", None),
    )


async def test_activating_its_version_itself_activates_it(house: House) -> None:
    await ready(house)
    await solved_anew(house, "b" * 32)
    number = (await only(house)).id
    await house.versions.activate(BOB, *PLACE, 2)
    found = await house.proposals.get(number)
    assert (found.state, found.decided_by) == ("activated", "bob")


async def test_a_version_that_is_older_than_the_active_one_is_not_proposed(house: House) -> None:
    await ready(house)
    house.requests.hold(b"pandas")
    await house.versions.ask(ADA, *PLACE, b"pandas", propose=True)
    running = asyncio.create_task(house.runner.run())
    try:
        await house.versions.ask(ADA, *PLACE, b"scipy")
        await house.reached(PATH, 3)
        house.requests.held[b"pandas"].set()
        await house.reached(PATH, 2)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert (await active(house), await waiting(house)) == (3, [])


async def test_it_is_closed_with_its_environment_and_its_namespace(house: House) -> None:
    await ready(house)
    await solved_anew(house, "b" * 32)
    number = (await only(house)).id
    await house.environments.delete(BOB, *PLACE)
    with pytest.raises(ProposalUnknown):
        await house.proposals.get(number)
    await house.environments.restore(BOB, *PLACE)
    found = await house.proposals.get(number)
    assert (found.state, found.decision, found.decided_by) == (
        *("replaced", "its environment was deleted", "bob"),
    )
    # It was not people who said no.
    await solved_anew(house, "b" * 32)
    number = (await only(house)).id
    await house.namespaces.delete(ADA, "analytics")
    await house.namespaces.restore(ADA, "analytics")
    assert (await house.proposals.get(number)).state == "replaced"


async def test_it_goes_along_when_its_environment_is_moved(house: House) -> None:
    await ready(house)
    await solved_anew(house, "b" * 32)
    await house.namespaces.create(ADA, "sales", owner="ada")
    await house.environments.move(ADA, *PLACE, "sales", "numbers")
    proposal = await only(house)
    assert proposal.path == "sales/numbers"
    await house.proposals.activate(ADA, proposal.id)
    assert (await house.environments.get("sales", "numbers")).active == 2


async def test_its_files_are_kept(house: House) -> None:
    await ready(house)
    await house.built(PATH, b"pandas")
    await solved_anew(house, "b" * 32)

    async def going() -> list[int]:
        table, environment = tables.version, tables.environment
        statement = (
            select(table.c.number)
            .join(environment, environment.c.id == table.c.environment_id)
            .where(may_go())
            .order_by(table.c.number)
        )
        async with house.database.reading() as connection:
            return list((await connection.execute(statement)).scalars())

    assert await going() == [1]
    await house.proposals.reject(ADA, (await only(house)).id, reason="")
    assert await going() == [1, 3]


async def test_nobody_activates_what_is_blocked(house: House) -> None:
    await ready(house, then="test", command=COMMAND)
    await solved_anew(house, "b" * 32)
    proposal = await only(house)
    await Blocks(house.database).block(ADA, "b" * 32, "it sends passwords away")
    with pytest.raises(BuildBlocked, match="it sends passwords away"):
        await house.proposals.activate(BOB, proposal.id)
    noted = await house.proposals.note_test(await claimed(house), PASSED)
    assert noted is not None
    assert (noted.state, noted.test.state, await active(house)) == ("open", "passed", 1)
    await Blocks(house.database).unblock(ADA, "b" * 32)
    assert (await house.proposals.activate(BOB, proposal.id)).state == "activated"


async def test_those_are_listed_that_are_seen_a_page_at_a_time(house: House) -> None:
    await ready(house)
    for key in ("b" * 32, "c" * 32, "d" * 32):
        await solved_anew(house, key)
    list_ = house.proposals.list
    page = await list_(visible=EVERYTHING, limit=2)
    assert [one.number for one in page.items] == [4, 3]
    assert page.next is not None
    rest = await list_(visible=EVERYTHING, limit=2, before=int(page.next))
    assert ([one.number for one in rest.items], rest.next) == ([2], None)
    assert len((await list_(visible=EVERYTHING, namespace="analytics")).items) == 3
    assert len((await list_(visible=EVERYTHING, environment="forecast")).items) == 3
    for nothing in (
        {"namespace": "sales"},
        {"environment": "other"},
        {"state": "rejected"},
        {"namespace": "a\0b"},
    ):
        more: dict[str, Any] = nothing
        assert (await list_(visible=EVERYTHING, **more)).items == [], nothing
    assert (await list_(visible=Visibility())).items == []
    assert len((await list_(visible=Visibility((("analytics", "fore*"),)))).items) == 3
    for number in (0, -1, 2**63, 10**30, 999):
        with pytest.raises(ProposalUnknown):
            await house.proposals.get(number)
    with pytest.raises(CatalogTextInvalid):
        await house.proposals.reject(ADA, page.items[0].id, reason="x\0")


async def claimed(house: House, lease_seconds: float = 30, by: str = "server/1") -> ClaimedTest:
    test = await house.proposals.claim_test(by, lease_seconds)
    assert test is not None
    return test


async def test_an_automatic_one_is_activated_when_its_test_passes(house: House) -> None:
    await ready(house, then="test", command=COMMAND)
    assert await house.proposals.claim_test("server/1", 30) is None
    await solved_anew(house, "b" * 32)
    proposal = await only(house)
    assert (proposal.is_automatic, proposal.test.state) == (True, "waiting")
    test = await claimed(house)
    assert (test.proposal, test.command, test.key, test.number) == (
        *(proposal.id, COMMAND, "b" * 32, 2),
    )
    assert (await only(house)).test.state == "running"
    assert await house.proposals.claim_test("server/2", 30) is None
    assert await house.proposals.keep_test(test, 30)
    noted = await house.proposals.note_test(test, PASSED)
    assert noted is not None
    assert (noted.state, noted.decided_by, noted.decision) == (
        *("activated", None, "its test passed"),
    )
    assert (noted.test.state, noted.test.output, noted.test.duration_ms) == ("passed", "ok", 12)
    assert await active(house) == 2
    assert house.memory.pointers[PATH].active == "b" * 32
    assert (await house.actions(PATH))[-4:] == [
        *("proposal.opened", "proposal.tested", "version.activated", "proposal.activated"),
    ]
    # Once is enough.
    assert await house.proposals.note_test(test, PASSED) is None
    assert not await house.proposals.keep_test(test, 30)


async def test_one_whose_test_fails_waits_with_its_output(house: House) -> None:
    await ready(house, then="test", command=COMMAND)
    await solved_anew(house, "b" * 32)
    failed = Verdict(
        has_passed=False, message="it ended with 1", output="\0" + "x" * MAX_OUTPUT + "end"
    )
    noted = await house.proposals.note_test(await claimed(house), failed)
    assert noted is not None
    assert (noted.state, noted.test.state, noted.test.message) == (
        *("open", "failed", "it ended with 1"),
    )
    assert len(noted.test.output) == MAX_OUTPUT
    assert noted.test.output.endswith("xend")
    assert await active(house) == 1
    # The schedule leaves it as it is; somebody has it tested again, or activates it.
    assert (await solved_anew(house, "b" * 32)).state == "unchanged"
    assert await house.proposals.claim_test("server/1", 30) is None
    again = await house.proposals.test_again(BOB, noted.id)
    assert (again.test.state, again.test.output) == ("waiting", "")
    noted = await house.proposals.note_test(await claimed(house), PASSED)
    assert noted is not None
    assert noted.state == "activated"


async def test_one_that_is_not_automatic_waits_though_its_test_passes(house: House) -> None:
    await ready(house, then="propose", command=COMMAND)
    await solved_anew(house, "b" * 32)
    noted = await house.proposals.note_test(await claimed(house), PASSED)
    assert noted is not None
    assert (noted.state, noted.test.state, await active(house)) == ("open", "passed", 1)


async def test_a_test_does_not_override_what_somebody_has_chosen_since(house: House) -> None:
    await ready(house, then="test", command=COMMAND)
    await house.built(PATH, b"pandas")
    await solved_anew(house, "b" * 32)
    test = await claimed(house)
    await house.versions.activate(BOB, *PLACE, 1)
    noted = await house.proposals.note_test(test, PASSED)
    assert noted is not None
    assert (noted.state, noted.is_overtaken, await active(house)) == ("open", True, 1)


@pytest.mark.parametrize("why", ["finding", "variant"])
async def test_a_test_does_not_activate_what_is_forbidden_by_then(house: House, why: str) -> None:
    await ready(house, then="test", command=COMMAND)
    await solved_anew(house, "b" * 32)
    if why == "finding":
        await find(house, "b" * 32, mode="enforce")
    else:
        house.variants_blocked.add("b" * 32)
    noted = await house.proposals.note_test(await claimed(house), PASSED)
    assert noted is not None
    assert (noted.state, noted.test.state, await active(house)) == ("open", "passed", 1)


async def test_a_test_of_what_is_closed_is_wanted_no_more(house: House) -> None:
    await ready(house, then="test", command=COMMAND)
    await solved_anew(house, "b" * 32)
    test = await claimed(house)
    await solved_anew(house, "c" * 32)
    assert not await house.proposals.keep_test(test, 30)
    assert await house.proposals.note_test(test, PASSED) is None
    assert (await house.proposals.get(test.proposal)).test.state == "none"
    assert (await claimed(house)).key == "c" * 32


async def test_a_test_whose_server_was_lost_is_run_by_another_one(house: House) -> None:
    await ready(house, then="test", command=COMMAND)
    await solved_anew(house, "b" * 32)
    lost = await claimed(house, lease_seconds=-1)
    test = await claimed(house, by="server/2")
    assert test.proposal == lost.proposal
    assert await house.proposals.note_test(lost, PASSED) is None
    await house.proposals.release_test(lost)
    assert (await only(house)).test.state == "running"
    await house.proposals.release_test(test)
    assert (await only(house)).test.state == "waiting"
    # One by which servers are lost again and again is not tried for ever.
    test = await claimed(house, lease_seconds=-1)
    began = house.database.now() - timedelta(hours=2)
    await moved(house, test.proposal, tested_at=began)
    assert await house.proposals.claim_test("server/2", 30) is None
    found = await only(house)
    assert (found.test.state, found.test.message) == (
        *("failed", "the servers that ran the test were lost"),
    )


async def test_whoever_has_many_tests_keeps_other_namespaces_waiting_for_one(
    house: House,
) -> None:
    await house.follower.start()
    for number, path in enumerate(["analytics/a", "analytics/b", "analytics/c", "weather/d"]):
        await house.environment(path)
        space, _, name = path.partition("/")
        await house.environments.update(ADA, space, name, test_command=COMMAND)
        data = f"numpy {number}".encode()
        version, _ = await house.versions.ask(ADA, space, name, data, propose=True)
        assert (await house.ended(path, version.number)).state == "built"
    order = []
    for _ in range(4):
        test = await claimed(house)
        order.append(f"{test.namespace}/{test.environment}")
        await house.proposals.note_test(test, PASSED)
    assert order == ["analytics/a", "weather/d", "analytics/b", "analytics/c"]


async def test_two_servers_do_not_take_the_same_test(house: House) -> None:
    await ready(house, then="test", command=COMMAND)
    await solved_anew(house, "b" * 32)
    claims = await asyncio.gather(
        *(house.proposals.claim_test(f"server/{number}", 30) for number in range(5))
    )
    assert len([one for one in claims if one is not None]) == 1


async def test_a_test_needs_a_command_and_takes_the_one_of_today(house: House) -> None:
    await ready(house)
    await solved_anew(house, "b" * 32)
    number = (await only(house)).id
    with pytest.raises(NoTestCommand, match="pullforge env set analytics/forecast --test"):
        await house.proposals.test_again(ADA, number)
    await house.environments.update(ADA, *PLACE, test_command=COMMAND)
    assert (await only(house)).test.command == ""
    found = await house.proposals.test_again(ADA, number)
    assert (found.test.command, found.test.state) == (COMMAND, "waiting")
    assert await house.proposals.test_again(ADA, number) == found
    await claimed(house)
    assert (await house.proposals.test_again(ADA, number)).test.state == "running"
    await house.environments.update(ADA, *PLACE, test_command="true")
    assert (await house.proposals.test_again(ADA, number)).test.state == "waiting"


async def test_what_was_refused_and_waived_becomes_a_proposal_too(house: House) -> None:
    await ready(house)
    house.book.put_policy(read_policy("company", 'contact = "it"', namespace=None))
    house.requests.rules = lambda: house.book.rules(*PLACE)
    house.requests.refusals[b"pandas"] = Refusal(
        "company", "age", "it@example.org", packages=("pandas ==2.3.1",)
    )
    await house.versions.ask(ADA, *PLACE, b"pandas", propose=True)
    failed = await house.ended(PATH, 2)
    assert (failed.state, await waiting(house)) == ("failed", [])
    ((waiver, _),) = await house.waivers.request(ADA, WaiverRequest("it fixes a bug", PLACE))
    await house.waivers.grant(BOB, waiver.id)
    assert (await house.ended(PATH, 3)).reason == "waiver"
    assert (await active(house), (await only(house)).number) == (1, 3)


async def test_versions_are_compared_with_what_advisories_ask_for(house: House) -> None:
    await ready(house)
    for key, version in ((key_of(OLD), "1.0"), ("b" * 32, "2.0")):
        house.packages[key] = [
            LockedPackage(
                "linux-64",
                "conda",
                "numpy",
                version,
                "0",
                "http://channel.test/main",
                "BSD",
                project="numpy",
            )
        ]
    house.requests.keys[b"other"] = key_of(OLD)
    await house.built(PATH, b"other")
    await solved_anew(house, "b" * 32)
    a, b = await house.differences.of(*PLACE, 2, 3)
    ((old,), (new,)) = a.candidates["linux-64"], b.candidates["linux-64"]
    assert (old.version, new.version, new.project) == ("1.0", "2.0", "numpy")
