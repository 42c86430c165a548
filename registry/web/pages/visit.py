"""One request of a browser: who sent it, what it says, and how it is answered."""

import asyncio
import json
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from urllib.parse import quote

from httpx_sse import ServerSentEvent
from starlette.types import ASGIApp

from registry.auth.roles import ServiceRole
from registry.web.api_client import Answer, Api, ApiProblem, Query, unless
from registry.web.asgi.responses import BytesResponse, RawHeaders
from registry.web.browser.forms import Fields, form_of, query_of
from registry.web.browser.page import fragment, page
from registry.web.browser.session import BrowserRequest, cookies_of, name_of, see_other
from registry.web.services import services_of

_JSON: Final = "application/json"
#: What is not there, and what may not be seen.
_NOTHING: Final = (401, 403, 404)


@dataclass(frozen=True)
class Visit:
    """One request of a browser."""

    request: BrowserRequest
    api: Api

    @cached_property
    def name(self) -> str | None:
        """Who has logged in."""
        return name_of(self.request)

    @property
    def service_role(self) -> ServiceRole | None:
        """What they are in the service; to show what is of use to them: the API decides."""
        access = services_of(self.request.scope).access
        return access.service_role(access.named(self.name))

    @cached_property
    def query(self) -> Fields:
        """The fields of the address.

        Raises:
            FormRefused: There are too many.
        """
        return query_of(self.request)

    @property
    def is_fragment(self) -> bool:
        """Whether a script asks for a part of the page alone."""
        return self.request.headers.get("hx-request") == "true"

    def field(self, name: str) -> str:
        """Return a field of the address, quoted: fit for an address of the API, or of a page."""
        return quote(str(self.request.path_params[name]), safe="")

    @staticmethod
    def quoted(text: str) -> str:
        """Return text as a part of an address."""
        return quote(text, safe="")

    async def form(self, max_bytes: int | None = None, max_fields: int | None = None) -> Fields:
        """Return the fields of a form that this host's own page has sent.

        Raises:
            FormRefused: Another page has sent it, or it is no form.
            TooLarge: It is larger than any of ours, or than ``max_bytes``.
        """
        limits = {"max_bytes": max_bytes, "max_fields": max_fields}
        return await form_of(self.request, **{k: v for k, v in limits.items() if v is not None})

    async def ask(
        self,
        method: str,
        path: str,
        *,
        json_body: Any = None,
        body: bytes = b"",
        content_type: str | None = None,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return what the API answers, e.g. to ``"POST", "/waivers"`` with ``json_body``.

        Raises:
            ApiProblem: It refuses.
        """
        if json_body is not None:
            body, content_type = json.dumps(json_body).encode(), _JSON
        kind = {"content-type": content_type} if content_type else {}
        lines = {**kind, **(headers or {})}
        return await self.api.ask(method, path, query=query, headers=lines, body=body)

    async def get(self, path: str, **query: str | int | None) -> Any:
        """Return a document of the API, e.g. ``await visit.get("/namespaces", limit=50)``.

        Raises:
            ApiProblem: There is none for whoever asks.
        """
        return (await self.api.ask("GET", path, query=query)).document

    async def find(self, path: str, **query: str | int | None) -> Any:
        """Return a document of the API; ``None`` if there is none for whoever asks.

        Raises:
            ApiProblem: The API cannot answer now.
        """
        return await unless(self.get(path, **query), *_NOTHING)

    async def get_all(self, *paths: str) -> list[Any]:
        """Return several documents of the API, asked for at once.

        Raises:
            ApiProblem: One is not there for whoever asks.
        """
        return list(await asyncio.gather(*(self.get(path) for path in paths)))

    def stream(
        self, path: str, *, last_event_id: str = "", **query: str | int | None
    ) -> AsyncGenerator[ServerSentEvent, None]:
        """Return the server-sent events of an address of the API; whoever takes them closes it."""
        headers = {"last-event-id": last_event_id} if last_event_id else {}
        return self.api.stream(path, query=query, headers=headers)

    def passing(
        self, path: str, headers: Mapping[str, str] | None = None, /, **query: str | int | None
    ) -> ASGIApp:
        """Return what passes a file of the API on to the browser; an error of it is a page."""

        def refused(problem: ApiProblem) -> ASGIApp:
            status = problem.status
            return self.render("error.html", status=status, code=status, message=problem.message)

        return self.api.passing(path, refused, query=query, headers=headers)

    def render(
        self,
        template: str,
        *,
        status: int = 200,
        lines: RawHeaders | None = None,
        **context: Any,
    ) -> BytesResponse:
        """Return a page; :func:`registry.web.browser.page.page` says what its template has."""
        return page(self.request, template, status=status, lines=lines, **context)

    def fragment(self, template: str, **context: Any) -> BytesResponse:
        """Return a part of a page."""
        return fragment(template, **context)

    def see_other(self, path: str, said: str = "") -> BytesResponse:
        """Send the browser to another page of this host, which shows ``said`` once."""
        lines = [cookies_of(self.request).keep_said(said)] if said else []
        return see_other(path, *lines)
