"""One request of a client of conda-store, and what it is answered from."""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import Request
from starlette.types import ASGIApp

from registry.catalog.records import Actor, Visibility
from registry.catalog.services import CatalogServices
from registry.errors import EndpointUnknown, ParameterInvalid
from registry.web.api.parameters import read_body
from registry.web.api.rights import Rights
from registry.web.api_client import Api
from registry.web.conda_store.face import Face
from registry.web.services import AppState, Services

CondaStoreRequest = Request[AppState]

#: Half of a character beyond 16 bits, as JSON can write it.
_HALF: Final = re.compile(r"\\u[dD][89a-fA-F]")
#: Numbers of rows have no more digits.
_MAX_DIGITS: Final = 15


@dataclass(frozen=True, slots=True)
class Call:
    """One request, of somebody who is known or of nobody in particular."""

    request: CondaStoreRequest
    catalog: CatalogServices
    rights: Rights
    #: Asks ``/api/v1`` as whoever sent the request.
    api: Api
    #: All values of each name, in their order, without the slash that old clients append.
    query: Mapping[str, tuple[str, ...]]
    #: Where the request came to.
    face: Face

    @property
    def services(self) -> Services:
        """Everything that requests are answered from."""
        return self.request.state["services"]

    @property
    def actor(self) -> Actor:
        """Who does what the catalog itself is asked to change."""
        return self.rights.actor(self.request.scope, "conda-store")

    @property
    def visible(self) -> Visibility:
        """What whoever sent the request may see at this moment."""
        return self.rights.visible()

    def field(self, name: str) -> str:
        """Return a field of the address."""
        return str(self.request.path_params[name])

    def number(self, name: str) -> int:
        """Return a field of the address that is a number.

        Raises:
            EndpointUnknown: It is none, so there is nothing.
        """
        text = self.field(name)
        if not (text.isascii() and text.isdecimal() and len(text) <= _MAX_DIGITS):
            raise EndpointUnknown(f"there is nothing of the number '{text[:50]}'")
        return int(text)

    def first(self, name: str) -> str | None:
        """Return the first value of a name of the query; ``None``: there is none."""
        return next(iter(self.query.get(name, ())), None)

    async def document(self) -> Mapping[str, Any]:
        """Return the JSON object that was sent.

        Raises:
            ParameterInvalid: It is none.
            BodyTooLarge: It is larger than what may be sent.
        """
        data = await read_body(self.request, self.services.builds.max_request_bytes)
        try:
            text = data.decode("utf-8-sig")
            found = json.loads(text) if text.strip() else {}
            if _HALF.search(text):
                json.dumps(found, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as exc:
            raise ParameterInvalid("what was sent is no JSON: send one object") from exc
        if not isinstance(found, dict):
            raise ParameterInvalid("what was sent is no JSON object: send {…}")
        return found


#: Answers a request.
Handler = Callable[[Call], Awaitable[ASGIApp]]
#: Handlers by address and method: addresses are relative to the face, without a slash at the end.
Routes = Mapping[str, Mapping[str, Handler]]
