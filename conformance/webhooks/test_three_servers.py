"""Three servers over one PostgreSQL, of which two are killed: no event is lost or overtaken."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.upkeep.trio import Trio
from conformance.webhooks.receivers import Receivers, until
from conformance.webhooks.test_receivers import NETWORKS, firsts
from tests.registry.webhooks.receiver import Answer

_EVENTS = 24


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Trio]:
    """Three servers that build nothing."""
    channel = tmp_path / "channel"
    channel.mkdir()
    settings = {"webhook_networks": NETWORKS, "sandbox": "none"}
    with Trio(tmp_path / "base", f"file://{channel}", **settings) as trio:
        yield trio


def test_every_event_comes_at_least_once_with_its_id_and_in_order(trio: Trio) -> None:
    """Two servers are killed with ``kill -9`` while all of them send to five receivers."""
    servers = trio.servers
    last = servers[2]
    trio.admin.must(last, "POST", "/namespaces", {"name": "team"})
    with Receivers() as receivers:
        hooks = []
        for _ in range(5):
            receiver = receivers.new()
            receiver.otherwise = Answer(seconds=0.02)
            body = {"url": receiver.url(), "namespace": "team", "actions": ["environment.*"]}
            hooks.append((receiver, trio.admin.must(last, "POST", "/webhooks", body)))
        for number in range(_EVENTS):
            path = "/namespaces/team/environments"
            trio.admin.must(last, "POST", path, {"name": f"e{number}"})
            if number in {_EVENTS // 3, 2 * _EVENTS // 3}:
                # While it has something in hand: whoever sends next has it once more.
                for receiver, _ in hooks:
                    receiver.answers.append(Answer(seconds=0.3))
                servers[number // (_EVENTS // 3) - 1].kill()
        made = trio.admin.must(last, "GET", "/namespaces/team/events?limit=100")["items"]
        expected = [f"evt_{one['id']}" for one in reversed(made) if "environment" in one["action"]]
        assert len(expected) == _EVENTS
        for receiver, webhook in hooks:
            until(
                lambda one=receiver: len(firsts(one)) == _EVENTS,  # type: ignore[misc]
                lambda one=receiver: (len(firsts(one)), last.log_end()),  # type: ignore[misc]
            )
            assert firsts(receiver) == expected
            # At most what each killed server had in hand came once more.
            assert len(receiver.ids) <= _EVENTS + 2
            for taken in receiver.taken:
                taken.verified(webhook["secret"])
