"""``pullforge webhook``, against a real server that sends to a real receiver."""

import asyncio
import json
import threading
from collections.abc import Iterator

import pytest

from tests.registry.cli.servers import MakePerson, Served, serving
from tests.registry.web.api.site import Site
from tests.registry.webhooks.receiver import Answer, Receiver


@pytest.fixture
def served(people_site: Site) -> Iterator[Served]:
    with serving(people_site.configured(webhook_networks=["127.0.0.0/8"])) as served:
        yield served


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver with a loop of its own: commands block."""
    loop, receiver = asyncio.new_event_loop(), Receiver()
    loop.run_until_complete(receiver.start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield receiver
    asyncio.run_coroutine_threadsafe(receiver.stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def test_a_person_sets_one_up_tries_it_and_looks_at_what_was_sent(
    person: MakePerson, receiver: Receiver
) -> None:
    ada, bob = person("ada"), person("bob")
    ada("namespace", "create", "ada")
    url = f"{receiver.url('/x?k=t0k3n')}\n"
    created = ada("webhook", "create", "-", "--namespace", "ada", given=url)
    secret = created.stdout.strip()
    assert secret.startswith("whsec_")
    assert "'pullforge webhook ping 1' tries it" in created.stderr
    pinged = ada("webhook", "ping", "1")
    assert "it was taken in" in pinged.stderr
    assert receiver.taken[0].verified(secret)["type"] == "webhook.tested"
    receiver.answers.append(Answer(500))
    assert "it answered 500 Internal Server Error" in ada("webhook", "ping", "1", code=1).stderr
    listed = ada("webhook", "list", "ada").stdout
    assert "active" in listed
    assert "t0k3n" not in listed
    rows = json.loads(ada("webhook", "deliveries", "1", "-o", "json").stdout)["items"]
    assert [one["state"] for one in rows][-2:] == ["failed", "delivered"]
    assert "webhook.tested" in ada("webhook", "deliveries", "1", "--state", "failed").stdout
    ada("webhook", "resend", "1", str(rows[-1]["id"]))
    assert receiver.taken[-1].id == receiver.taken[0].id
    assert "there is no webhook 1 here" in bob("webhook", "show", "1", code=1).stderr


def test_it_is_changed_renewed_and_deleted(person: MakePerson) -> None:
    ada, root = person("ada"), person("root")
    ada("namespace", "create", "ada")
    body = ("https://hook.invalid/x", "--namespace", "ada", "--action", "version.*")
    made = json.loads(ada("webhook", "create", *body, "-o", "json").stdout)
    assert made["actions"] == ["version.*"]
    shown = ada("webhook", "update", "1", "--disable", "--environment", "fore*").stdout
    assert "disabled" in shown
    assert "fore*" in shown
    assert "active" in ada("webhook", "update", "1", "--enable", "--skip").stdout
    renewed = ada("webhook", "rotate", "1")
    assert renewed.stdout.strip() != made["secret"]
    assert "is signed with the secret before, too" in renewed.stderr
    refused = root("webhook", "create", "ada@example.org", code=1)
    assert "PULLFORGE_SMTP" in refused.stderr
    assert "webhook 1 is deleted" in ada("webhook", "delete", "1").stderr
    assert json.loads(ada("webhook", "list", "-o", "json").stdout)["items"] == []
