"""A mail server that takes mail, or does not, as a test says."""

import asyncio
import email
import email.policy
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


class Post:
    """A mail server: whom it takes mail for, and what it took."""

    def __init__(self) -> None:
        self.port = 0
        self.taken: list[tuple[list[str], EmailMessage]] = []
        self.raw: list[bytes] = []
        #: What is answered to a recipient, to a mail, and who logged in how.
        self.to_recipient = "250 OK"
        self.to_mail = "250 OK"
        self.logins: list[tuple[bytes, bool]] = []

    async def handle_RCPT(  # noqa: N802 (aiosmtpd's name)
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if self.to_recipient.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.to_recipient

    async def handle_DATA(  # noqa: N802 (aiosmtpd's name)
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        if self.to_mail.startswith("250"):
            data = envelope.original_content or b""
            self.raw.append(data)
            mail = email.message_from_bytes(data, policy=email.policy.default)
            assert isinstance(mail, EmailMessage)
            self.taken.append((list(envelope.rcpt_tos), mail))
        return self.to_mail

    def authenticate(
        self, _server: SMTP, session: Session, _envelope: Envelope, _mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, session.ssl is not None))
        return AuthResult(success=data.password == b"p4ss w@rd", handled=False)


@asynccontextmanager
async def post_office(tls: ssl.SSLContext | None = None, **more: Any) -> AsyncIterator[Post]:
    post = Post()

    def serve() -> SMTP:
        return SMTP(
            post,
            hostname="mail.test",
            tls_context=tls,
            authenticator=post.authenticate,
            auth_require_tls=False,
            loop=asyncio.get_running_loop(),
            **more,
        )

    server = await asyncio.get_running_loop().create_server(serve, "127.0.0.1", 0)
    post.port = server.sockets[0].getsockname()[1]
    try:
        yield post
    finally:
        server.close()
