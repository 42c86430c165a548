"""The addresses of the pages, and what each asks the API for.

A page shows what the address of the API in ``asks`` tells: who may not ask for that does not get
the page. What a page does, by a form, is decided by the API where it is asked to.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from builder.errors import BuilderError
from registry.errors import RegistryError, Unsupported
from registry.web.api_client import Api, ApiProblem
from registry.web.asgi.disconnect import ClientGone
from registry.web.asgi.exact_route import exact_route
from registry.web.asgi.responses import BytesResponse, RawHeaders, header
from registry.web.browser.page import page
from registry.web.browser.session import BrowserRequest, name_of, see_other
from registry.web.html.assets import STATIC, find_asset
from registry.web.noting import note_refusal
from registry.web.observe import ROUTE
from registry.web.pages import (
    audit,
    blocks,
    contents,
    diffs,
    editing,
    environment_settings,
    environments,
    feeds,
    findings,
    grants,
    groups,
    me,
    members,
    namespace_activity,
    namespace_automation,
    namespace_findings,
    namespace_policy,
    namespace_settings,
    namespaces,
    packages,
    people,
    policies,
    proposals,
    queue,
    robots,
    schedules,
    search,
    sources,
    start,
    storage,
    versions,
    waivers,
    webhooks,
)
from registry.web.pages.visit import Visit
from registry.web.services import services_of
from registry.web.statuses import STATUSES, answer_for, handler_for, lines_for_browsers
from registry.web.system_errors import machine_trouble

Handler = Callable[[Visit], Awaitable[ASGIApp]]


@dataclass(frozen=True, slots=True)
class Page:
    """What one address answers."""

    #: Method and address of the API without whose answer there is no page.
    asks: str
    get: Handler | None = None
    post: Handler | None = None
    #: Whether what it answers is passed on as it is, and so is not compressed here.
    is_file: bool = False

    @property
    def methods(self) -> Mapping[str, Handler]:
        """What answers each method."""
        found = {"GET": self.get, "HEAD": self.get, "POST": self.post}
        return {method: handler for method, handler in found.items() if handler is not None}


_EXCEPTIONS: Final[dict[type[Exception], int]] = {Unsupported: 405}
_NO_STORE: Final = header("cache-control", "no-store")
_STATIC_PATH: Final = f"{STATIC}/{{name}}"

_ENVIRONMENT: Final = "GET /namespaces/{namespace}/environments/{environment}"
_VERSION: Final = f"{_ENVIRONMENT}/versions/{{number}}"

#: The first that fits answers.
ADDRESSES: Final[Mapping[str, Page]] = {
    "/": Page("GET /namespaces", start.get_start, start.post_start),
    "/search": Page("GET /environments", search.get_search),
    "/ui/policies": Page("GET /policies", policies.get_policies),
    "/ui/policies/test": Page("GET /policies", policies.get_trial, policies.post_trial),
    "/ui/policies/{policy}": Page(
        "GET /policies/{policy}", policies.get_policy, policies.post_policy
    ),
    "/ui/findings": Page("GET /findings", findings.get_findings),
    "/ui/blocks": Page("GET /blocks", blocks.get_blocks, blocks.post_blocks),
    "/ui/packages": Page("GET /packages/{package}/environments", packages.get_packages),
    "/ui/audit": Page("GET /audit", audit.get_audit),
    "/ui/audit/file": Page("GET /audit", audit.get_audit_file, is_file=True),
    "/ui/waivers": Page("GET /waivers", waivers.get_waivers),
    "/ui/waivers/new": Page("GET /waivers", waivers.get_new_waiver, waivers.post_new_waiver),
    "/ui/waivers/{id}": Page("GET /waivers/{id}", waivers.get_waiver, waivers.post_waiver),
    "/ui/proposals": Page("GET /proposals", proposals.get_proposals),
    "/ui/proposals/{id}": Page(
        "GET /proposals/{id}", proposals.get_proposal, proposals.post_proposal
    ),
    "/ui/schedules": Page("GET /schedules", schedules.get_schedules),
    "/ui/sources": Page("GET /sources", sources.get_sources, sources.post_sources),
    "/ui/sources/{id}": Page("GET /sources/{id}", sources.get_source, sources.post_source),
    "/ui/webhooks": Page("GET /webhooks", webhooks.get_webhooks, webhooks.post_webhooks),
    "/ui/webhooks/{id}": Page("GET /webhooks/{id}", webhooks.get_webhook, webhooks.post_webhook),
    "/me": Page("GET /users/me/roles", me.get_me, me.post_me),
    "/me/tokens": Page("GET /tokens", me.get_tokens, me.post_tokens),
    "/ui/users": Page("GET /users", people.get_users),
    "/ui/users/{user}": Page("GET /users/{user}", people.get_user, people.post_user),
    "/ui/groups": Page("GET /groups", groups.get_groups, groups.post_groups),
    "/ui/groups/{group}": Page("GET /groups/{group}", groups.get_group, groups.post_group),
    "/ui/grants": Page("GET /grants", grants.get_grants, grants.post_grants),
    "/ui/robots": Page("GET /users", robots.get_robots, robots.post_robots),
    "/ui/queue": Page("GET /queue", queue.get_queue, queue.post_queue),
    "/ui/storage": Page("GET /usage", storage.get_storage),
    "/new": Page("GET /users/me", editing.get_new, editing.post_new),
    "/new/completions": Page("GET /packages", editing.get_completions),
    "/new/namespace": Page(
        "GET /users/me", namespaces.get_new_namespace, namespaces.post_new_namespace
    ),
    "/{namespace}": Page("GET /namespaces/{namespace}", namespaces.get_namespace),
    "/{namespace}/-/members": Page(
        "GET /namespaces/{namespace}/members", members.get_members, members.post_members
    ),
    "/{namespace}/-/policy": Page(
        "GET /namespaces/{namespace}/policy",
        namespace_policy.get_policy,
        namespace_policy.post_policy,
    ),
    "/{namespace}/-/findings": Page(
        "GET /namespaces/{namespace}/findings", namespace_findings.get_findings
    ),
    "/{namespace}/-/waivers": Page("GET /namespaces/{namespace}", namespace_findings.get_waivers),
    "/{namespace}/-/proposals": Page(
        "GET /namespaces/{namespace}", namespace_automation.get_proposals
    ),
    "/{namespace}/-/schedules": Page(
        "GET /namespaces/{namespace}", namespace_automation.get_schedules
    ),
    "/{namespace}/-/sources": Page(
        "GET /namespaces/{namespace}",
        namespace_automation.get_sources,
        namespace_automation.post_sources,
    ),
    "/{namespace}/-/webhooks": Page(
        "GET /namespaces/{namespace}",
        namespace_automation.get_webhooks,
        namespace_automation.post_webhooks,
    ),
    "/{namespace}/-/usage": Page("GET /namespaces/{namespace}/usage", namespace_activity.get_usage),
    "/{namespace}/-/activity": Page(
        "GET /namespaces/{namespace}/events", namespace_activity.get_activity
    ),
    "/{namespace}/-/settings": Page(
        "GET /namespaces/{namespace}/retention",
        namespace_settings.get_settings,
        namespace_settings.post_settings,
    ),
    "/{namespace}/-/restore": Page(
        "GET /users/me", namespaces.get_restore, namespaces.post_restore
    ),
    "/{namespace}/{environment}": Page(_ENVIRONMENT, environments.get_environment),
    "/{namespace}/{environment}/badge.svg": Page(_ENVIRONMENT, feeds.get_badge, is_file=True),
    "/{namespace}/{environment}/versions.atom": Page(_ENVIRONMENT, feeds.get_feed, is_file=True),
    "/{namespace}/{environment}/-/use": Page(_ENVIRONMENT, environments.get_use),
    "/{namespace}/{environment}/-/versions": Page(
        f"{_ENVIRONMENT}/versions", versions.get_versions
    ),
    "/{namespace}/{environment}/-/versions/{number}": Page(
        _VERSION, versions.get_version, versions.post_version
    ),
    "/{namespace}/{environment}/-/versions/{number}/live": Page(
        f"{_VERSION}/progress", versions.get_live
    ),
    "/{namespace}/{environment}/-/versions/{number}/{form}": Page(
        _VERSION, contents.get_file, is_file=True
    ),
    "/{namespace}/{environment}/-/packages": Page(_ENVIRONMENT, contents.get_packages),
    "/{namespace}/{environment}/-/layers": Page(_ENVIRONMENT, contents.get_layers),
    "/{namespace}/{environment}/-/downloads": Page(_ENVIRONMENT, contents.get_downloads),
    "/{namespace}/{environment}/-/activity": Page(
        f"{_ENVIRONMENT}/events", environments.get_activity
    ),
    "/{namespace}/{environment}/-/edit": Page(
        f"{_ENVIRONMENT}/versions", editing.get_edit, editing.post_edit
    ),
    "/{namespace}/{environment}/-/schedule": Page(
        _ENVIRONMENT, schedules.get_schedule, schedules.post_schedule
    ),
    "/{namespace}/{environment}/-/settings": Page(
        _ENVIRONMENT, environment_settings.get_settings, environment_settings.post_settings
    ),
    "/{namespace}/{environment}/-/restore": Page(
        "GET /namespaces/{namespace}/environments?deleted=1",
        environment_settings.get_restore,
        environment_settings.post_restore,
    ),
    "/{namespace}/{environment}/-/diff": Page(_ENVIRONMENT, diffs.get_chosen_diff),
    "/{namespace}/{environment}/-/diff/{a}/{b}": Page(
        f"{_ENVIRONMENT}/diff/{{a}}/{{b}}", diffs.get_diff
    ),
}


def page_routes(api: ASGIApp) -> list[Route]:
    """Return the routes.

    Args:
        api: What answers ``/api/v1``.
    """
    routes = [exact_route(path, _Address(path, one, api)) for path, one in ADDRESSES.items()]
    return [exact_route(_STATIC_PATH, _Static()), *routes]


class _Static:
    """Answers files that pages load."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        scope[ROUTE] = _STATIC_PATH
        request: BrowserRequest = Request(scope, receive)
        found = find_asset(request.path_params["name"])
        if request.method not in {"GET", "HEAD"}:
            answer: ASGIApp = BytesResponse(405, [header("allow", "GET, HEAD")])
        elif found is None:
            answer = BytesResponse(404, [header("cache-control", "no-store")])
        else:
            takes_gzip = "gzip" in request.headers.get("accept-encoding", "")
            answer = found.answer(takes_gzip=takes_gzip)
        await answer(scope, receive, send)


class _Address:
    """What one address answers."""

    def __init__(self, path: str, one: Page, api: ASGIApp) -> None:
        self._path = path
        self._handlers = one.methods
        self._api = api
        gzipped = GZipMiddleware(self._answered, minimum_size=1000, compresslevel=5)
        self._app: ASGIApp = self._answered if one.is_file else gzipped

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        await self._app(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ROUTE] = self._path
        request: BrowserRequest = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except ApiProblem as problem:
            answer = _problem_page(request, problem, has_get="GET" in self._handlers)
        except (BuilderError, RegistryError) as error:
            note_refusal(scope, error)
            status = answer_for(type(error), _EXCEPTIONS, STATUSES)
            answer = _error_page(request, status, error.message, lines_for_browsers(error))
        except (ClientGone, ClientDisconnect):
            return
        await answer(scope, receive, send)

    async def _answer(self, request: BrowserRequest) -> ASGIApp:
        handler = handler_for(request.method, self._handlers)
        access = services_of(request.scope).access
        visit = Visit(request, Api(self._api, request.scope, access.named(name_of(request))))
        with machine_trouble():
            return await handler(visit)


def _problem_page(request: BrowserRequest, problem: ApiProblem, *, has_get: bool) -> ASGIApp:
    """Return the page that says what the API said; who has to log in is sent there."""
    can_login = services_of(request.scope).login is not None
    if problem.status == 401 and can_login and name_of(request) is None:
        path = request.scope["path"] if has_get else "/"
        query = request.scope["query_string"].decode("latin-1")
        back = f"{path}?{query}" if query and request.method in {"GET", "HEAD"} else path
        login = f"/login?{urlencode({'next': back})}"
        if request.headers.get("hx-request") == "true":  # a script would draw it into the page
            return BytesResponse(401, [header("hx-redirect", login), _NO_STORE])
        return see_other(login)
    # Without a database there is nothing by a name, whatever it is.
    status = 404 if problem.code == "DATABASE_MISSING" else problem.status
    return _error_page(request, status, problem.message, [])


def _error_page(
    request: BrowserRequest, status: int, message: str, lines: RawHeaders
) -> BytesResponse:
    return page(request, "error.html", status=status, lines=lines, code=status, message=message)
