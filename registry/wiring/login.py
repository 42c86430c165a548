"""Logging in with a browser: the provider, and who keeps accounts and sessions."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import httpx

from registry.auth.authorities import trusted_authorities
from registry.auth.device_logins import DeviceLogins
from registry.auth.oidc import Oidc, OidcClient
from registry.auth.oidc_provider import OidcProvider
from registry.auth.sessions import Accounts, Sessions
from registry.settings import Settings
from registry.web.services import LoginServices

_CONNECTIONS = httpx.Limits(max_connections=20, max_keepalive_connections=5)


@asynccontextmanager
async def open_login(
    settings: Settings, accounts: Accounts, sessions: Sessions, devices: DeviceLogins
) -> AsyncIterator[LoginServices]:
    """Give what logins are answered from; the provider is asked when somebody logs in."""
    async with open_oidc(settings) as oidc:
        yield LoginServices(accounts, sessions, devices, oidc)


@asynccontextmanager
async def open_oidc(settings: Settings) -> AsyncIterator[Oidc | None]:
    """Give the way to log in at the provider, or ``None`` where none is set."""
    if settings.oidc_issuer is None:
        yield None
        return
    secret = settings.oidc_client_secret
    client = OidcClient(
        settings.oidc_client_id,
        secret.get_secret_value() if secret is not None else None,
        tuple(settings.oidc_scopes),
        settings.oidc_name_claim,
        settings.oidc_groups_claim,
    )
    async with (
        httpx.AsyncClient(verify=trusted_authorities(), timeout=10, limits=_CONNECTIONS) as http,
        aclosing(OidcProvider(http, settings.oidc_issuer)) as provider,
    ):
        yield Oidc(provider, client)
