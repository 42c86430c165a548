"""Everything of the catalog that faces are answered from."""

from dataclasses import dataclass

from registry.catalog.accounts import CatalogAccounts, CatalogSessions
from registry.catalog.device_logins import CatalogDeviceLogins
from registry.catalog.environments import Environments
from registry.catalog.events import Events
from registry.catalog.follower import Follower
from registry.catalog.grants import Grants
from registry.catalog.idempotency import Idempotency
from registry.catalog.namespaces import Namespaces
from registry.catalog.principals import Principals
from registry.catalog.tokens import TokenStore
from registry.catalog.versions import Versions
from registry.sources.directory import Directory


@dataclass(frozen=True, slots=True)
class CatalogServices:
    """The catalog; made by wiring where there is a database."""

    namespaces: Namespaces
    environments: Environments
    versions: Versions
    events: Events
    grants: Grants
    tokens: TokenStore
    principals: Principals
    idempotency: Idempotency
    #: Waits until all servers know of a change.
    follower: Follower
    #: Where environments lead to, in memory.
    directory: Directory
    #: What logging in with a browser, or for a program, needs.
    accounts: CatalogAccounts
    sessions: CatalogSessions
    devices: CatalogDeviceLogins
