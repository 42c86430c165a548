"""What the audit log is told of requests: who, through what, from where.

Nothing here waits, and nothing is looked up: what is told is written later.
"""

from collections.abc import Mapping
from typing import Any, Final

from starlette.types import Scope

from builder.errors import DomainError
from registry.auth.trail import Noted, Via
from registry.errors import Denied, EnvironmentUnknown, LoginRefused, NamespaceUnknown, Unauthorized
from registry.web.asgi.headers import client_address, headers_of
from registry.web.observe import USER
from registry.web.services import services_of

#: The key of the scope under which the number of the token is left that a request came with.
TOKEN: Final = "pullforge.token"  # noqa: S105 (a name)
#: The key of the scope under which it is left through what a request came, where its address does
#: not say.
VIA: Final = "pullforge.via"
#: What our own command line calls itself.
_CLI: Final = "pullforge/"
_LOGIN: Final = ("/login", "/logout", "/api/v1/login")
_MAX_PATH: Final = 300
_MAX_AGENT: Final = 200


def via_of(scope: Scope) -> Via:
    """Return through what a request came.

    >>> via_of({"path": "/v2/env/numpy/manifests/latest", "headers": []})
    'registry'
    >>> via_of({"path": "/api/v1/grants", "headers": [(b"user-agent", b"pullforge/1.0")]})
    'cli'
    """
    if VIA in scope:
        via: Via = scope[VIA]
        return via
    path: str = scope["path"]
    if path == "/v2" or path.startswith("/v2/"):
        return "registry"
    if path.startswith(_LOGIN):
        return "login"
    return "cli" if headers_of(scope).get("user-agent", "").startswith(_CLI) else "api"


def note(
    scope: Scope,
    action: str,
    *,
    actor: str | None = None,
    namespace: str | None = None,
    environment: str | None = None,
    detail: Mapping[str, Any] | None = None,
    needs_namespace: bool = False,
) -> None:
    """Have something told of whoever sent a request; ``actor``, if it is not known by itself."""
    services_of(scope).trail.note(
        _noted(scope, action, actor, namespace, environment, detail, needs_namespace)
    )


def note_change(scope: Scope, action: str, repository: str, detail: Mapping[str, Any]) -> None:
    """Have a change told of what was pushed to a repository."""
    namespace, environment = _place_of(scope, repository)
    told = {"repository": repository, **detail}
    services_of(scope).trail.change(
        _noted(scope, action, None, namespace, environment, told, False)
    )


def note_refusal(scope: Scope, error: DomainError, *, repository: str | None = None) -> None:
    """Have a refusal told, if an error is one: of rights, or of a policy.

    Whoever asks for what they may not know of is answered that there is nothing; that is told, too,
    if there is such a namespace, of those who have logged in.
    """
    fields: Mapping[str, Any] = scope.get("path_params") or {}
    namespace, environment = fields.get("namespace"), fields.get("environment")
    if repository is not None:
        namespace, environment = _place_of(scope, repository)
    is_hidden = (
        isinstance(error, NamespaceUnknown | EnvironmentUnknown)
        and error.is_theirs_not
        and USER in scope
    )
    if isinstance(error, Unauthorized) or (error.kind != "denied" and not is_hidden):
        return
    action = "policy.refused"
    if isinstance(error, LoginRefused):
        action = "login.failed"
    elif isinstance(error, Denied) or is_hidden:
        action = "access.refused"
    detail = {
        "method": str(scope["method"])[:20],
        "path": scope["path"][:_MAX_PATH],
        "error": type(error).__name__,
        "sentence": error.message,
    }
    note(
        scope,
        action,
        namespace=namespace,
        environment=environment,
        detail=detail,
        needs_namespace=is_hidden,
    )


def note_hidden(scope: Scope, repository: str) -> None:
    """Have it told that somebody who has logged in asked for a repository that is none of theirs.

    It is told only if it is in a namespace.
    """
    if USER not in scope:
        return
    namespace, _, environment = repository.partition("/")
    detail = {
        "method": str(scope["method"])[:20],
        "path": scope["path"][:_MAX_PATH],
        "error": "NameUnknown",
        "sentence": "it is private, and was answered as if it were not there",
    }
    note(
        scope,
        "access.refused",
        namespace=namespace,
        environment=environment or None,
        detail=detail,
        needs_namespace=True,
    )


def _noted(
    scope: Scope,
    action: str,
    actor: str | None,
    namespace: str | None,
    environment: str | None,
    detail: Mapping[str, Any] | None,
    needs_namespace: bool,
) -> Noted:
    return Noted(
        action,
        via_of(scope),
        actor if actor is not None else scope.get(USER),
        scope.get(TOKEN),
        client_address(scope),
        namespace,
        environment,
        {**(detail or {}), **_agent(scope)},
        needs_namespace,
    )


def _agent(scope: Scope) -> Mapping[str, str]:
    """Return what a client says that it is: it can say anything."""
    agent = headers_of(scope).get("user-agent", "")[:_MAX_AGENT]
    return {"agent": agent} if agent else {}


def _place_of(scope: Scope, repository: str) -> tuple[str | None, str | None]:
    """Return the namespace that a repository is in, and its name there; ``None``: in none."""
    namespace, _, environment = repository.partition("/")
    if services_of(scope).access.entitlements.is_namespace(namespace):
        return namespace, environment or None
    return None, None
