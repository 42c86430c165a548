"""What the table of addresses says of each: who may, what is sent, what is answered."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Literal, TypeVar

from starlette.requests import Request
from starlette.types import ASGIApp

from registry.auth.rights import Verb
from registry.auth.roles import Role, ServiceRole
from registry.catalog.records import Actor, Visibility
from registry.catalog.services import CatalogServices
from registry.errors import EndpointUnknown
from registry.web.api.models import Model, NoBody, NoQuery
from registry.web.api.rights import Rights
from registry.web.services import AppState

ApiRequest = Request[AppState]

Query_co = TypeVar("Query_co", bound=Model, covariant=True)
Body = TypeVar("Body")

#: Where a role is needed. ``inside``: in a namespace, or in anything of it.
Place = Literal["namespace", "inside", "environment"]


@dataclass(frozen=True, slots=True)
class NeedRole:
    """A role that is needed where the address leads to."""

    role: Role
    place: Place

    def __str__(self) -> str:
        """Return it in words."""
        place = "anything in the namespace" if self.place == "inside" else f"the {self.place}"
        return f"{self.role} of {place}"


@dataclass(frozen=True, slots=True)
class NeedServiceRole:
    """A role in the service."""

    role: ServiceRole

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.role} of the service"


@dataclass(frozen=True, slots=True)
class NeedLogin:
    """Whoever has logged in."""

    def __str__(self) -> str:
        """Return it in words."""
        return "whoever has logged in"


@dataclass(frozen=True, slots=True)
class NeedNothing:
    """Everybody; what is answered is what they may see."""

    def __str__(self) -> str:
        """Return it in words."""
        return "everybody"


@dataclass(frozen=True, slots=True)
class RoleThere:
    """A role that is needed somewhere else than at the address: what was sent says where."""

    role: Role
    namespace: str
    environment: str | None = None


@dataclass(frozen=True, slots=True)
class NewNamespaceThere:
    """The right to have a namespace of that slug: its own name's, or an administrator's."""

    slug: str


@dataclass(frozen=True, slots=True)
class NeedWhole:
    """No token that may do less than its owner."""

    #: What one that is limited does not do, after "a token that is limited to some rights".
    does_not: str = "makes no tokens, and ends none but itself"


#: What an address needs; a verb is needed on the builds that it names.
CatalogNeed = NeedRole | NeedServiceRole | NeedLogin | NeedNothing
Need = Verb | CatalogNeed
#: What a request needs beside, by what was sent.
Further = RoleThere | NewNamespaceThere | NeedRole | NeedServiceRole | NeedWhole

ANYONE: Final = NeedNothing()
LOGIN: Final = NeedLogin()

BuildHandler = Callable[[ApiRequest], Awaitable[ASGIApp]]
BodyKind = Literal["none", "json", "file", "json or file"]


@dataclass(frozen=True, slots=True)
class Call(Generic[Query_co, Body]):
    """One request to the catalog, validated, of somebody who may."""

    request: ApiRequest
    catalog: CatalogServices
    actor: Actor
    rights: Rights
    query: Query_co
    body: Body

    def field(self, name: str) -> str:
        """Return a field of the address."""
        return str(self.request.path_params[name])

    def number(self, name: str = "number") -> int:
        """Return a field of the address that is a number.

        Raises:
            EndpointUnknown: It is none, so there is nothing.
        """
        text = self.field(name)
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and not text[0] == "0"):
            raise EndpointUnknown(f"there is nothing of the number '{text[:50]}': write 7 for v7")
        return int(text)

    @property
    def place(self) -> tuple[str, str]:
        """Namespace and environment of the address."""
        return self.field("namespace"), self.field("environment")

    @property
    def visible(self) -> Visibility:
        """What whoever sent the request may see at this moment."""
        return self.rights.visible()


CatalogHandler = Callable[[Call[Any, Any]], Awaitable[ASGIApp]]
#: Returns what is needed beside: given what was sent.
FurtherNeeds = Callable[[Call[Any, Any]], Awaitable[Sequence[Further]]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What one method at one address of the catalog is."""

    need: CatalogNeed
    handler: CatalogHandler
    query: type[Model] = NoQuery
    #: What is in the body, if it is JSON.
    body: type[Model] = NoBody
    body_kind: BodyKind = "none"
    #: Whether JSON may have files in it, and be as large as some of them.
    is_large: bool = False
    #: What a file is that is sent; empty: what builds are made of.
    about_file: str = ""
    #: What is answered: a type that has a schema; ``None``: nothing, ``str``: text, ``bytes``: a
    #: file.
    answer: Any = None
    #: Of what, where it is text or a file.
    media_type: str = ""
    statuses: tuple[int, ...] = (200,)
    further: FurtherNeeds | None = None
    #: Whether what is answered may be kept for those who send the request again.
    keeps_answer: bool = True
    #: Whether ``If-Match`` is looked at.
    is_conditional: bool = False
    #: Whether administrators and auditors are answered what is of everybody, and others their own.
    is_wider_for_officers: bool = False
    #: Whether events are streamed to those who accept them, and as what.
    is_stream: bool = False
    #: Whether ``Prefer: wait`` is looked at although nothing is begun.
    may_wait: bool = False
    stream_type: str = "text/event-stream"


@dataclass(frozen=True, slots=True)
class BuildEndpoint:
    """What one method at an address beside the catalog's is."""

    need: Verb | NeedNothing
    handler: BuildHandler
    #: What may be said in the query, by name: a description.
    query: Mapping[str, str] = field(default_factory=dict)
    #: That, where it is a model.
    model: type[Model] = NoQuery
    #: What is answered, if it is a type that has a schema.
    answer: Any = None
    #: Whether those who may see something in the namespace that the query names may have it too.
    is_of_namespace: bool = False
    body_kind: BodyKind = "none"
    statuses: tuple[int, ...] = (200,)
    #: The media type of what is answered.
    media_type: str = "application/json"
