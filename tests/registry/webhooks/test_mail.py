"""Sending mail, by a real mail server that does as it is told."""

import asyncio
import ssl
from datetime import UTC, datetime
from typing import Any

import pytest
import trustme
from aiosmtpd.smtp import SMTP

from registry.catalog.outgoing import Attempt, Outgoing
from registry.catalog.records import Event
from registry.webhooks.mail import MailSender, MailServer, parse_mail_server
from registry.webhooks.messages import Messages
from tests.registry.webhooks.post import Post, post_office

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

SENDER = "pullforge@example.org"
AT = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def contexts(authority: trustme.CA) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what a server has, and what a client has that trusts it."""
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    return theirs, ours


def event(**more: Any) -> Event:
    fields: dict[str, Any] = {
        "actor": None,
        "action": "version.failed",
        "namespace": "ada",
        "environment": "forecast",
        **more,
    }
    detail = {"message": fields.pop("message", "no such package")}
    return Event(7, AT, fields["actor"], None, "", fields["action"], fields["namespace"],
                 fields["environment"], 3, detail)  # fmt: skip


async def send(
    server: MailServer, what: Event | None = None, tls: ssl.SSLContext | None = None
) -> Attempt:
    messages = Messages("https://pull.example.org")
    sender = MailSender(server, SENDER, messages, tls or ssl.create_default_context())
    to = Outgoing(4, "mail", "bob@example.net", "standard", (), 0, None)  # type: ignore[arg-type]
    return await sender.send(to, what or event())


async def test_one_address_gets_a_sentence_and_where_to_look() -> None:
    async with post_office() as post:
        attempt = await send(MailServer("127.0.0.1", post.port))
        assert (attempt.result, attempt.message) == ("taken", "")
        ((recipients, mail),) = post.taken
    assert recipients == ["bob@example.net"]
    assert mail["Subject"] == "[pullforge] ada/forecast v3 failed: no such package"
    assert (mail["From"], mail["To"]) == (f"pullforge <{SENDER}>", "bob@example.net")
    assert mail["Message-ID"] == "<evt_7.4@example.org>"
    assert mail["List-Id"] == "<ada.pullforge.example.org>"
    assert mail["Auto-Submitted"] == "auto-generated"
    text = mail.get_content()
    assert "ada/forecast v3 failed: no such package." in text
    assert "https://pull.example.org/ada/forecast/-/versions/3" in text
    assert "admins of 'ada' can change it" in text


@pytest.mark.parametrize(
    "odd",
    [
        *("x\r\nBcc: eve@example.org\r\n\r\nhello", "x\nSubject: y", "\r.\r\nQUIT\r\n", "x\0y"),
        *("ü" * 400, "\u2028To: eve@example.org", "=?utf-8?q?=0ABcc:_eve?=", "x" * 2000, "\x85a"),
        "\r\n.\r\nMAIL FROM:<eve@example.org>\r\n",
    ],
)
async def test_nothing_that_others_write_makes_a_line_of_the_head(odd: str) -> None:
    async with post_office() as post:
        attempt = await send(MailServer("127.0.0.1", post.port), event(actor=odd, message=odd))
        assert attempt.result == "taken", attempt
        ((recipients, mail),) = post.taken
        (raw,) = post.raw
    assert recipients == ["bob@example.net"]
    heads = [name for name, _ in mail.items()]
    assert heads == [
        *("From", "To", "Subject", "Date", "Message-ID", "List-Id", "Auto-Submitted"),
        *("Content-Type", "Content-Transfer-Encoding", "MIME-Version"),
    ]
    assert len(str(mail["Subject"])) <= 200
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))


async def test_a_password_goes_over_an_encrypted_connection_alone(authority: trustme.CA) -> None:
    theirs, ours = contexts(authority)
    async with post_office(theirs) as post:
        server = MailServer("127.0.0.1", post.port, "ada", "p4ss w@rd")
        assert (await send(server, tls=ours)).result == "taken"
        assert post.logins == [(b"ada", True)]
    async with post_office() as post:  # which offers none
        attempt = await send(MailServer("127.0.0.1", post.port, "ada", "p4ss w@rd"), tls=ours)
        assert attempt.result == "failed"
        assert "no encrypted connection" in attempt.message
        assert post.logins == []


async def test_a_server_that_is_encrypted_from_the_beginning(authority: trustme.CA) -> None:
    theirs, ours = contexts(authority)
    post = Post()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(post, hostname="mail.test", loop=loop), "127.0.0.1", 0, ssl=theirs
    )
    port = server.sockets[0].getsockname()[1]
    assert (
        await send(MailServer("127.0.0.1", port, is_encrypted=True), tls=ours)
    ).result == "taken"
    attempt = await send(MailServer("127.0.0.1", port, is_encrypted=True))
    assert attempt.message == "the certificate of the mail server is not accepted"
    server.close()


async def test_a_certificate_of_nobody_is_not_accepted(authority: trustme.CA) -> None:
    theirs, _ = contexts(authority)
    async with post_office(theirs) as post:
        attempt = await send(MailServer("127.0.0.1", post.port, "ada", "p4ss w@rd"))
        assert attempt.message == "the certificate of the mail server is not accepted"
        assert (post.taken, post.logins) == ([], [])


async def test_a_login_that_is_refused_is_said_without_what_was_sent(
    authority: trustme.CA,
) -> None:
    theirs, ours = contexts(authority)
    async with post_office(theirs) as post:
        attempt = await send(MailServer("127.0.0.1", post.port, "ada", "wr0ng"), tls=ours)
        assert (attempt.result, attempt.status) == ("failed", 535)
        assert "PULLFORGE_SMTP" in attempt.message
        assert "wr0ng" not in str(attempt)


@pytest.mark.parametrize(
    ("to_recipient", "to_mail", "result", "status"),
    [
        ("450 4.2.0 greylisted, try again later", "250 OK", "failed", 450),
        ("550 5.1.1 no such mailbox", "250 OK", "gone", 550),
        ("250 OK", "451 4.3.0 try again later", "failed", 451),
        ("250 OK", "554 5.7.1 looks like spam", "refused", 554),
        ("421 4.3.2 closing", "250 OK", "failed", 421),
    ],
)
async def test_what_is_refused_is_tried_again_given_up_or_the_end(
    to_recipient: str, to_mail: str, result: str, status: int
) -> None:
    async with post_office() as post:
        post.to_recipient, post.to_mail = to_recipient, to_mail
        attempt = await send(MailServer("127.0.0.1", post.port))
        assert (attempt.result, attempt.status) == (result, status), attempt
        assert str(status) in attempt.message


async def test_a_server_that_is_down_is_asked_again_later() -> None:
    async with post_office() as post:
        port = post.port
    attempt = await send(MailServer("127.0.0.1", port))
    said = "the mail server is not found, or takes no connections"
    assert (attempt.result, attempt.message) == ("failed", said)


async def test_a_server_that_says_nothing_is_not_waited_for_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("registry.webhooks.mail._STEP_SECONDS", 0.2)

    gate = asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    attempt = await send(MailServer("127.0.0.1", server.sockets[0].getsockname()[1]))
    assert attempt.result == "failed"
    gate.set()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("smtp://mail.example.org", MailServer("mail.example.org", 25)),
        ("smtps://mail.example.org", MailServer("mail.example.org", 465, is_encrypted=True)),
        ("smtp://u:p%40s@h:587/", MailServer("h", 587, "u", "p@s")),
    ],
)
def test_a_setting_is_read(text: str, server: MailServer) -> None:
    assert parse_mail_server(text) == server
    assert "p@s" not in repr(server)


@pytest.mark.parametrize("text", ["mail.example.org", "http://u:p4ss@h", "smtp://", "smtp://h:x/"])
def test_a_setting_that_is_none_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(ValueError, match="handed over at smtp://") as error:
        parse_mail_server(text)
    assert "p4ss" not in str(error.value)


def test_a_password_alone_has_a_connection_encrypted() -> None:
    assert MailServer("h", 25).start_tls is None
    assert MailServer("h", 25, "u", "p").start_tls is True
    assert MailServer("localhost", 25).start_tls is False
    assert MailServer("localhost", 25, "u", "p").start_tls is True
    assert MailServer("h", 465, "u", "p", is_encrypted=True).start_tls is False
