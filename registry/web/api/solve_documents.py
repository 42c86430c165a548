"""What the addresses for those who write specifications answer, as JSON.

The types are schemas of the OpenAPI document.
"""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict  # (pydantic wants this one before Python 3.12)

from builder.platforms import Subdir
from registry.web.api.catalog_documents import Moment, PolicyDocument


class SolvedPackage(TypedDict):
    """A package that would be installed."""

    manager: Literal["conda", "pypi"]
    name: str
    version: str
    build: Annotated[str, Field(description="empty for wheels")]
    channel: Annotated[str, Field(description="its name; empty for wheels")]
    size_bytes: Annotated[int, Field(description="of its archive; 0: not known")]
    is_requested: Annotated[bool, Field(description="asked for by its name")]


class SolvedLayer(TypedDict):
    """A layer that an image would have above its base."""

    size_bytes: Annotated[int, Field(description="of the archives in it")]
    packages: Annotated[list[str], Field(description="their names")]


class SolvedPlatform(TypedDict):
    """What would be installed on one platform."""

    packages: Annotated[int, Field(description="how many of conda")]
    wheels: Annotated[int, Field(description="how many of PyPI")]
    size_bytes: Annotated[int, Field(description="of all archives: about what is pulled")]
    layers: list[SolvedLayer]
    installed: list[SolvedPackage]


class SolveDocument(TypedDict):
    """What a specification comes to today."""

    key: Annotated[str, Field(description="of the build that it would be")]
    name: Annotated[
        str | None,
        Field(description="what it is called, as `env/numpy.pandas:latest`; null: it has no name"),
    ]
    image: Annotated[
        str | None, Field(description="what it is pulled by, by that name; null: by none yet")
    ]
    is_built: Annotated[bool, Field(description="whether its image is there already")]
    base: Annotated[str | None, Field(description="the image below it; null: none")]
    channels: list[str]
    platforms: dict[Subdir, SolvedPlatform]
    left_out: Annotated[
        dict[Subdir, str], Field(description="platforms that it is not for, and why")
    ]
    policy: Annotated[PolicyDocument, Field(description="what policies did to it")]


class ChannelDocument(TypedDict):
    """A channel that may be used."""

    name: str
    url: str
    is_default: Annotated[bool, Field(description="used where no channel is named")]


class ChannelList(TypedDict):
    """What may be asked for."""

    items: Annotated[list[ChannelDocument], Field(description="by priority")]
    platforms: Annotated[list[Subdir], Field(description="that images are made for")]
    offers_pypi: bool


class PackageName(TypedDict):
    """A package by its name."""

    name: str
    channels: Annotated[list[str], Field(description="that have it, by priority")]


class PackageNames(TypedDict):
    """Packages that may be meant, the likeliest first."""

    items: list[PackageName]
    count: Annotated[int, Field(description="how many there are in all")]
    unavailable: Annotated[list[str], Field(description="channels that do not answer now")]


class PackageRelease(TypedDict):
    """A version of a package in a channel."""

    version: str
    channel: str
    platforms: list[Subdir]
    builds: int
    published_at: Annotated[Moment | None, Field(description="null: the channel does not say")]
    size_bytes: int
    licence: str


class PackageReleases(TypedDict):
    """Versions of a package, by channels in their order, the newest first."""

    name: str
    items: list[PackageRelease]
    unavailable: list[str]
