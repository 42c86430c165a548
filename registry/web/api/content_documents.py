"""What is told of that which a version consists of, as JSON: packages, layers, who has a package.

The types are the schemas of the OpenAPI document.
"""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict  # (pydantic wants this one before Python 3.12)

from builder.rules.model import Manager
from registry.web.api.catalog_documents import Links, Moment

#: What came: a specification with wishes, a lock, or a list of exact packages.
AskedBy = Literal["specification", "lock", "list", "unreadable"]


class RequestedDocument(TypedDict):
    """A package that somebody wanted, beside what came of it."""

    manager: Manager
    name: str
    spec: Annotated[str, Field(description="what was asked for, e.g. `numpy >=2`")]
    version: Annotated[str | None, Field(description="that is there; null: none is")]
    build: str | None
    because: Annotated[
        str | None, Field(description="the sentence of the policy that added it; null: none did")
    ]


class AdvisoryDocument(TypedDict):
    """A vulnerability that a package has, as a policy found it."""

    id: str
    sentence: str
    fixed_in: Annotated[str | None, Field(description="the first version without it, if known")]
    policy: str
    mode: Annotated[str, Field(description="`enforce` or `warn`")]


class PackageFindingDocument(TypedDict):
    """What a policy has against a package, beside advisories."""

    kind: str
    sentence: str
    policy: str
    mode: Annotated[str, Field(description="`enforce` or `warn`")]


class PackageDocument(TypedDict):
    """One package of a version, on one platform."""

    manager: Manager
    name: str
    version: str
    build: Annotated[str | None, Field(description="null: of a wheel")]
    channel: Annotated[str | None, Field(description="its name, or address; null: of a wheel")]
    size_bytes: Annotated[int | None, Field(description="of its archive; null: nobody says")]
    licence: Annotated[str | None, Field(description="as the index says it; null: it does not")]
    published_at: Moment | None
    is_requested: bool
    added_because: Annotated[
        str | None, Field(description="the sentence of the policy that added it; null: none did")
    ]
    advisories: list[AdvisoryDocument]
    findings: list[PackageFindingDocument]


class LicenceCount(TypedDict):
    """How many packages have a licence."""

    licence: str | None
    packages: int


class PackagePage(TypedDict):
    """A part of the packages of a version, conda's first, by name; and what all of them are."""

    environment: str
    version: int
    key: str
    platform: str
    platforms: list[str]
    packages: Annotated[int, Field(description="how many the platform has, whatever is searched")]
    size_bytes: Annotated[int, Field(description="of their archives")]
    asked_by: AskedBy
    requested: Annotated[
        list[RequestedDocument],
        Field(description="all that was asked for by name, and what policies added"),
    ]
    licences: Annotated[list[LicenceCount], Field(description="the most frequent first")]
    items: list[PackageDocument]
    next: str | None


class LayerDocument(TypedDict):
    """One layer of an image."""

    digest: str
    size_bytes: Annotated[int, Field(description="that are fetched, compressed")]
    kind: Literal["base", "packages"]
    packages: Annotated[list[str], Field(description="e.g. `numpy 2.3.1`; of the base, none")]
    is_new: Annotated[
        bool | None, Field(description="whether the other version lacks it; null: none is compared")
    ]


class FetchedDocument(TypedDict):
    """What a node fetches that has the image of another version."""

    version: int
    bytes: Annotated[int | None, Field(description="null: its image is not known any more")]
    layers: int | None


class LayersDocument(TypedDict):
    """The layers of a version's image, lowest first."""

    environment: str
    version: int
    key: str
    platform: str
    platforms: list[str]
    image: str
    is_there: Annotated[
        bool, Field(description="whether it is in the store; if not, pulling makes it again")
    ]
    digest: Annotated[str | None, Field(description="of the platform's manifest")]
    size_bytes: int
    layers: list[LayerDocument]
    fetched: Annotated[
        FetchedDocument | None, Field(description="from the version before; null: there is none")
    ]


class PackageUser(TypedDict):
    """An environment whose active version has a package."""

    environment: str
    namespace: str
    name: str
    owner: Annotated[str | None, Field(description="of the namespace")]
    created_by: str | None
    active: int
    manager: Manager
    version: Annotated[str, Field(description="of the package")]
    build: str | None
    platforms: list[str]
    advisories: Annotated[int, Field(description="that policies found in the package there")]
    image: str
    links: Links


class PackageUserPage(TypedDict):
    """A part of a list, by path."""

    package: str
    versions: Annotated[
        list[str],
        Field(
            description="that the condition takes, newest first: of all builds for auditors, of"
            " this part of the list for others"
        ),
    ]
    items: list[PackageUser]
    next: str | None
