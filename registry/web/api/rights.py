"""Who may do what through the API: what the table of addresses says, held against the caller.

What somebody may not see is answered as what does not exist is: by the same sentence, before
anything is looked up. Who has not logged in is asked to, wherever that could help.
"""

from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request
from starlette.types import Scope

from registry.auth.access import Access
from registry.auth.policy import Caller
from registry.auth.rights import ALL_BUILDS, ALL_ENVIRONMENTS, Need, Verb
from registry.auth.roles import Role, ServiceRole, covers, glob_matches
from registry.auth.trail import AUDIT_ONLY, Via
from registry.catalog.records import Actor, Event, Visibility
from registry.catalog.slugs import MAX_LENGTH, is_slug, slug_of
from registry.errors import (
    CatalogNameInvalid,
    DatabaseMissing,
    DatabaseUnavailable,
    Denied,
    EnvironmentUnknown,
    NamespaceUnknown,
    Unauthorized,
)
from registry.images.catalog import require_key
from registry.sources.directory import Directory
from registry.web.access import caller_of, challenge, require
from registry.web.asgi.headers import client_address
from registry.web.services import AppState


async def authorize(request: Request[AppState], verb: Verb) -> None:
    """Return if whoever sent the request may do this with the builds that its address names.

    It is decided by the address alone, before anything is looked up: the answer does not tell
    whether a build or a request exists.

    Raises:
        BuildUnknown: The address names what can be no build.
        Unauthorized: They have to log in.
        Denied: They may not.
        TooManyLogins: They have to wait before they log in again.
    """
    keys = [request.path_params[name] for name in ("key", "other") if name in request.path_params]
    for key in keys:
        require_key(key)
    everything = [Need(verb, ALL_ENVIRONMENTS), Need(verb, ALL_BUILDS)]
    await require(request.scope, *([Need(verb, f"build/{key}") for key in keys] or everything))


async def authorize_place(request: Request[AppState]) -> None:
    """Return if whoever sent the request may see anything in the namespace that its query names.

    Raises:
        DatabaseMissing: There are no namespaces here.
        DatabaseUnavailable: It is not known what they may.
        Unauthorized: They have to log in.
        NamespaceUnknown: They may not see it, or there is none.
        EnvironmentUnknown: What the query names can be no environment's.
        TooManyLogins: They have to wait before they log in again.
    """
    catalog = request.state["services"].catalog
    if catalog is None:
        raise DatabaseMissing
    if not catalog.follower.has_loaded:
        raise DatabaseUnavailable
    rights = await rights_of(request, catalog.directory)
    namespace = request.query_params["namespace"]
    environment = request.query_params.get("environment", "a")
    if not is_slug(namespace):
        raise NamespaceUnknown(namespace)
    if not is_slug(environment):
        raise EnvironmentUnknown(namespace, environment)
    rights.require_inside(namespace)


@dataclass(frozen=True, slots=True)
class Rights:
    """What whoever sent a request may do with the catalog: looked up anew at each question."""

    access: Access
    directory: Directory
    caller: Caller

    @property
    def name(self) -> str | None:
        """Their name; ``None`` before they have logged in."""
        return self.caller.identity.name if self.caller.identity is not None else None

    @property
    def service_role(self) -> ServiceRole | None:
        """What they are in the service."""
        return self.access.service_role(self.caller)

    @property
    def token(self) -> int | None:
        """The number of the token that they use; ``None``: none of the database."""
        return self.caller.token.id if self.caller.token is not None else None

    @property
    def ends_at(self) -> datetime | None:
        """When the token that they use ends; ``None``: never, or they use none."""
        return self.caller.expires_at

    @property
    def is_limited(self) -> bool:
        """Whether they use a token that may do less than they themselves."""
        return bool(self.caller.limits)

    @property
    def _unlimited(self) -> "Rights":
        return Rights(self.access, self.directory, self.caller.unlimited)

    def actor(self, scope: Scope, via: Via) -> Actor:
        """Return who does what they ask for, as events name them."""
        return Actor(self.name, self.token, client_address(scope)[:64], via)

    def renewed(self) -> "Rights | None":
        """Return their rights where something goes on; ``None``: they are nobody any more."""
        caller = self.access.renewed(self.caller)
        return None if caller is None else Rights(self.access, self.directory, caller)

    def sees(self, event: Event) -> bool:
        """Tell whether they see an event: by its environment, or the whole of its namespace."""
        if self.service_role is not None:
            return True
        if event.action in AUDIT_ONLY:
            return False
        return event.namespace is not None and self.has_role(
            "viewer", event.namespace, event.environment
        )

    def visible(self) -> Visibility:
        """Return what they may see at this moment."""
        found = self.access.visible(self.caller)
        return Visibility(found.globs, is_everything=found.is_everything)

    def own(self) -> Visibility:
        """Return what of that was given to them, or to a group of theirs."""
        return Visibility(self.access.own(self.caller).globs)

    def groups(self) -> list[str]:
        """Return the groups that they are in."""
        return (
            sorted(self.access.entitlements.groups_of(self.name)) if self.name is not None else []
        )

    def why(self, namespace: str, environment: str | None) -> list[str]:
        """Return where their role comes from."""
        return self.access.why(self.caller, namespace, environment)

    def is_open(self, namespace: str, environment: str) -> bool:
        """Tell whether everybody may see and pull an environment, without a login."""
        stranger = self.access.named(None)
        return covers(self.access.role(stranger, namespace, environment), "viewer")

    def role(self, namespace: str, environment: str | None = None) -> Role | None:
        """Return their role there; nobody has one where no name is so long."""
        if max(len(namespace), len(environment or "")) > MAX_LENGTH:
            return None
        return self.access.role(self.caller, namespace, environment)

    def has_role(self, role: Role, namespace: str, environment: str | None = None) -> bool:
        """Tell whether they have a role there, or a higher one."""
        return covers(self.role(namespace, environment), role)

    def require_login(self) -> str:
        """Return the name under which they have logged in.

        Raises:
            Unauthorized: They have not.
            Denied: Nobody can.
        """
        if self.name is not None:
            return self.name
        if not self.access.takes_logins:
            raise Denied(
                "nobody can log in here: the administrator has to set PULLFORGE_AUTH_FILE and to"
                " add users with 'pullforge user add'"
            )
        raise self._stranger()

    def require_role(self, role: Role, namespace: str, environment: str | None = None) -> None:
        """Return if they have a role on an environment, or with ``None`` on a whole namespace.

        Raises:
            Unauthorized: They have to log in.
            NamespaceUnknown: They may not even see it; or there is none.
            EnvironmentUnknown: As for a namespace.
            Denied: They see it, and may not do this.
        """
        if self.has_role(role, namespace, environment):
            return
        if self.name is None and self.access.takes_logins:
            raise self._stranger()
        seen = (
            self.sees_inside(namespace)
            if environment is None
            else self.has_role("viewer", namespace, environment)
        )
        if not seen:
            raise _unknown(namespace, environment)
        place = namespace if environment is None else f"{namespace}/{environment}"
        if self.is_limited and self._unlimited.has_role(role, namespace, environment):
            raise Denied(
                f"this needs the role {role} on '{place[:201]}', and the token is limited to less:"
                " use one without that limit"
            )
        raise Denied(
            f"this needs the role {role} on '{place[:201]}', and"
            f" {self.role_in_words(namespace, environment)}: an admin of '{namespace[:100]}' can"
            " give it"
        )

    def require_inside(self, namespace: str) -> None:
        """Return if they may see a namespace: all of it, or anything in it.

        Raises:
            Unauthorized: They have to log in.
            NamespaceUnknown: They may not; or there is none.
        """
        if self.sees_inside(namespace):
            return
        if self.name is None and self.access.takes_logins:
            raise self._stranger()
        raise _unknown(namespace, None)

    def require_service_role(self, role: ServiceRole) -> None:
        """Return if they are administrator of the service, or for ``auditor`` either.

        Raises:
            Unauthorized: They have to log in.
            Denied: They are not.
        """
        mine = self.service_role
        if mine in {"administrator", role}:
            return
        self.require_login()
        raise Denied(f"'{self.name}' may not do this: it is for the {role} of the service")

    def require_new_namespace(self, slug: str) -> None:
        """Return if they may have a namespace of that slug: the one of their own name, or any.

        Raises:
            Unauthorized: They have to log in.
            Denied: They may not.
        """
        if self.service_role == "administrator" or slug == self._own_slug():
            return
        name = self.require_login()
        raise Denied(
            f"'{name}' may make the namespace of their own name alone: ask an administrator of the"
            f" service for '{slug[:100]}'"
        )

    def require_whole(self, does_not: str) -> None:
        """Return if they do not use a token that may do less than they themselves.

        Args:
            does_not: What such a one does not do, e.g. ``"makes no tokens"``.

        Raises:
            Denied: They do: it must not make one that may do more, nor end others.
        """
        if self.is_limited or self.caller.child is not None:
            raise Denied(
                f"a token that is limited to some rights {does_not}: log in with a password"
            )

    def role_in_words(self, namespace: str, environment: str | None) -> str:
        """Return what they are there, as a part of a sentence."""
        mine = self.role(namespace, environment)
        who = f"'{self.name}'" if self.name is not None else "whoever has not logged in"
        return f"{who} is {mine} there" if mine is not None else f"{who} has no role on all of it"

    def is_there_by_office(self, namespace: str, environment: str | None = None) -> bool:
        """Tell whether they see a place as administrator or auditor alone, with no role of it."""
        if self.service_role is None or len(namespace) > MAX_LENGTH:
            return False
        return self.access.entitlements.role(self.name, namespace, environment) is None

    def owns_name(self, slug: str) -> bool:
        """Tell whether their own name is written so in addresses."""
        return slug == self._own_slug()

    def is_user(self, name: str) -> bool:
        """Tell whether somebody of the auth file has exactly that name."""
        return name in self.access.policy.identities

    def _own_slug(self) -> str | None:
        if self.name is None or self.is_limited:
            return None
        try:
            return slug_of(self.name)
        except CatalogNameInvalid:
            return None

    def sees_inside(self, namespace: str) -> bool:
        """Tell whether they see a namespace: all of it, or anything in it."""
        if len(namespace) > MAX_LENGTH:
            return False
        if self.has_role("viewer", namespace):
            return True
        # Only for those who have something in it: others wait no longer than for what is not there.
        parts = [two for one, two in self.visible().globs if glob_matches(one, namespace)]
        exact = [two for two in parts if "*" not in two]
        if any(self.directory.get(namespace, one) is not None for one in exact):
            return True
        return len(exact) < len(parts) and any(
            path.startswith(f"{namespace}/") and self.has_role("viewer", *path.split("/", 1))
            for path in self.directory.names()
        )

    def _stranger(self) -> Unauthorized:
        return challenge("to see what is here, and to change it, log in first")


async def rights_of(request: Request[AppState], directory: Directory) -> Rights:
    """Return what whoever sent a request may do with the catalog.

    Raises:
        Unauthorized: Their credentials are wrong, or good for images alone.
        TooManyLogins: They have to wait before they log in again.
    """
    caller = await caller_of(request.scope)
    if caller.identity is not None and caller.scope is not None:
        raise challenge(
            "this token is for images alone: log in with a name and a password, or with a token"
            " of your account"
        )
    return Rights(request.state["services"].access, directory, caller)


def _unknown(namespace: str, environment: str | None) -> NamespaceUnknown | EnvironmentUnknown:
    error: NamespaceUnknown | EnvironmentUnknown = NamespaceUnknown(namespace)
    if environment is not None:
        error = EnvironmentUnknown(namespace, environment)
    error.is_theirs_not = True
    return error
