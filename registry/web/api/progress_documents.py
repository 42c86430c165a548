"""How far a version is, as JSON.

The types are the schemas of the OpenAPI document.
"""

from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict  # (pydantic wants this one before Python 3.12)

from registry.catalog.records import State
from registry.requests.phases import Phase, PhaseState
from registry.web.api.catalog_documents import Links, Moment
from registry.web.api.errors import RefusalDocument


class PhaseDocument(TypedDict):
    """One phase of a build."""

    phase: Phase
    words: Annotated[str, Field(description="what it is, e.g. `solving the environment`")]
    state: PhaseState


class VersionFailureDocument(TypedDict):
    """Why a version failed."""

    sentence: Annotated[str, Field(description="the first line")]
    detail: Annotated[str, Field(description="all of it, the first line included")]
    code: Annotated[str, Field(description="as errors have it; empty: not known any more")]
    field: Annotated[str | None, Field(description="the part of the file that is at fault")]
    line: int | None
    suggestion: Annotated[str, Field(description="what may help; empty: nobody knows")]
    refusal: RefusalDocument | None


class VersionProgressDocument(TypedDict):
    """How far a version is."""

    environment: str
    version: int
    state: State
    has_ended: bool
    percent: Annotated[int, Field(description="0 to 100, never less than before")]
    words: Annotated[str, Field(description="what is done now, e.g. `solving the environment`")]
    phase: Annotated[Phase | None, Field(description="null: it has ended")]
    phases: list[PhaseDocument]
    ahead: Annotated[
        int | None, Field(description="how many versions wait that were asked for before")
    ]
    failure: VersionFailureDocument | None
    log_lines: Annotated[int, Field(description="so many there are until now")]
    created_at: Moment
    started_at: Moment | None
    ended_at: Moment | None
    links: Links
