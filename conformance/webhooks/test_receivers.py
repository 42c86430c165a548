"""One server and receivers of every kind: who is well gets all at once, and nobody loses any."""

import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trustme

from conformance.accounts import ADMIN, Accounts
from conformance.catalog.person import Person
from conformance.clients.server import Server
from conformance.webhooks.receivers import Receivers, until
from tests.registry.webhooks.receiver import Answer, Receiver

NETWORKS = '["127.0.0.0/8"]'
ADMINISTRATOR = Person(ADMIN)


@dataclass
class Place:
    """A server that sends, and those who receive."""

    server: Server
    receivers: Receivers
    #: The ids of what happened, in order.
    events: list[str] = field(default_factory=list)

    def webhook(self, receiver: Receiver, path: str = "/hook", **more: Any) -> Any:
        """Have events of environments sent to a receiver."""
        body = {"url": receiver.url(path), "namespace": "team", "actions": ["environment.*"]}
        return ADMINISTRATOR.must(self.server, "POST", "/webhooks", {**body, **more})

    def happen(self, *names: str) -> None:
        """Have environments made."""
        for name in names:
            path = "/namespaces/team/environments"
            ADMINISTRATOR.must(self.server, "POST", path, {"name": name})
        found = ADMINISTRATOR.must(self.server, "GET", "/namespaces/team/events?limit=100")
        made = [one for one in found["items"] if one["action"] == "environment.created"]
        self.events = [f"evt_{one['id']}" for one in reversed(made)]

    def state(self, webhook: Any) -> Any:
        """Return a webhook as it is."""
        return ADMINISTRATOR.must(self.server, "GET", f"/webhooks/{webhook['id']}")

    def deliveries(self, webhook: Any) -> Any:
        """Return what was sent, the newest first."""
        return ADMINISTRATOR.must(self.server, "GET", f"/webhooks/{webhook['id']}/deliveries")[
            "items"
        ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Start a server that sends, with a namespace."""
    home = tmp_path_factory.mktemp("webhooks")
    with Receivers() as receivers, served(home) as server:
        ADMINISTRATOR.must(server, "POST", "/namespaces", {"name": "team"})
        yield Place(server, receivers)


def served(home: Path, **settings: object) -> Server:
    """Return a server that builds nothing: it needs no channel, and no base."""
    own = {
        "auth_file": Accounts(home / "auth.toml").path,
        "webhook_networks": NETWORKS,
        "workers": 1,
        "sandbox": "none",
        **settings,
    }
    (home / "channel").mkdir(exist_ok=True)
    return Server(home / "store", f"file://{home}/channel", home / "base", own)


def firsts(receiver: Receiver) -> list[str]:
    """Return the ids of what came, each once, in the order in which they came first."""
    return list(dict.fromkeys(receiver.ids))


def test_who_is_well_gets_all_at_once_whatever_others_do(place: Place) -> None:
    """Down, slow, failing, redirecting, gone, endless, silent, and of nobody's certificate."""
    new = place.receivers.new
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    well, elsewhere, down, failing, gone, endless = (new() for _ in range(6))
    slow, silent, redirecting, huge, unknown = new(), new(), new(), new(), new(tls)
    hooks = {
        one: place.webhook(one)
        for one in (well, down, slow, failing, gone, endless, silent, redirecting, huge, unknown)
    }
    place.receivers.stop(down)
    slow.otherwise = Answer(seconds=1)
    failing.answers += [Answer(500, {"retry-after": "1"}), Answer(503, {"retry-after": "1"})]
    redirecting.otherwise = Answer(307, {"location": elsewhere.url("/secret?token=t0k3n")})
    gone.otherwise = Answer(410)
    endless.otherwise = Answer(200, is_endless=True)
    silent.otherwise = Answer(is_silent=True)
    huge.otherwise = Answer(200, body=b"x" * 20_000_000)
    began = time.monotonic()
    place.happen("one", "two", "three")
    until(lambda: well.ids == place.events, lambda: well.ids)
    assert time.monotonic() - began < 15
    for taken in well.taken:
        taken.verified(hooks[well]["secret"])
    place.receivers.start(down)
    for receiver in (down, slow, failing, endless, huge):
        until(lambda one=receiver: len(firsts(one)) == 3, lambda one=receiver: one.ids)  # type: ignore[misc]
        assert firsts(receiver) == place.events, "in order, whatever came in between"
    assert failing.ids[:3] == [place.events[0]] * 3
    until(lambda: place.state(hooks[gone])["state"] == "stopped", lambda: None)
    assert set(gone.ids) == {place.events[0]}
    assert elsewhere.taken == [], "nothing is sent elsewhere"
    for receiver, said in ((redirecting, "redirects"), (unknown, "certificate")):
        until(
            lambda hook=hooks[receiver]: place.state(hook)["state"] == "failing",  # type: ignore[misc]
            lambda hook=hooks[receiver]: place.state(hook),  # type: ignore[misc]
        )
        assert said in place.deliveries(hooks[receiver])[0]["message"]
    assert unknown.taken == []
    for webhook in hooks.values():
        shown = str((place.state(webhook), place.deliveries(webhook)))
        assert "t0k3n" not in shown
        assert webhook["secret"] not in shown
        assert all(len(one["answer"]) <= 1024 for one in place.deliveries(webhook))
    log = place.server.log.read_text(errors="replace")
    assert not any(webhook["secret"] in log for webhook in hooks.values())
    assert "Traceback" not in log
    assert place.server.metric("pullforge_webhook_failing") >= 0


def test_a_server_that_is_killed_while_it_sends_sends_it_again_when_it_is_back(
    place: Place,
) -> None:
    """With the same id, and what came after it in order."""
    receiver = place.receivers.new()
    webhook = place.webhook(receiver)
    receiver.answers.append(Answer(is_silent=True))
    before = len(place.events)
    place.happen("four", "five")
    until(lambda: receiver.ids != [], lambda: place.state(webhook))
    place.server.kill()
    place.server.start()
    expected = place.events[before:]
    until(lambda: len(firsts(receiver)) == 2, lambda: receiver.ids)
    assert receiver.ids == [expected[0], *expected]
    for taken in receiver.taken:
        taken.verified(webhook["secret"])
