"""Sending an event as mail, to one address, by the mail server of the settings.

What is in a mail was perhaps written by others: names, notes, messages. Each field of its head is
one line, whatever they are. A password goes over an encrypted connection alone.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final
from urllib.parse import unquote, urlsplit

import aiosmtplib

from registry.catalog.outgoing import Attempt, Outgoing
from registry.catalog.records import Event
from registry.webhooks.messages import Message, Messages

#: What is said where nothing is.
NO_MAIL: Final = (
    "no mail is sent from here: the administrator has to set PULLFORGE_SMTP and PULLFORGE_MAIL_FROM"
)
#: How long a mail server has for each of its answers, and for all.
_STEP_SECONDS: Final = 10.0
_TIMEOUT_SECONDS: Final = 18.0
_MAX_SUBJECT: Final = 200
_MAX_SAID: Final = 200
_UNSEEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_PORTS: Final = {"smtp": 25, "smtps": 465}


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed over."""

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    #: Whether the connection is encrypted from its beginning.
    is_encrypted: bool = False

    @property
    def start_tls(self) -> bool | None:
        """Whether it is encrypted then; ``None``: if the server offers that.

        On this machine nobody listens, and servers have certificates of nobody.
        """
        if self.is_encrypted or (self.host in _LOCAL and self.user is None):
            return False
        return True if self.user is not None else None


def parse_mail_server(text: str) -> MailServer:
    """Return what a setting says.

    >>> parse_mail_server("smtp://ada:p%40ss@mail.example.org:587")
    MailServer(host='mail.example.org', port=587, user='ada', is_encrypted=False)

    Raises:
        ValueError: It says nothing that can be used; the message has no password.
    """
    try:
        url = urlsplit(text)
        host, port = url.hostname, url.port
    except ValueError:
        url, host, port = urlsplit(""), None, None
    if url.scheme not in _PORTS or not host or url.path not in {"", "/"} or url.query:
        raise ValueError("mail is handed over at smtp://USER:PASSWORD@HOST:PORT, or smtps://…")
    user, password = url.username, url.password
    return MailServer(
        host,
        port or _PORTS[url.scheme],
        unquote(user) if user is not None else None,
        unquote(password) if password is not None else None,
        is_encrypted=url.scheme == "smtps",
    )


class MailSender:
    """Sends events as mail; implements :class:`registry.webhooks.sender.Sender`.

    Args:
        server: Where mail is handed over.
        sender: From whom it is.
        messages: Writes what is sent.
        tls: Whose certificates are accepted.
        now: The time.
    """

    def __init__(
        self,
        server: MailServer,
        sender: str,
        messages: Messages,
        tls: ssl.SSLContext,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._server = server
        self._sender = Address(addr_spec=sender)
        self._messages = messages
        self._tls = tls
        self._now = now

    async def send(self, outgoing: Outgoing, event: Event) -> Attempt:
        """Send an event, and return what came of it."""
        mail = self._mail(outgoing, event, self._messages.of(event))
        server, began = self._server, time.monotonic()
        try:
            async with asyncio.timeout(_TIMEOUT_SECONDS):
                await aiosmtplib.send(
                    mail,
                    sender=self._sender.addr_spec,
                    recipients=[outgoing.address],
                    hostname=server.host,
                    port=server.port,
                    username=server.user,
                    password=server.password,
                    use_tls=server.is_encrypted,
                    start_tls=server.start_tls,
                    tls_context=self._tls,
                    timeout=_STEP_SECONDS,
                    # Else the name of this machine is looked up, and everything waits for that.
                    local_hostname=self._sender.domain,
                )
            attempt = Attempt("taken")
        except TimeoutError:
            attempt = Attempt("failed", message="the mail server did not answer in time")
        except (aiosmtplib.SMTPException, OSError, ValueError) as exc:
            attempt = _failed(exc)
        return replace(attempt, duration_ms=int((time.monotonic() - began) * 1000))

    def _mail(self, outgoing: Outgoing, event: Event, message: Message) -> EmailMessage:
        domain = self._sender.domain
        whose = event.namespace or "service"
        mail = EmailMessage(policy=SMTP)
        mail["From"] = Address("pullforge", addr_spec=self._sender.addr_spec)
        mail["To"] = Address(addr_spec=outgoing.address)
        mail["Subject"] = _subject(message.sentence)
        mail["Date"] = format_datetime(self._now())
        # The same however often it is sent: whoever gets it twice shows it once.
        mail["Message-ID"] = f"<{message.id}.{outgoing.id}@{domain}>"
        mail["List-Id"] = f"<{whose}.pullforge.{domain}>"
        mail["Auto-Submitted"] = "auto-generated"
        at = event.at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        lines = [f"{message.sentence}.", "", f"At {at}."]
        lines += [message.link] if message.link else []
        lines += ["", "-- ", f"webhook {outgoing.id} of pullforge sends this: {_owner(event)}"]
        mail.set_content("\n".join(lines) + "\n", charset="utf-8")
        return mail


def _subject(sentence: str) -> str:
    """Return what is no more than text to Python's library.

    It decodes what looks encoded (RFC 2047), also a line's end, after it has looked for those.

    >>> _subject("=?utf-8?q?=0ABcc:_eve?= failed")
    '[pullforge] = ?utf-8?q?=0ABcc:_eve?= failed'
    """
    return f"[pullforge] {_UNSEEN.sub(' ', sentence).replace('=?', '= ?')}"[:_MAX_SUBJECT]


def _owner(event: Event) -> str:
    if event.namespace is None:
        return "administrators of the service can change it"
    return f"admins of '{event.namespace}' can change it"


def _failed(exc: Exception) -> Attempt:
    """Return what an error means: a recipient who is refused for good gets nothing any more."""
    if isinstance(exc, aiosmtplib.SMTPRecipientsRefused) and exc.recipients:
        exc = exc.recipients[0]
    if isinstance(exc, aiosmtplib.SMTPAuthenticationError):
        # What a server says of it has the name, or worse, in it.
        said = f"the mail server refuses the login of this service ({exc.code}): see PULLFORGE_SMTP"
        return Attempt("failed", exc.code, said)
    if isinstance(exc, aiosmtplib.SMTPResponseException):
        return _refused(exc)
    cause = exc.__cause__ or exc.__context__ or exc
    if isinstance(exc, ssl.SSLError) or isinstance(cause, ssl.SSLError):
        return Attempt("failed", message="the certificate of the mail server is not accepted")
    # That there is no STARTTLS has no class of its own.
    if isinstance(exc, aiosmtplib.SMTPNotSupported) or type(exc) is aiosmtplib.SMTPException:
        said = "the mail server offers no encrypted connection, or no login, which it has to"
        return Attempt("failed", message=said)
    if isinstance(exc, aiosmtplib.SMTPConnectError | OSError):
        return Attempt("failed", message="the mail server is not found, or takes no connections")
    return Attempt("failed", message=f"the mail could not be handed over: {type(exc).__name__}")


def _refused(exc: aiosmtplib.SMTPResponseException) -> Attempt:
    answer = _UNSEEN.sub(" ", exc.message)[:_MAX_SAID]
    said = f"the mail server answered {exc.code}"
    if 500 <= exc.code < 600 and isinstance(exc, aiosmtplib.SMTPRecipientRefused):
        return Attempt("gone", exc.code, f"{said} for this address: {answer}", answer)
    if 500 <= exc.code < 600 and isinstance(exc, aiosmtplib.SMTPDataError):
        return Attempt("refused", exc.code, f"{said} to this mail: {answer}", answer)
    return Attempt("failed", exc.code, f"{said}: {answer}", answer)
