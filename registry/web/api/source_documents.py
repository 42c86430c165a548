"""What addresses of sources answer, as JSON."""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict  # (pydantic wants this one before Python 3.12)

from registry.catalog.source_records import (
    Edits,
    FileState,
    Removed,
    SourceKind,
    SourceRecord,
)
from registry.catalog.source_shape import is_of_server
from registry.web.api.catalog_documents import (
    Links,
    Moment,
    environment_path,
    namespace_path,
    time_or_none,
    time_text,
)
from registry.web.api.documents import PREFIX


class SourceDocument(TypedDict):
    """Where files are that define environments."""

    id: int
    namespace: Annotated[
        str | None, Field(description="whose environments they are; null: patterns say it")
    ]
    name: str
    kind: SourceKind
    location: Annotated[
        str | None, Field(description="where it is; null: a path of a server, for admins alone")
    ]
    branch: Annotated[str, Field(description="empty: the default one")]
    folder: Annotated[str, Field(description="of a repository; empty: all of it")]
    patterns: Annotated[list[str] | None, Field(description="null: the usual ones")]
    removed: Removed
    edits: Edits
    activate: Annotated[bool, Field(description="whether its versions are no proposals")]
    is_declared: Annotated[bool, Field(description="whether settings of servers declare it")]
    has_hook: Annotated[bool, Field(description="whether hosts can tell of pushes")]
    problem: Annotated[str | None, Field(description="why it cannot be looked at; null: it can")]
    commit: Annotated[str | None, Field(description="that was seen last")]
    looked_at: Moment | None
    asked_at: Annotated[
        Moment | None, Field(description="when it was asked to be looked at, if it was not yet")
    ]
    files: int
    problems: Annotated[int, Field(description="how many of its files cannot be used")]
    revision: int
    created_by: str | None
    updated_by: Annotated[
        str | None, Field(description="who has set it last: what they may pull decides")
    ]
    created_at: Moment
    updated_at: Moment
    links: Links


class HookDocument(TypedDict):
    """What a host of repositories is told, so that it can tell of pushes."""

    url: Annotated[str, Field(description="where it sends its requests")]
    secret: Annotated[str, Field(description="by which it signs them; it is not told again")]


class SourcePage(TypedDict):
    """A part of a list, the oldest first."""

    items: list[SourceDocument]
    next: str | None


class SourceFileDocument(TypedDict):
    """A file of a source."""

    path: Annotated[str, Field(description="relative to the source")]
    environment: Annotated[str | None, Field(description="that it defines; null: none")]
    problem: Annotated[str | None, Field(description="why it cannot be used; null: it can")]
    sha256: Annotated[str | None, Field(description="of the bytes that were taken last")]
    seen_at: Annotated[Moment, Field(description="when anything of this has changed last")]
    links: Links


class SourceFilePage(TypedDict):
    """A part of a list, by path."""

    items: list[SourceFileDocument]
    next: str | None


class LookDocument(TypedDict):
    """What becomes of a push that a host tells of."""

    looks: Annotated[bool, Field(description="whether the source is looked at because of it")]
    message: str


def source_path(number: int) -> str:
    """Return the address of a source."""
    return f"{PREFIX}/sources/{number}"


def hook_path(number: int) -> str:
    """Return where hosts of repositories tell of pushes."""
    return f"{PREFIX}/hooks/sources/{number}"


def source_document(source: SourceRecord, *, is_whole: bool) -> SourceDocument:
    """Return what is told of a source.

    Args:
        source: Which.
        is_whole: Whether also which path of a server it is: what its admins may know.
    """
    here = source_path(source.id)
    links = {"self": here, "files": f"{here}/files"}
    if source.namespace is not None:
        links["namespace"] = namespace_path(source.namespace)
    if source.kind != "remote":
        links |= {"look": f"{here}/look", "hook": hook_path(source.id)}
    is_told = is_whole or not is_of_server(source.kind, source.location)
    return {
        "id": source.id,
        "namespace": source.namespace,
        "name": source.name,
        "kind": source.kind,
        "location": source.location if is_told else None,
        "branch": source.branch,
        "folder": source.folder,
        "patterns": None if source.patterns is None else list(source.patterns),
        "removed": source.removed,
        "edits": source.edits,
        "activate": source.activate,
        "is_declared": source.is_declared,
        "has_hook": source.has_hook,
        "problem": source.problem or None,
        "commit": source.commit or None,
        "looked_at": time_or_none(source.looked_at),
        "asked_at": time_or_none(source.asked_at),
        "files": source.files,
        "problems": source.problems,
        "revision": source.revision,
        "created_by": source.created_by,
        "updated_by": source.updated_by,
        "created_at": time_text(source.created_at),
        "updated_at": time_text(source.updated_at),
        "links": links,
    }


def source_file_document(file: FileState) -> SourceFileDocument:
    """Return what is told of a file."""
    links: Links = {}
    if file.environment is not None:
        links["environment"] = environment_path(*file.environment.split("/", 1))
    return {
        "path": file.path,
        "environment": file.environment,
        "problem": file.problem or None,
        "sha256": file.sha256 or None,
        "seen_at": time_text(file.seen_at),
        "links": links,
    }
