"""Sending by HTTP to receivers of every kind: what an answer means, and what is said of it."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address

import httpx
import pytest
import trustme

from builder.network.hosts import Address, Hosts, guard
from registry.catalog.outgoing import Attempt, Outgoing
from registry.catalog.records import Event
from registry.webhooks.messages import Messages
from registry.webhooks.sender import HttpSender, Places
from tests.registry.webhooks.receiver import Answer, Receiver, receiving

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENT = Event(7, datetime(2026, 3, 1, tzinfo=UTC), "ada", None, "", "version.built", "a", "b", 1)
HERE = Hosts(networks=["127.0.0.0/8"], setting="PULLFORGE_WEBHOOK_NETWORKS")


def outgoing(address: str) -> Outgoing:
    return Outgoing(1, "webhook", address, "standard", (SECRET,), 0, None)  # type: ignore[arg-type]


async def send(
    address: str,
    hosts: Hosts = HERE,
    verify: ssl.SSLContext | bool = True,
    seconds: float = 1,
    *,
    trusts_environment: bool = False,
) -> Attempt:
    async with httpx.AsyncClient(verify=verify, trust_env=trusts_environment) as http:
        sender = HttpSender(guard(http, hosts), Places(hosts), Messages(), timeout_seconds=seconds)
        return await sender.send(outgoing(address), EVENT)


def said(attempt: Attempt) -> tuple[str, int | None, str]:
    return attempt.result, attempt.status, attempt.message


@pytest.fixture
async def receiver(anyio_backend: str) -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_what_is_answered_with_success_was_taken(receiver: Receiver, status: int) -> None:
    receiver.answers.append(Answer(status))
    assert said(await send(receiver.url())) == ("taken", status, "")
    assert receiver.taken[0].headers["user-agent"] == "pullforge"


@pytest.mark.parametrize("status", [400, 401, 404, 413, 429, 500, 502, 504, 599, 999])
async def test_what_is_answered_with_anything_else_was_not(receiver: Receiver, status: int) -> None:
    receiver.answers.append(Answer(status))
    result, found, message = said(await send(receiver.url()))
    assert (result, found) == ("failed", status)
    assert message.startswith(f"it answered {status}")


async def test_whoever_is_gone_says_so(receiver: Receiver) -> None:
    receiver.answers.append(Answer(410))
    assert said(await send(receiver.url())) == ("gone", 410, "it answered 410 Gone")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_nothing_is_sent_where_a_redirect_leads(receiver: Receiver, status: int) -> None:
    async with receiving() as elsewhere:
        location = elsewhere.url("/secret?token=t0k3n")
        receiver.answers.append(Answer(status, {"location": location}))
        result, _, message = said(await send(receiver.url()))
        assert result == "failed"
        assert message.startswith(f"it redirects to 127.0.0.1:{elsewhere.port}, which is not")
        assert "t0k3n" not in message
        assert elsewhere.taken == []


@pytest.mark.parametrize(
    "location",
    [
        *("http://169.254.169.254/", "file:///etc/passwd", "//", "http://[", "ftp://x", "\x7f"),
        *("http://u:t0k3n@127.0.0.1/", "gopher://127.0.0.1:6379/_FLUSHALL", "", "http://a:99999"),
    ],
)
async def test_an_odd_redirect_is_a_failure_like_others(receiver: Receiver, location: str) -> None:
    receiver.answers.append(Answer(302, {"location": location}))
    attempt = await send(receiver.url())
    assert attempt.result == "failed"
    assert "t0k3n" not in attempt.message


async def test_when_to_ask_again_is_taken_from_the_answer(receiver: Receiver) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    found = []
    for text in ("30", "0", "999999", "-5", "soon", later, "²", ""):
        receiver.answers.append(Answer(503, {"retry-after": text}))
        found.append((await send(receiver.url())).retry_seconds)
    assert found[:5] == [30, 1, 3600, None, None]
    assert found[5] is not None
    assert 60 < found[5] <= 90
    assert found[6:] == [None, None]


async def test_whoever_does_not_answer_is_waited_for_so_long_and_no_longer(
    receiver: Receiver,
) -> None:
    receiver.answers.append(Answer(is_silent=True))
    attempt = await send(receiver.url(), seconds=0.2)
    assert said(attempt) == ("failed", None, "it did not answer within 0.2 s")
    assert attempt.duration_ms >= 200


@pytest.mark.parametrize("status", [200, 500])
async def test_of_an_answer_that_never_ends_its_beginning_is_kept(
    receiver: Receiver, status: int
) -> None:
    receiver.answers.append(Answer(status, is_endless=True))
    attempt = await send(receiver.url(), seconds=10)
    assert attempt.result == ("taken" if status == 200 else "failed")
    assert attempt.answer.startswith("more and more")
    assert len(attempt.answer) <= 1024
    assert attempt.duration_ms < 2000


async def test_a_status_counts_though_its_answer_comes_no_further(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.webhooks.sender._BODY_SECONDS", 0.1)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal"
    receiver.answers += [Answer(raw=head)]
    attempt = await send(receiver.url())
    assert (attempt.result, attempt.answer) == ("taken", "hal")


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"\0" * 100, b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1"),
        b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 500_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    ],
)
async def test_what_is_no_answer_is_a_failure_with_the_host_alone(
    receiver: Receiver, raw: bytes
) -> None:
    receiver.answers.append(Answer(raw=raw))
    attempt = await send(receiver.url("/hook?token=t0k3n", user="u:p4ss"))
    assert attempt.result == "failed", attempt
    assert attempt.message
    assert "t0k3n" not in str(attempt)
    assert "p4ss" not in str(attempt)


async def test_a_packed_answer_is_not_unpacked(receiver: Receiver) -> None:
    receiver.answers.append(Answer(200, {"content-encoding": "gzip"}, b"\x1f\x8b" + b"x" * 5000))
    attempt = await send(receiver.url())
    assert (attempt.result, attempt.answer) == ("taken", "")


async def test_nobody_there_is_said_so_with_the_host_alone(receiver: Receiver) -> None:
    await receiver.stop()
    attempt = await send(receiver.url("/t0k3n"))
    message = f"127.0.0.1:{receiver.port} is not found, or takes no connections"
    assert said(attempt) == ("failed", None, message)


async def test_a_certificate_of_nobody_is_not_accepted_and_one_of_the_company_is() -> None:
    authority = trustme.CA()
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    async with receiving(tls) as receiver:
        result, _, message = said(await send(receiver.url()))
        assert result == "failed"
        assert message.startswith(f"the certificate of 127.0.0.1:{receiver.port} is not accepted:")
        assert (await send(receiver.url(), verify=trusted)).result == "taken"


async def test_a_name_is_looked_up_when_it_is_connected_to_and_that_address_is_used() -> None:
    answers = [["127.0.0.1"], ["10.0.0.1", "169.254.169.254"], ["10.0.0.1", "127.0.0.1"]]
    asked: list[str] = []

    async def resolve(host: str, _: int) -> Sequence[Address]:
        asked.append(host)
        return [ip_address(text) for text in answers[len(asked) - 1]]

    hosts = Hosts(networks=["127.0.0.0/8"], resolve=resolve, setting="PULLFORGE_WEBHOOK_NETWORKS")
    async with receiving() as receiver:
        url = receiver.url(host="rebound.example")
        found = [await send(url, hosts) for _ in range(3)]
        assert [one.result for one in found] == ["taken", "failed", "taken"]
        assert "PULLFORGE_WEBHOOK_NETWORKS" in found[1].message
        assert [one.headers["host"] for one in receiver.taken] == [
            f"rebound.example:{receiver.port}"
        ] * 2
    assert asked == ["rebound.example"] * 3


async def test_without_the_setting_nothing_inside_is_reached(receiver: Receiver) -> None:
    attempt = await send(receiver.url(), Hosts(setting="PULLFORGE_WEBHOOK_NETWORKS"))
    assert attempt.result == "failed"
    assert "PULLFORGE_WEBHOOK_NETWORKS" in attempt.message
    assert receiver.taken == []


async def test_a_proxy_of_this_machine_is_used_and_asked_for_nothing_inside(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{receiver.port}")
    found = await send("http://hook.example/x", trusts_environment=True)
    assert found.result == "taken"
    assert receiver.taken[0].target == "http://hook.example/x"
    inside = Hosts(setting="PULLFORGE_WEBHOOK_NETWORKS")
    for url in ("http://10.0.0.1/", "http://2852039166/", "http://localhost:1/"):
        attempt = await send(url, inside, trusts_environment=True)
        assert "PULLFORGE_WEBHOOK_NETWORKS" in attempt.message
    assert len(receiver.taken) == 1


async def test_nothing_of_an_answer_is_in_the_next_request(receiver: Receiver) -> None:
    receiver.otherwise = Answer(204, {"set-cookie": "a=b; Path=/", "connection": "keep-alive"})
    async with httpx.AsyncClient(trust_env=False) as http:
        sender = HttpSender(guard(http, HERE), Places(HERE), Messages())
        for _ in range(3):
            assert (await sender.send(outgoing(receiver.url()), EVENT)).result == "taken"
    assert not any("cookie" in one.headers for one in receiver.taken)


async def test_many_are_sent_to_at_once(receiver: Receiver) -> None:
    gate = asyncio.Event()
    receiver.otherwise = Answer(after=gate)
    sending = [asyncio.create_task(send(receiver.url(), seconds=10)) for _ in range(30)]
    await receiver.count(30)
    gate.set()
    assert {one.result for one in await asyncio.gather(*sending)} == {"taken"}


def test_what_is_secret_is_in_no_text_of_the_program() -> None:
    one = replace(outgoing("https://u:p4ss@hook.example/?token=t0k3n"))
    for text in ("p4ss", "t0k3n", SECRET):
        assert text not in repr(one)
        assert text not in str(one)
