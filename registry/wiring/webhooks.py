"""Who is told what happened: requests and mail, and where they may go."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import httpx

from builder.network.hosts import Hosts, guard
from registry.auth.authorities import trusted_authorities
from registry.catalog.services import CatalogServices
from registry.catalog.webhook_records import WebhookKind
from registry.catalog.webhooks import ProblemWith
from registry.maintenance.periodic import PeriodicJob, run_forever
from registry.settings import Settings
from registry.telemetry import Metrics
from registry.webhooks.dispatcher import Dispatcher
from registry.webhooks.mail import NO_MAIL, MailSender, parse_mail_server
from registry.webhooks.messages import Messages
from registry.webhooks.sender import HttpSender, Places, Sender

#: How often old deliveries are forgotten, and how often is told how webhooks are, in seconds.
_PURGE_SECONDS: Final = 3600
_HEALTH_SECONDS: Final = 15
#: Each event has a connection of its own: one that was kept might be closed by then, and the
#: address might be another's.
_CONNECTIONS: Final = httpx.Limits(max_connections=64, max_keepalive_connections=0)
_SETTING: Final = "PULLFORGE_WEBHOOK_NETWORKS"


def problem_with(settings: Settings) -> ProblemWith:
    """Return what says why nothing can be sent to an address, as far as it is known at once."""
    places = _places(settings)

    def problem(kind: WebhookKind, address: str) -> str:
        if kind == "webhook":
            return places.problem_with(address)
        if settings.smtp is None or settings.mail_from is None:
            return NO_MAIL
        return ""

    return problem


@asynccontextmanager
async def open_webhooks(
    settings: Settings, catalog: CatalogServices, metrics: Metrics
) -> AsyncIterator[None]:
    """Send what happens to whom it is to be sent, until the exit.

    Raises:
        ValueError: A setting of mail says nothing that can be used.
    """
    trusted = trusted_authorities()
    async with httpx.AsyncClient(verify=trusted, limits=_CONNECTIONS, timeout=30) as http:
        senders: dict[WebhookKind, Sender] = {"webhook": _http_sender(settings, http)}
        mail = _mail_sender(settings, trusted)
        if mail is not None:
            senders["mail"] = mail
        dispatcher = Dispatcher(
            catalog.outgoing, senders, catalog.follower.changed, on_health=metrics.webhooks
        )
        jobs = [
            PeriodicJob("deliveries", _PURGE_SECONDS, catalog.deliveries.purge),
            PeriodicJob("webhooks", _HEALTH_SECONDS, dispatcher.tell_health),
        ]
        works = [asyncio.create_task(one) for one in (dispatcher.run(), run_forever(jobs))]
        try:
            yield
        finally:
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)


def _http_sender(settings: Settings, http: httpx.AsyncClient) -> HttpSender:
    places = _places(settings)
    return HttpSender(guard(http, places.hosts), places, _messages(settings))


def _places(settings: Settings) -> Places:
    # Whoever has allowed networks of their own says so of this service, too.
    is_own_refused = settings.public_url is not None and not settings.webhook_networks
    own = urlsplit(settings.public_url or "").netloc.lower() if is_own_refused else ""
    return Places(Hosts(networks=settings.webhook_networks, setting=_SETTING), own)


def _mail_sender(settings: Settings, trusted: ssl.SSLContext) -> MailSender | None:
    if settings.smtp is None or settings.mail_from is None:
        return None
    server = parse_mail_server(settings.smtp.get_secret_value())
    return MailSender(server, settings.mail_from, _messages(settings), trusted)


def _messages(settings: Settings) -> Messages:
    return Messages(settings.public_url.rstrip("/") if settings.public_url else None)
