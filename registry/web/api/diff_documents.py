"""What two versions, or builds, differ in, as JSON.

The types are the schemas of the OpenAPI document.
"""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict  # (pydantic wants this one before Python 3.12)

from builder.exports.diff import Direction


class DiffPackage(TypedDict):
    """One package that is not the same in both versions."""

    manager: Literal["conda", "pip"]
    name: str
    before: Annotated[str | None, Field(description="version and build; null: it was added")]
    after: Annotated[str | None, Field(description="version and build; null: it was removed")]
    direction: Direction
    licence_before: str | None
    licence_after: str | None


class DiffDocument(TypedDict):
    """What changes from one version, or build, to another."""

    before: str
    after: str
    packages: Annotated[dict[str, list[DiffPackage]], Field(description="by platform")]
    counts: Annotated[
        dict[str, dict[Direction, int]], Field(description="by platform, how many went how")
    ]
    licences: Annotated[
        dict[str, dict[Literal["added", "removed"], list[str]]],
        Field(description="by platform: those that only one of the two has"),
    ]
    variables: dict[str, tuple[str | None, str | None]]
    base: tuple[str | None, str | None] | None
    fetched_bytes: Annotated[
        dict[str, int] | None,
        Field(description="by platform: what a node fetches that has the first; null: not known"),
    ]
