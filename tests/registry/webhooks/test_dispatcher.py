"""Events sent in order and at least once, whoever receives them and whichever server sends."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from builder.network.hosts import Hosts, guard
from registry.auth.trail import Noted, Trail
from registry.catalog import outgoing
from registry.catalog.deliveries import Deliveries
from registry.catalog.journal import add_event
from registry.catalog.outgoing import OutgoingWebhooks
from registry.catalog.trail_writer import TrailWriter
from registry.catalog.webhook_records import NewWebhook, WebhookChange, WebhookRecord
from registry.catalog.webhooks import Webhooks
from registry.database import tables
from registry.errors import DatabaseUnavailable, WebhookInvalid
from registry.webhooks.dispatcher import DELAYS, Dispatcher, delay_of
from registry.webhooks.messages import Messages
from registry.webhooks.sender import HttpSender, Places
from tests.registry.catalog.house import ADA, House, stop
from tests.registry.webhooks.receiver import Answer, Receiver, receiving

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

NETWORKS = ["127.0.0.0/8"]


class Servers:
    """Servers over one database, whose dispatchers look when they are told to."""

    def __init__(self, house: House, stack: AsyncExitStack) -> None:
        self.house = house
        self.webhooks = Webhooks(house.database)
        self.deliveries = Deliveries(house.database)
        self._stack = stack
        self.health: list[tuple[int, float]] = []

    async def server(
        self, name: str = "one", seconds: float = 2, delays: Sequence[float] = (60,)
    ) -> Dispatcher:
        hosts = Hosts(networks=NETWORKS)
        http = await self._stack.enter_async_context(httpx.AsyncClient(trust_env=False))
        sender = HttpSender(guard(http, hosts), Places(hosts), Messages(), timeout_seconds=seconds)
        return Dispatcher(
            OutgoingWebhooks(self.house.database, name),
            {"webhook": sender},
            on_health=lambda *told: self.health.append(told),
            delays=delays,
        )

    async def webhook(
        self, address: str, namespace: str | None = "ada", **more: Any
    ) -> tuple[WebhookRecord, str]:
        return await self.webhooks.create(ADA, NewWebhook(address, namespace, **more))

    async def sent(self, *dispatchers: Dispatcher) -> None:
        """Have dispatchers send until there is nothing more that is due."""
        for dispatcher in dispatchers:
            await dispatcher.look()
        for dispatcher in dispatchers:
            await dispatcher.idle()

    async def happens(self, *names: str, namespace: str = "ada") -> list[str]:
        """Have events of some environments, and return their ids."""
        table = tables.event
        async with self.house.database.writing() as connection:
            for name in names:
                now, action = self.house.database.now(), "environment.created"
                await add_event(connection, ADA, now, action, namespace=namespace, environment=name)
            newest = select(table.c.id).order_by(table.c.id.desc()).limit(len(names))
            numbers = (await connection.execute(newest)).scalars().all()
        return [f"evt_{number}" for number in reversed(numbers)]

    async def due_at_once(self) -> None:
        """Have what failed be tried again now."""
        async with self.house.database.writing() as connection:
            await connection.execute(update(tables.webhook).values(next_at=None))

    async def told(self, webhook: int) -> Sequence[tuple[str, int, int | None, str]]:
        """Return what is known of what was sent, the oldest first."""
        page = await self.deliveries.list(webhook)
        found = [(one.state, one.attempt, one.status, one.message) for one in page.items]
        return found[::-1]


@pytest.fixture
async def servers(house: House) -> AsyncIterator[Servers]:
    for name in ("ada", "bob"):
        await house.namespaces.create(ADA, name)
    async with AsyncExitStack() as stack:
        yield Servers(house, stack)


@pytest.fixture
async def receiver(anyio_backend: str) -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


async def test_what_happens_from_then_on_is_sent_in_its_order_and_signed(
    servers: Servers, receiver: Receiver
) -> None:
    await servers.happens("before")
    _, secret = await servers.webhook(receiver.url())
    server = await servers.server()
    ids = await servers.happens("one", "two", "three")
    await servers.sent(server)
    assert receiver.ids == ids
    told = receiver.taken[0].verified(secret)
    assert told["type"] == "environment.created"
    assert told["data"]["environment"] == "one"
    assert receiver.taken[0].headers["content-type"] == "application/json"
    await servers.sent(server)
    assert receiver.ids == ids, "nothing is sent twice"


async def test_each_gets_what_it_wants_of_its_namespace_and_the_service_all_but_the_audit_log(
    servers: Servers,
) -> None:
    async with receiving() as one, receiving() as two, receiving() as all_:
        await servers.webhook(one.url(), environment_glob="b*", actions=["environment.*"])
        await servers.webhook(two.url(), "bob", actions=["version.*"])
        await servers.webhook(all_.url(), None)
        server = await servers.server()
        await servers.happens("a", "b")
        await servers.happens("b", namespace="bob")
        trail = Trail()
        trail.note(Noted("access.refused", "api", "eve", namespace="ada"))
        await TrailWriter(servers.house.database, trail, lambda _: True).write()
        await servers.sent(server)
        assert [(one.type, one.json()["data"]["environment"]) for one in one.taken] == [
            ("environment.created", "b")
        ]
        assert two.taken == []
        assert [one.json()["data"]["namespace"] for one in all_.taken] == ["ada", "ada", "bob"]


async def test_what_fails_is_tried_again_with_the_same_id_and_nothing_overtakes_it(
    servers: Servers, receiver: Receiver
) -> None:
    webhook, _ = await servers.webhook(receiver.url())
    server = await servers.server()
    receiver.answers += [Answer(500, body=b"no \x1b[31mway\x00"), Answer(503)]
    first, second = await servers.happens("one", "two")
    await servers.sent(server)
    assert receiver.ids == [first]
    failing = await servers.webhooks.get(webhook.id)
    assert (failing.state, failing.attempts) == ("failing", 1)
    assert failing.next_at is not None
    await servers.sent(server)
    assert receiver.ids == [first], "it waits for its time"
    await servers.due_at_once()
    await servers.sent(server)
    await servers.due_at_once()
    await servers.sent(server)
    assert receiver.ids == [first, first, first, second]
    assert len({one.body for one in receiver.taken[:3]}) == 1
    assert (await servers.webhooks.get(webhook.id)).state == "active"
    assert await servers.told(webhook.id) == [
        ("failed", 1, 500, "it answered 500 Internal Server Error"),
        ("failed", 2, 503, "it answered 503 Service Unavailable"),
        ("delivered", 3, 204, ""),
        ("delivered", 1, 204, ""),
    ]
    (oldest, *_) = (await servers.deliveries.list(webhook.id)).items[::-1]
    assert oldest.answer == "no �[31mway�"


async def test_one_that_does_not_answer_keeps_nobody_waiting(servers: Servers) -> None:
    async with receiving() as silent, receiving() as well:
        silent.otherwise = Answer(is_silent=True)
        for _ in range(20):
            await servers.webhook(silent.url())
        server = await servers.server(seconds=0.5)
        await servers.happens("one")
        await servers.sent(server)
        await servers.due_at_once()
        await servers.webhook(well.url())
        (event,) = await servers.happens("two")
        await server.look()
        await well.count(1)
        assert well.ids == [event]
        await server.idle()
        assert "it did not answer within 0.5 s" in str(await servers.told(1))


async def test_three_servers_send_each_event_once(servers: Servers, receiver: Receiver) -> None:
    await servers.webhook(receiver.url())
    three = [await servers.server(name) for name in ("one", "two", "three")]
    ids = await servers.happens(*(f"e{number}" for number in range(10)))
    await servers.sent(*three)
    ids += await servers.happens("last")
    await servers.sent(*reversed(three))
    assert receiver.ids == ids


async def test_what_a_server_had_in_hand_when_it_was_killed_is_sent_by_the_next(
    servers: Servers, receiver: Receiver
) -> None:
    webhook, _ = await servers.webhook(receiver.url())
    receiver.answers.append(Answer(is_silent=True))
    first, second = await servers.server("one", seconds=60), await servers.server("two")
    ids = await servers.happens("one", "two")
    await first.look()
    await receiver.count(1)
    await servers.sent(second)
    assert receiver.ids == ids[:1], "another has it"
    async with servers.house.database.writing() as connection:
        earlier = servers.house.database.clock_after(-1)
        await connection.execute(update(tables.webhook).values(claimed_until=earlier))
    await servers.sent(second)
    assert receiver.ids == [ids[0], *ids]
    # The first one wakes up, and has nothing to say any more.
    await stop(*first._running.values())
    assert [one[0] for one in await servers.told(webhook.id)] == ["delivered", "delivered"]


async def test_a_receiver_that_is_gone_is_stopped_at_once_and_that_is_told(
    servers: Servers, receiver: Receiver
) -> None:
    async with receiving() as other:
        webhook, _ = await servers.webhook(receiver.url())
        await servers.webhook(other.url(), actions=["webhook.*"])
        server = await servers.server()
        await servers.sent(server)
        receiver.taken.clear()
        receiver.answers.append(Answer(410))
        ids = await servers.happens("one", "two")
        await servers.sent(server)
        stopped = await servers.webhooks.get(webhook.id)
        assert (stopped.state, stopped.is_enabled) == ("stopped", False)
        assert stopped.problem == "it takes nothing any more: it answered 410 Gone"
        await servers.sent(server)
        assert receiver.ids == ids[:1]
        (told,) = other.taken
        assert told.type == "webhook.stopped"
        assert told.json()["data"]["detail"]["to"] == f"127.0.0.1:{receiver.port}"
        enabled = await servers.webhooks.update(ADA, webhook.id, WebhookChange(is_enabled=True))
        assert (enabled.state, enabled.problem) == ("active", "")
        await servers.sent(server)
        assert receiver.ids[:3] == [ids[0], *ids], "it goes on where it was"


async def test_after_three_days_of_failures_it_is_stopped_and_what_waits_can_be_forgotten(
    servers: Servers, receiver: Receiver
) -> None:
    webhook, _ = await servers.webhook(receiver.url())
    server = await servers.server()
    receiver.otherwise = Answer(500)
    await servers.happens("one", "two")
    await servers.sent(server)
    past = servers.house.database.now() - timedelta(days=3, minutes=1)
    async with servers.house.database.writing() as connection:
        await connection.execute(update(tables.webhook).values(failing_since=past, next_at=None))
    await servers.sent(server)
    stopped = await servers.webhooks.get(webhook.id)
    assert stopped.state == "stopped"
    assert "for 3 days, at last: it answered 500 Internal Server Error" in stopped.problem
    assert "webhook.stopped" in await servers.house.actions()
    receiver.otherwise = Answer()
    receiver.taken.clear()
    change = WebhookChange(is_enabled=True, skips=True)
    await servers.webhooks.update(ADA, webhook.id, change)
    (event,) = await servers.happens("three")
    await servers.sent(server)
    assert receiver.ids == [event]


async def test_a_ping_and_a_resent_event_come_once_whatever_state_it_is_in(
    servers: Servers, receiver: Receiver
) -> None:
    webhook, secret = await servers.webhook(receiver.url(), actions=["version.*"])
    server = await servers.server()
    await servers.webhooks.update(ADA, webhook.id, WebhookChange(is_enabled=False))
    await servers.happens("one")
    ping = await servers.deliveries.ping(ADA, webhook.id)
    assert (ping.state, ping.attempt, ping.action) == ("waiting", 0, "webhook.tested")
    await servers.sent(server)
    (taken,) = receiver.taken
    assert taken.verified(secret)["type"] == "webhook.tested"
    done = await servers.deliveries.get(webhook.id, ping.id)
    assert (done.state, done.status) == ("delivered", 204)
    again = await servers.deliveries.resend(ADA, webhook.id, ping.id)
    await servers.sent(server)
    assert receiver.ids == [taken.id, taken.id]
    assert (await servers.deliveries.get(webhook.id, again.id)).state == "delivered"
    await servers.webhooks.update(ADA, webhook.id, WebhookChange(is_enabled=True, actions=[]))
    await servers.sent(server)
    types = [one.type for one in receiver.taken[2:]]
    assert "webhook.tested" not in types
    assert "webhook.resent" not in types


async def test_a_ping_that_comes_has_what_waits_tried_at_once(
    servers: Servers, receiver: Receiver
) -> None:
    webhook, _ = await servers.webhook(receiver.url())
    server = await servers.server()
    receiver.answers.append(Answer(500))
    (event,) = await servers.happens("one")
    await servers.sent(server)
    await servers.deliveries.ping(ADA, webhook.id)
    await servers.sent(server)
    await servers.sent(server)
    assert receiver.ids[0] == event
    assert receiver.ids[2] == event


async def test_both_secrets_sign_until_the_old_one_ends(
    servers: Servers, receiver: Receiver
) -> None:
    webhook, old = await servers.webhook(receiver.url())
    server = await servers.server()
    _, new = await servers.webhooks.rotate(ADA, webhook.id)
    assert old != new
    await servers.happens("one")
    await servers.sent(server)
    for secret in (old, new):
        receiver.taken[-1].verified(secret)
    assert receiver.taken[-1].headers["webhook-signature"].count("v1,") == 2
    async with servers.house.database.writing() as connection:
        past = servers.house.database.now() - timedelta(seconds=1)
        await connection.execute(update(tables.webhook).values(old_secret_until=past))
    await servers.happens("two")
    await servers.sent(server)
    receiver.taken[-1].verified(new)
    assert receiver.taken[-1].headers["webhook-signature"].count("v1,") == 1


async def test_one_that_was_changed_meanwhile_is_not_moved_on_by_what_the_old_address_said(
    servers: Servers,
) -> None:
    async with receiving() as old, receiving() as new:
        webhook, _ = await servers.webhook(old.url())
        server = await servers.server()
        gate = asyncio.Event()
        old.answers.append(Answer(after=gate))
        ids = await servers.happens("one")
        await server.look()
        await old.count(1)
        await servers.webhooks.update(ADA, webhook.id, WebhookChange(address=new.url()))
        gate.set()
        await server.idle()
        async with servers.house.database.writing() as connection:
            await connection.execute(update(tables.webhook).values(claimed_until=None))
        await servers.sent(server)
        assert new.ids[: len(ids)] == ids


async def test_what_was_sent_is_kept_though_the_database_was_away_for_a_moment(
    servers: Servers, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook, _ = await servers.webhook(receiver.url())
    server = await servers.server()
    outgoing = server._outgoing
    note, away = outgoing.note, [1, 2]

    async def sometimes(*args: Any) -> Any:
        if away:
            away.pop()
            raise DatabaseUnavailable
        return await note(*args)

    monkeypatch.setattr(outgoing, "note", sometimes)
    ids = await servers.happens("one")
    await servers.sent(server)
    assert receiver.ids == ids
    assert [one[0] for one in await servers.told(webhook.id)] == ["delivered"]


async def test_one_that_is_deleted_gets_nothing_any_more_and_is_forgotten(
    servers: Servers, receiver: Receiver
) -> None:
    webhook, secret = await servers.webhook(receiver.url("/hook?token=t0k3n"))
    server = await servers.server()
    await servers.happens("one")
    await servers.sent(server)
    await servers.happens("two")
    await servers.webhooks.delete(ADA, webhook.id)
    await servers.sent(server)
    assert len(receiver.taken) == 1
    await servers.deliveries.purge()
    async with servers.house.database.reading() as connection:
        for table in (tables.webhook, tables.delivery):
            assert (await connection.execute(select(table))).all() == []
        for row in (await connection.execute(select(tables.event))).all():
            assert "t0k3n" not in str(row)
            assert secret not in str(row)


async def test_what_is_old_or_too_much_is_forgotten(
    servers: Servers, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.catalog.deliveries.MAX_KEPT", 3)
    webhook, _ = await servers.webhook(receiver.url())
    server = await servers.server()
    await servers.happens(*(f"e{number}" for number in range(5)))
    await servers.sent(server)
    past = servers.house.database.now() - timedelta(days=31)
    async with servers.house.database.writing() as connection:
        await connection.execute(
            update(tables.delivery).where(tables.delivery.c.id == 5).values(created_at=past)
        )
    await servers.deliveries.purge()
    assert [one.id for one in (await servers.deliveries.list(webhook.id)).items] == [4, 3, 2]


async def test_how_they_are_is_told(servers: Servers, receiver: Receiver) -> None:
    await servers.webhook(receiver.url())
    server = await servers.server()
    await server.tell_health()
    assert servers.health == [(0, 0.0)]
    receiver.answers.append(Answer(500))
    await servers.happens("one")
    await servers.sent(server)
    await server.tell_health()
    failing, seconds = servers.health[-1]
    assert failing == 1
    assert 0 <= seconds < 60


async def test_a_thousand_events_that_nobody_wants_cost_one_row(
    servers: Servers, receiver: Receiver
) -> None:
    webhook, _ = await servers.webhook(receiver.url(), actions=["version.failed"])
    server = await servers.server()
    await servers.happens(*(f"e{number}" for number in range(30)))
    await servers.sent(server)
    async with servers.house.database.reading() as connection:
        row = (await connection.execute(select(tables.webhook))).one()
    assert row.event_id == await servers.house.events.newest()
    assert await servers.told(webhook.id) == []


async def test_environments_are_those_of_a_namespace(servers: Servers, receiver: Receiver) -> None:
    webhook, _ = await servers.webhook(receiver.url(), namespace=None)
    with pytest.raises(WebhookInvalid, match="of a namespace"):
        await servers.webhooks.update(ADA, webhook.id, WebhookChange(environment_glob="a-*"))
    await servers.webhooks.update(ADA, webhook.id, WebhookChange(environment_glob="*"))


@pytest.mark.parametrize("how", ["no sender", "an error"])
async def test_what_cannot_be_sent_at_all_is_a_failure_that_is_told(
    servers: Servers, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of mail, when the settings name no server for it any more."""

    async def broken(*_: Any) -> Any:
        raise KeyError("a library")

    if how == "no sender":
        more: dict[str, Any] = {"kind": "mail", "actions": ("environment.*",)}
        webhook, _ = await servers.webhook("ada@example.org", **more)
    else:
        monkeypatch.setattr(HttpSender, "send", broken)
        webhook, _ = await servers.webhook("http://127.0.0.1:1/")
    one = await servers.server()
    await servers.happens("e")
    await servers.sent(one)
    await servers.deliveries.ping(ADA, webhook.id)
    await servers.sent(one)
    told = (await servers.deliveries.list(webhook.id)).items
    assert [delivery.state for delivery in told] == ["failed", "failed"]
    wanted = "PULLFORGE_SMTP" if how == "no sender" else "KeyError"
    assert all(wanted in delivery.message for delivery in told)
    assert (await servers.webhooks.get(webhook.id)).state == "failing"


async def test_however_many_events_there_are_each_action_is_held_against_a_filter_once(
    servers: Servers, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    actions = tuple(f"webhook.{'*' * number}" for number in range(1, 51))
    for _ in range(3):
        await servers.webhook(receiver.url(), actions=actions)
    one = await servers.server()
    await servers.happens(*[f"e{number}" for number in range(300)])
    held: list[str] = []

    def matches(_glob: str, text: str) -> bool:
        held.append(text)
        return False

    monkeypatch.setattr(outgoing, "glob_matches", matches)
    await servers.sent(one)
    assert receiver.ids == []
    assert len(held) <= 3 * len(actions) * len(set(held))


async def test_run_sends_until_it_is_cancelled_and_lets_go_of_what_it_had(
    servers: Servers, receiver: Receiver
) -> None:
    await servers.webhook(receiver.url())
    receiver.answers += [Answer(), Answer(is_silent=True)]
    server = await servers.server(seconds=60)
    running = asyncio.create_task(server.run())
    try:
        ids = await servers.happens("one", "two")
        await receiver.count(2)
    finally:
        await stop(running)
    await servers.sent(await servers.server("two"))
    assert receiver.ids == [*ids, ids[1]]


def test_tries_come_later_and_later_and_as_whoever_answers_wants() -> None:
    seconds = [delay_of(DELAYS, attempts, None, 7) for attempts in range(30)]
    assert all(
        least <= one <= least * 1.2
        for least, one in zip([*DELAYS, *[DELAYS[-1]] * 21], seconds, strict=True)
    )
    three_days = sum(seconds[:16])
    assert three_days > 2 * 86_400
    assert 90 <= delay_of(DELAYS, 0, 90, 7) <= 108
    assert delay_of(DELAYS, 20, 1, 7) >= DELAYS[-1], "not every second for ever"
    assert len({delay_of(DELAYS, 3, None, seed) for seed in range(50)}) > 40
