"""Taking over environments of another system, as conda-store is one: for administrators."""

import asyncio
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import AfterValidator, Field, model_validator
from starlette.types import ASGIApp
from typing_extensions import TypedDict  # (pydantic wants this one before Python 3.12)

from builder.records import without_credentials
from registry.catalog.imported import ForeignVersion, ForeignVersions, Imported, ImportedVersion
from registry.errors import ParameterInvalid
from registry.web.api.answers import answer, page_answer
from registry.web.api.endpoints import Call
from registry.web.api.models import (
    Description,
    Model,
    Moment,
    Name,
    NoBody,
    NoQuery,
    NumberCursor,
    NumberPageQuery,
    Search,
)

#: So many versions are sent at once.
MAX_VERSIONS: Final = 500
_MAX_MESSAGE: Final = 100_000
#: What an ``environment.yml`` of conda-store has that says nothing here.
_MEANINGLESS: Final = frozenset({"prefix", "description"})


def _source(text: str) -> str:
    """Return the address of a system, as it stands in origins, which many may read."""
    found = without_credentials(text.strip()).rstrip("/")
    if not found or "#" in found or not found.isprintable():
        raise ValueError("is the address of the other system, without '#'")
    return found


Source = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_source)]
ForeignId = Annotated[int, Field(ge=1, lt=2**31)]


class NewImportedVersion(Model):
    """A build of another system, which has ended."""

    id: ForeignId = Field(description="its number there")
    specification: str | dict[str, Any] | None = Field(
        None, description="an environment.yml, as text or as what it holds; `null`: its lock"
    )
    lock: str | None = Field(
        None, description="a lock file of any kind that can be built; `null`: there is none"
    )
    state: Literal["completed", "failed", "cancelled"]
    message: str = Field("", max_length=_MAX_MESSAGE, description="what is told of its end")
    requested_by: Search = ""
    created_at: Moment
    started_at: Moment | None = None
    ended_at: Moment | None = None

    @model_validator(mode="after")
    def _says_what(self) -> "NewImportedVersion":
        if self.specification is None and self.lock is None:
            raise ValueError("send a 'specification', a 'lock' or both")
        return self


class ImportedVersions(Model):
    """Builds of an environment of another system; one that was sent before stays as it is."""

    source: Source = Field(description="the address of the other system")
    name: Name = Field(description="of the environment, as it is written there")
    description: Description = Field("", description="of the environment, if it is made")
    keep_ids: bool = Field(
        True, description="give versions the numbers that clients of conda-store know, where free"
    )
    active: ForeignId | None = Field(
        None, description="the build that is active there; `null`: nothing is said"
    )
    versions: list[NewImportedVersion] = Field(
        max_length=MAX_VERSIONS, description="in the order in which they are numbered"
    )

    @model_validator(mode="after")
    def _has_each_once(self) -> "ImportedVersions":
        if len({one.id for one in self.versions}) != len(self.versions):
            raise ValueError("'versions' has an 'id' twice")
        return self


class ImportedVersionsQuery(NumberPageQuery):
    """Versions that came from where."""

    source: Source = Field(description="the address of the other system")
    limit: int = Field(1000, ge=1, le=1000, description="how many at most")
    after: NumberCursor | None = Field(None, description="`next` of the page before")


class ImportedVersionDocument(TypedDict):
    """A version that was a build of another system."""

    id: Annotated[int, Field(description="its number there")]
    number: Annotated[int, Field(description="the version's, in its environment")]
    version_id: Annotated[int, Field(description="by which clients of conda-store know it here")]
    key: str | None
    message: Annotated[str, Field(description="what is told of it; empty: nothing")]


class ImportedVersionPage(TypedDict):
    """A part of a list."""

    items: list[ImportedVersionDocument]
    next: str | None


class RefusedVersionDocument(TypedDict):
    """A build that is no version here."""

    id: int
    message: Annotated[str, Field(description="why not; send it again when that is mended")]


class ImportedDocument(TypedDict):
    """What became of what was sent."""

    made: list[ImportedVersionDocument]
    known: Annotated[list[int], Field(description="those that were here before")]
    refused: list[RefusedVersionDocument]
    active: Annotated[
        int | None,
        Field(description="the number there of what is active here; null: it is none of these"),
    ]
    messages: Annotated[list[str], Field(description="what was not done, in sentences")]


async def put_imported_versions(call: Call[NoQuery, ImportedVersions]) -> ASGIApp:
    """Take over builds of another system as versions, with their times and their locks.

    The environment is made if there is none. Nothing is solved or built: images are made when they
    are pulled first. What was sent before is known and stays as it is, so that it can be repeated;
    what cannot be used here is refused, and the rest is made.
    """
    sent = await asyncio.to_thread(_sent, call.body)
    done = await call.catalog.imports.put(call.actor, *call.place, sent)
    return answer(200, _document(done))


async def get_imported_versions(call: Call[ImportedVersionsQuery, NoBody]) -> ASGIApp:
    """List the versions of an environment that were builds of another system."""
    page = await call.catalog.imports.list(
        *call.place, call.query.source, after=call.query.after, limit=call.query.limit
    )
    return page_answer(call, page, _version)


def _sent(body: ImportedVersions) -> ForeignVersions:
    return ForeignVersions(
        body.source,
        body.name,
        body.description,
        [_foreign(one) for one in body.versions],
        body.active,
        body.keep_ids,
    )


def _foreign(one: NewImportedVersion) -> ForeignVersion:
    lock = one.lock.encode() if one.lock is not None else None
    return ForeignVersion(
        one.id,
        _specification(one),
        lock,
        one.state,
        one.message,
        one.requested_by or None,
        one.created_at,
        one.started_at,
        one.ended_at,
    )


def _specification(one: NewImportedVersion) -> bytes:
    """Return the file by which a build was asked for, as people would write it.

    Raises:
        ParameterInvalid: It cannot be written as one.
    """
    said = one.specification
    if said is None:
        return (one.lock or "").encode()
    if isinstance(said, str):
        return said.encode()
    content = {
        name: value
        for name, value in said.items()
        if name not in _MEANINGLESS and value not in (None, {})
    }
    try:
        text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1000)
    except (yaml.YAMLError, RecursionError) as exc:
        raise ParameterInvalid(
            f"the 'specification' of {one.id} cannot be written as YAML", field="versions"
        ) from exc
    return text.encode()


def _document(done: Imported) -> ImportedDocument:
    return {
        "made": [_version(one) for one in done.made],
        "known": list(done.known),
        "refused": [{"id": one.id, "message": one.message} for one in done.refused],
        "active": done.active,
        "messages": list(done.messages),
    }


def _version(one: ImportedVersion) -> ImportedVersionDocument:
    return {
        "id": one.id,
        "number": one.number,
        "version_id": one.version_id,
        "key": one.key,
        "message": one.message,
    }
