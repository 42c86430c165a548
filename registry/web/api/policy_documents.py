"""What addresses of policies, findings and blocks answer, as JSON."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict  # (pydantic wants this one before Python 3.12)

from registry.web.api.catalog_documents import Links, Moment, PolicyDocument


class NamedPolicyDocument(TypedDict):
    """A policy that holds."""

    name: str
    mode: Literal["enforce", "warn"]
    description: str
    contact: Annotated[str, Field(description="who to ask")]
    source: Annotated[
        Literal["file", "database", "namespace"],
        Field(description="where it is kept; `namespace`: it is that namespace's own"),
    ]
    set_by: Annotated[str | None, Field(description="null: whoever keeps the files")]
    set_at: Moment | None
    version: int
    sentences: Annotated[list[str], Field(description="what it says, where you ask")]
    namespaces: Annotated[
        list[str] | None, Field(description="where it holds; for administrators and auditors")
    ]
    text: Annotated[str | None, Field(description="TOML; for administrators and auditors")]
    remarks: Annotated[
        list[str],
        Field(description="what in it does nothing here; for administrators and auditors"),
    ]
    links: Links


class PolicyProblemDocument(TypedDict):
    """What cannot be used of a file."""

    file: str
    line: int | None
    field: str
    message: str


class PolicyPage(TypedDict):
    """The policies that hold."""

    items: list[NamedPolicyDocument]
    problems: Annotated[
        list[PolicyProblemDocument], Field(description="for administrators and auditors")
    ]


class PolicyTextDocument(TypedDict):
    """What a policy says, or said once."""

    version: int
    text: str
    by: str | None
    at: Moment


class PolicyTextPage(TypedDict):
    """A part of a list, the newest first."""

    items: list[PolicyTextDocument]
    next: str | None


class OwnPolicyDocument(TypedDict):
    """What holds in a namespace."""

    namespace: str
    own: Annotated[PolicyTextDocument | None, Field(description="what the namespace adds itself")]
    remarks: Annotated[list[str], Field(description="what of that does nothing here")]
    holds: list[NamedPolicyDocument]
    links: Links


class FindingDocument(TypedDict):
    """What a policy has against a build that there is."""

    id: int
    policy: str
    mode: Literal["enforce", "warn"]
    kind: Annotated[str, Field(description="which rule of it")]
    sentence: str
    change: Annotated[str, Field(description="what to do about it, in one sentence")]
    environment: Annotated[str | None, Field(description="as `namespace/environment`")]
    active: Annotated[bool, Field(description="whether it is the build of the active version")]
    versions: Annotated[
        list[int], Field(description="of the environment that have the build, the newest first")
    ]
    owner: Annotated[str | None, Field(description="of the namespace")]
    created_by: Annotated[str | None, Field(description="who has made the environment")]
    key: Annotated[str, Field(description="of the build")]
    platform: str
    manager: str
    package: Annotated[str, Field(description="empty: it is the environment as a whole")]
    version: str
    advisory: str
    fixed_in: Annotated[str, Field(description="the first version without it; or empty")]
    found_at: Moment | None
    links: Links


class FindingPage(TypedDict):
    """A part of a list, the newest first."""

    items: list[FindingDocument]
    next: str | None


class TrialPackage(TypedDict):
    """A package that would be installed."""

    manager: str
    name: str
    version: str
    build: str


class TrialSpecification(TypedDict):
    """What a policy would do to a specification."""

    built: Annotated[bool, Field(description="whether it could be built")]
    refused: Annotated[str | None, Field(description="why not, in one sentence")]
    by_policy: Annotated[bool, Field(description="whether policies refuse it")]
    policy: PolicyDocument
    key: str | None
    packages: dict[str, list[TrialPackage]]


class TrialExisting(TypedDict):
    """What a policy would find among everything that there is."""

    builds: Annotated[int, Field(description="how many were judged")]
    findings: Annotated[int, Field(description="how many there would be")]
    environments: Annotated[int, Field(description="in how many environments")]
    active: Annotated[int, Field(description="in the active versions of how many")]
    items: Annotated[list[FindingDocument], Field(description="the first ones")]


class TrialDocument(TypedDict):
    """What a policy would do."""

    name: str
    mode: Literal["enforce", "warn"]
    sentences: list[str]
    remarks: Annotated[list[str], Field(description="what in it does nothing here")]
    specification: TrialSpecification | None
    existing: TrialExisting


class BlockDocument(TypedDict):
    """A build that nobody gets."""

    key: str
    reason: str
    blocked_by: str | None
    at: Moment
    links: Links


class BlockPage(TypedDict):
    """A part of a list."""

    items: list[BlockDocument]
    next: str | None
