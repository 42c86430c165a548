"""What may be sent to the catalog's addresses: the models that validate it, and describe it.

A field that is none is an error, as is text without end: what is accepted is what is meant. The
same models are the schemas of ``/api/v1/openapi.json``.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from builder.platforms import Subdir
from registry.auth.trail import Via
from registry.auth.wildcards import GLOB, MAX_WILDCARDS, is_path_glob
from registry.errors import ParameterInvalid

#: The most that one page has.
MAX_PAGE: Final = 100
DEFAULT_PAGE: Final = 50
#: The most globs that names of thousands of environments are held against.
_MAX_GLOBS: Final = 20
#: No text of a policy, and no specification that one is tried on, has more characters.
MAX_POLICY: Final = 256 * 1024


def _printable(text: str) -> str:
    """Return text that any column and any terminal can hold."""
    if any(character < " " and character not in "\n\t" for character in text):
        raise ValueError("has control characters")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("has characters that are none")
    return text


def _line(text: str) -> str:
    """Return text that is one line."""
    if "\n" in text or "\t" in text:
        raise ValueError("is one line")
    return _printable(text)


def _moment(value: datetime) -> datetime:
    """Return a time in UTC; one without a zone is refused: nobody knows what it means."""
    if value.tzinfo is None:
        raise ValueError("has a zone, as in 2027-01-31T12:00:00Z")
    return value.astimezone(UTC)


Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_line)]
Slug = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_line)]
Account = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_line)]
Description = Annotated[str, Field(max_length=4000), AfterValidator(_printable)]
Note = Annotated[str, Field(max_length=1000), AfterValidator(_printable)]


def _glob(text: str) -> str:
    """Return a slug in which ``*`` stands for any characters."""
    if not GLOB.fullmatch(text):
        raise ValueError(
            f"'{text[:50]}' is no name: it has small letters, digits, '.', '_' and '-', and '*' for"
            " any characters"
        )
    return text


Glob = Annotated[
    str,
    Field(max_length=100, json_schema_extra={"pattern": f"^{GLOB.pattern}$"}),
    AfterValidator(_glob),
]


def _path_glob(text: str) -> str:
    """Return the slugs of a namespace and an environment, with ``*`` in them."""
    if not is_path_glob(text):
        raise ValueError(
            f"'{text[:50]}' is no name of environments: write a namespace, '/' and an environment,"
            f" with '*' for any characters at most {MAX_WILDCARDS} times in each, such as"
            " 'analytics/*'"
        )
    return text


PathGlob = Annotated[
    str,
    Field(max_length=201, json_schema_extra={"pattern": f"^{GLOB.pattern}/{GLOB.pattern}$"}),
    AfterValidator(_path_glob),
]
Moment = Annotated[
    datetime,
    Field(ge=datetime(2000, 1, 1, tzinfo=UTC), le=datetime(9000, 1, 1, tzinfo=UTC)),
    AfterValidator(_moment),
]
Search = Annotated[str, Field(max_length=200), AfterValidator(_line)]
Cursor = Annotated[str, Field(min_length=1, max_length=1000)]
NumberCursor = Annotated[str, Field(pattern=r"^[0-9]{1,18}$")]
#: A parameter without a value, as in ``?renew``, is true.
Flag = Literal["true", "1", "", "false", "0"]
SubjectKind = Literal["user", "group", "authenticated", "everyone"]
NamespaceRole = Literal["viewer", "editor", "admin", "owner"]
ServiceRole = Literal["administrator", "auditor"]


def is_on(flag: Flag) -> bool:
    """Tell whether a flag is set.

    >>> is_on(""), is_on("0")
    (True, False)
    """
    return flag in {"true", "1", ""}


class Model(BaseModel):
    """What is sent: nothing in it but what is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoQuery(Model):
    """No parameters."""


class PageQuery(Model):
    """Which part of a list."""

    limit: int = Field(DEFAULT_PAGE, ge=1, le=MAX_PAGE, description="how many at most")
    after: Cursor | None = Field(None, description="`next` of the page before")


class NumberPageQuery(PageQuery):
    """Which part of a list that is in the order of its numbers."""

    after: NumberCursor | None = Field(None, description="`next` of the page before")

    @property
    def number(self) -> int | None:
        """The number with which the page before ended."""
        return int(self.after) if self.after is not None else None


class NamespacesQuery(PageQuery):
    """Which namespaces."""

    search: Search = Field("", description="in name or description")
    mine: Flag = Field("false", description="only where you, or a group of yours, have a role")


class EnvironmentsQuery(PageQuery):
    """Which environments."""

    search: Search = Field("", description="in name or description")
    package: Search | None = Field(None, description="a package that the active version has")
    version: Search | None = Field(None, description="exactly this version of `package`")
    mine: Flag = Field("false", description="only where you, or a group of yours, have a role")
    building: Flag = Field("false", description="only where a version is being made, or waits")
    details: Flag = Field("false", description="also how each is doing")

    @model_validator(mode="after")
    def _has_package(self) -> "EnvironmentsQuery":
        if self.version is not None and self.package is None:
            raise ValueError("'version' is that of a 'package': say which one")
        return self


class NamespaceEnvironmentsQuery(EnvironmentsQuery):
    """Which environments of a namespace."""

    deleted: Flag | Literal["only"] = Field(
        "false", description="also those that can be restored; `only`: none but those"
    )

    @property
    def wants_deleted(self) -> bool | Literal["only"]:
        """Whether those that can be restored are wanted, or those alone."""
        return "only" if self.deleted == "only" else is_on(self.deleted)


class NewEnvironmentQuery(Model):
    """What is said beside a specification that is sent as it is."""

    name: Name | None = Field(None, description="of the environment; then the body is a file")
    description: Description = ""
    note: Note = Field("", description="on the first version")


class NewVersionQuery(Model):
    """What is said beside a specification."""

    note: Note = ""
    activate: Flag = Field("true", description="make it active when it is built")
    propose: Flag = Field(
        "false", description="have it wait as a proposal when it is built, instead of being active"
    )
    renew: Flag = Field("false", description="solve again, also if nothing was changed")


class PlaceQuery(Model):
    """By whose rules."""

    namespace: Slug | None = Field(None, description="its slug: its rules hold, not those of all")
    environment: Slug | None = Field(None, description="its slug; there need not be one yet")

    @model_validator(mode="after")
    def _has_namespace(self) -> "PlaceQuery":
        if self.environment is not None and self.namespace is None:
            raise ValueError("'environment' is one of a 'namespace': say which")
        return self


class ChannelsQuery(Model):
    """Which channels."""

    namespace: Slug | None = Field(None, description="its slug: those that it may use")


class PackageNamesQuery(ChannelsQuery):
    """Which packages."""

    search: Search = Field("", description="in the name: exactly, at its beginning, inside")
    channel: Search | None = Field(None, description="its name; else all of them")
    limit: int = Field(20, ge=1, le=MAX_PAGE, description="how many at most")


class ReleasesQuery(ChannelsQuery):
    """Which versions of a package."""

    channel: Search | None = Field(None, description="its name; else all of them")
    limit: int = Field(20, ge=1, le=MAX_PAGE, description="how many of each channel at most")


class EnvironmentQuery(Model):
    """What is told of an environment."""

    details: Flag = Field("false", description="also how it is doing")


class VersionPackagesQuery(PageQuery):
    """Which packages of a version."""

    platform: Subdir | None = Field(None, description="another than the first")
    search: Search = Field("", description="in the name")
    requested: Flag = Field("false", description="only what was asked for, or added by a policy")
    advisories: Flag = Field("false", description="only those in which a policy found an advisory")


class DiffQuery(Model):
    """What is waited for."""

    quick: Flag = Field("false", description="do not wait for images that would have to be made")


class LayersQuery(Model):
    """Of which platform, and compared with what."""

    platform: Subdir | None = Field(None, description="another than the first")
    before: int | None = Field(
        None, ge=1, lt=2**31, description="a version that a node has; the newest built one before"
    )


class ActiveVersionsQuery(Model):
    """Which versions are told of."""

    only: tuple[PathGlob, ...] = Field(
        (),
        max_length=100,
        description="only environments of this name, such as `analytics/*`; may come again",
    )
    versions: Annotated[int, Field(ge=0, le=1000)] | Literal["all"] = Field(
        0, description="so many built versions beside the active one, the newest first"
    )

    @model_validator(mode="after")
    def _has_few_globs(self) -> "ActiveVersionsQuery":
        if sum("*" in one for one in self.only) > _MAX_GLOBS:
            raise ValueError(f"at most {_MAX_GLOBS} of 'only' have a '*': name the others")
        return self


class PackageUsersQuery(PageQuery):
    """Which environments that have a package."""

    version: Search = Field("", description="a condition on its version, such as `>=3,<3.2`")
    manager: Literal["conda", "pypi"] | None = Field(None, description="who installs it")
    namespace: Slug | None = Field(None, description="in one namespace alone, by its slug")
    search: Search = Field("", description="in name or description of the environment")


class WaitedQuery(Model):
    """How long a file was waited for."""

    wait: int | None = Field(
        None, ge=0, le=9, description="how often the server has sent you here again"
    )


class FormQuery(WaitedQuery):
    """Of which platform a form is."""

    platform: Subdir | None = Field(None, description="another than the first")


class SbomQuery(FormQuery):
    """In which format."""

    format: Literal["spdx", "cyclonedx"] = "spdx"


class TokensQuery(NumberPageQuery):
    """Which tokens."""

    user: Account | None = Field(None, description="of whom; for administrators")
    ended: Flag = Field("false", description="also those that have ended, or were revoked")
    kind: Literal["personal", "robot"] | None = Field(None, description="only those of one kind")
    everybody: Flag = Field("false", description="of everybody; for administrators and auditors")


class SessionsQuery(NumberPageQuery):
    """Which logins of browsers."""

    user: Account | None = Field(None, description="of whom; for administrators and auditors")


class EndedSessionsQuery(Model):
    """Which logins of browsers are to end."""

    user: Account | None = Field(None, description="of whom; for administrators")


class UsersQuery(PageQuery):
    """Which people and robots."""

    search: Search = Field("", description="in name, display name or mail address")
    kind: Literal["human", "robot"] | None = Field(None, description="only those of one kind")
    disabled: Flag | None = Field(None, description="only those who are refused, or who are not")


class UserChange(Model):
    """What is to be changed of somebody."""

    disabled: bool = Field(description="refuse them at every door from now on, or let them in")
    end_tokens: bool = Field(
        False, description="with `disabled`: end their tokens for good, not only while it lasts"
    )

    @model_validator(mode="after")
    def _ends_tokens_of_the_refused(self) -> "UserChange":
        if self.end_tokens and not self.disabled:
            raise ValueError("'end_tokens' goes with 'disabled': true")
        return self


class GroupsQuery(PageQuery):
    """Which groups."""

    search: Search = Field("", description="in the name")


class GrantsQuery(NumberPageQuery):
    """Which roles."""

    role: Literal["viewer", "editor", "admin", "owner", "administrator", "auditor"] | None = Field(
        None, description="only this one"
    )
    user: Account | None = Field(None, description="only those given to this user by name")
    group: Account | None = Field(None, description="only those given to this group")


class QueueQuery(NumberPageQuery):
    """What of the queue."""

    state: Literal["building", "queued", "stuck"] | None = Field(
        None, description="what is made, what waits, or what takes longer than it should"
    )


class AuditQuery(PageQuery):
    """Which events of the audit log."""

    limit: int = Field(DEFAULT_PAGE, ge=1, le=1000, description="how many at most")
    actor: Account | None = Field(None, description="who did it")
    action: Annotated[str, Field(max_length=100, pattern=r"^[a-z_.*]+$")] | None = Field(
        None, description="`*` stands for any characters, as in `grant.*`"
    )
    namespace: Slug | None = Field(None, description="where, as it was called then")
    environment: Slug | None = Field(None, description="of `namespace`")
    address: Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_line)] | None = (
        Field(None, description="from where")
    )
    via: Via | None = Field(None, description="through what")
    since: Moment | None = Field(None, description="from this time on")
    until: Moment | None = Field(None, description="before this time")
    changes: Flag = Field(
        "false", description="only what changed something: no logins, refusals, reading by office"
    )
    follow: Flag = Field("false", description="as `application/x-ndjson`: go on with what happens")

    @model_validator(mode="after")
    def _has_namespace(self) -> "AuditQuery":
        if self.environment is not None and self.namespace is None:
            raise ValueError("'environment' is one of a 'namespace': say which one")
        return self


class NoBody(Model):
    """No body."""


class NewNamespace(Model):
    """A namespace that is to be."""

    name: Name
    description: Description = ""
    owner: Account | None = Field(None, description="`null`: whoever makes it")


class NamespaceChange(Model):
    """What is to be changed of a namespace; what is left out stays."""

    name: Name | None = Field(None, description="all addresses in it change with it")
    description: Description | None = None
    owner: Account | None = None


class NewEnvironment(Model):
    """An environment that is to be, without any version yet."""

    name: Name
    description: Description = ""


class EnvironmentChange(Model):
    """What is to be changed of an environment; what is left out stays."""

    name: Name | None = Field(None, description="its address changes with it")
    description: Description | None = None
    test_command: Annotated[str, Field(max_length=4000), AfterValidator(_printable)] | None = Field(
        None, description="what its next proposals have to pass, for a shell; empty: nothing"
    )
    archived: bool | None = Field(
        None, description="whether it is kept as it is, and takes no new version"
    )


class Target(Model):
    """Where an environment is to be moved or copied to."""

    namespace: Slug | None = Field(None, description="`null`: the one where it is")
    name: Name | None = Field(None, description="`null`: the one that it has")

    @model_validator(mode="after")
    def _is_elsewhere(self) -> "Target":
        if self.namespace is None and self.name is None:
            raise ValueError("say a 'namespace', a 'name', or both")
        return self


class Activation(Model):
    """Which version is to be active."""

    version: int = Field(ge=1, lt=2**31)


class _Grant(Model):
    subject_kind: SubjectKind = "user"
    subject: Account | None = Field(None, description="of a user or group, its name")
    expires_at: Moment | None = None

    @model_validator(mode="after")
    def _has_subject(self) -> "_Grant":
        if (self.subject_kind in {"user", "group"}) != (self.subject is not None):
            raise ValueError("'subject' is the name of a user or a group; others have none")
        return self


class NewGrant(_Grant):
    """A role in a namespace that is to be given."""

    role: NamespaceRole
    environment: Glob = Field("*", description="`*` stands for any characters")


class NewServiceGrant(_Grant):
    """A role that is to be given anywhere."""

    role: NamespaceRole | ServiceRole
    namespace: Glob = Field("*", description="`*` stands for any characters")
    environment: Glob = Field("*", description="`*` stands for any characters")


class NewToken(Model):
    """A token that is to be made."""

    name: Account = Field(description="what it is for")
    scopes: Annotated[
        tuple[Annotated[str, Field(max_length=300)], ...] | None, Field(max_length=100)
    ] = Field(None, description="rights such as `team/*:pull`; `null`: all that you have")
    expires_at: Moment | None = None
    user: Account | None = Field(None, description="of whom; for administrators")
    kind: Literal["personal", "robot"] = "personal"


class WaiversQuery(NumberPageQuery):
    """Which waivers."""

    state: Literal["waiting", "granted", "refused", "ended", "withdrawn"] | None = None
    namespace: Slug | None = Field(None, description="for whose environments they were asked")
    mine: Flag = Field("false", description="only those that you asked for")


#: One line of a path, an address or a pattern.
Line = Annotated[str, Field(max_length=2000), AfterValidator(_line)]
Removed = Literal["keep", "archive", "delete"]
Edits = Literal["refuse", "propose"]


class SourcesQuery(NumberPageQuery):
    """Which sources."""

    namespace: Slug | None = Field(None, description="of one namespace alone, by its slug")
    problems: Flag = Field("false", description="only those of which something cannot be used")


class SourceFilesQuery(PageQuery):
    """Which files of a source."""

    problems: Flag = Field("false", description="only those that cannot be used")


class SourceFileQuery(Model):
    """What a file that is sent defines."""

    environment: Name | None = Field(None, description="the name of its environment")
    namespace: Slug | None = Field(
        None, description="that environment's, where the source has none of its own"
    )
    problem: Annotated[str, Field(max_length=2000), AfterValidator(_printable)] = Field(
        "", description="why the file cannot be used where it is; then there is no body"
    )


class NewSource(Model):
    """Where files are that define environments."""

    name: Name
    kind: Literal["directory", "git", "remote"]
    location: Line = Field(
        "", description="a path of the server; https://…; or, for people, where a client is"
    )
    namespace: Slug | None = Field(
        None, description="whose environments they are; `null`: patterns say it by `{namespace}`"
    )
    branch: Line = Field("", description="of a repository; empty: its default branch")
    folder: Line = Field("", description="of a repository; empty: all of it")
    patterns: list[Line] | None = Field(
        None,
        max_length=50,
        description="such as `{environment}/environment.yml`; `null`: the usual ones",
    )
    removed: Removed = Field("keep", description="what becomes of environments without their file")
    edits: Edits = Field("refuse", description="what becomes of edits elsewhere")
    activate: bool = Field(True, description="`false`: new versions are proposals")


class SourceChange(Model):
    """What is to be changed of a source; what is left out stays."""

    name: Name | None = None
    location: Line | None = None
    branch: Line | None = None
    folder: Line | None = None
    patterns: list[Line] | None = Field(
        None, max_length=50, description="`[]`: the usual ones from now on"
    )
    removed: Removed | None = None
    edits: Edits | None = None
    activate: bool | None = None


class SchedulesQuery(PageQuery):
    """Which schedules."""

    namespace: Slug | None = Field(None, description="of one namespace alone, by its slug")
    problems: Flag = Field("false", description="only those that could not be carried out last")


class ScheduleValues(Model):
    """When an environment is solved anew, and what becomes of what comes of it."""

    cron: Annotated[str, Field(max_length=200), AfterValidator(_line)] = Field(
        description="`hourly`, `daily`, `weekly`, `monthly`, `yearly`, or five fields such as"
        " `30 3 * * MON`"
    )
    timezone: Annotated[str, Field(max_length=100), AfterValidator(_line)] = Field(
        "UTC", description="as the time zone database names it, such as `Europe/Berlin`"
    )
    then: Literal["propose", "test", "activate"] = Field(
        "propose",
        description="a new version is a proposal, a proposal that becomes active when its test"
        " passes, or becomes active",
    )
    on_advisories: bool = Field(
        True, description="whether an advisory against the active version has it solved at once"
    )
    paused: bool = False


class FindingsQuery(NumberPageQuery):
    """Which findings."""

    policy: Search | None = Field(None, description="of the policy with that name alone")
    namespace: Slug | None = Field(None, description="of one namespace alone, by its slug")
    environment: Slug | None = Field(None, description="of environments with that slug alone")
    active: Flag = Field("false", description="only those of the builds of active versions")


class PolicyBody(Model):
    """A policy's text."""

    text: Annotated[str, Field(max_length=MAX_POLICY)] = Field(description="TOML")


class PolicyTrial(PolicyBody):
    """A policy that is tried."""

    name: Name | None = Field(None, description="of the policy that it is to replace")
    namespace: Slug | None = Field(None, description="as whose own policy it is tried")
    specification: Annotated[str, Field(max_length=MAX_POLICY)] | None = Field(
        None, description="a file as `POST /api/v1/builds` takes it"
    )


class NewBlock(Model):
    """A build that nobody is to get."""

    key: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    reason: Annotated[Note, Field(min_length=1)]


class NewWaiver(Model):
    """What somebody asks to be let pass.

    With an `environment` alone, it is what its newest version that failed was refused for. Without
    one, it is for everybody.
    """

    reason: Annotated[Note, Field(min_length=1)]
    environment: str | None = Field(
        None, max_length=201, pattern=r"^[^/\s]+/[^/\s]+$", description="as `namespace/environment`"
    )
    version: int | None = Field(None, ge=1, lt=2**31, description="`null`: the newest refused one")
    policy: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_line)] | None = None
    spec: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_line)] | None = Field(
        None, description="of one package: a match spec, or a requirement with `pypi`"
    )
    manager: Literal["conda", "pypi"] = "conda"

    @model_validator(mode="after")
    def _says_enough(self) -> "NewWaiver":
        if (self.policy is None) != (self.spec is None):
            raise ValueError("'policy' and 'spec' go together: what it refuses, and what is wanted")
        if self.environment is None and self.policy is None:
            raise ValueError("say an 'environment', or a 'policy' and a 'spec'")
        if self.environment is None and self.version is not None:
            raise ValueError("'version' is that of an 'environment': say which one")
        return self

    @property
    def place(self) -> tuple[str, str] | None:
        """Namespace and environment."""
        if self.environment is None:
            return None
        namespace, _, environment = self.environment.partition("/")
        return namespace, environment


class WaiverDecision(Model):
    """What is decided about a waiver."""

    grant: bool
    reason: Note = ""
    expires_at: Moment | None = Field(None, description="`null`: never")
    scope: Literal["environment", "namespace", "everything"] | None = Field(
        None, description="where it holds; `null`: as it was asked for"
    )
    spec: Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_line)] | None = Field(
        None, description="of the same package; `null`: as it was asked for"
    )

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> "WaiverDecision":
        if not self.grant and not self.reason.strip():
            raise ValueError("say in 'reason' why it is refused")
        if not self.grant and (self.expires_at or self.scope or self.spec):
            raise ValueError("'expires_at', 'scope' and 'spec' are of what is granted")
        return self


class WebhooksQuery(NumberPageQuery):
    """Which webhooks."""

    namespace: Slug | None = Field(None, description="of this namespace's events alone")


class DeliveriesQuery(NumberPageQuery):
    """Which deliveries."""

    state: Literal["waiting", "delivered", "failed"] | None = Field(
        None, description="only those in it"
    )


#: A glob on what happened, as in ``version.*``.
ActionGlob = Annotated[str, Field(max_length=100, pattern=r"^[a-z_*]+(\.[a-z_*]+)?$")]
Address = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_line)]
MAX_ACTIONS: Final = 50


class NewWebhook(Model):
    """Whom events are to be sent to."""

    url: Address = Field(description="as https://example.org/hook; of `mail`, as ada@example.org")
    namespace: Slug | None = Field(None, description="whose events; `null`: everybody's")
    environment: Glob = Field("*", description="only those of these environments")
    kind: Literal["webhook", "mail"] = "webhook"
    format: Literal["standard", "chat"] = Field(
        "standard", description="`chat`: one sentence, as chat services take it"
    )
    actions: list[ActionGlob] | None = Field(
        None,
        max_length=MAX_ACTIONS,
        description="as `version.*`; `null`: all, and of mail and `chat` what people want to read",
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> "NewWebhook":
        if self.kind == "mail" and self.format != "standard":
            raise ValueError("'format' is of webhooks: mail is for people as it is")
        if self.namespace is None and self.environment != "*":
            raise ValueError("'environment' is one of a 'namespace': say which")
        return self


class WebhookChange(Model):
    """What is to be changed of a webhook."""

    url: Address | None = Field(None, description="as a whole: what is shown as *** is not kept")
    environment: Glob | None = Field(None, description="only events of these environments")
    format: Literal["standard", "chat"] | None = None
    actions: list[ActionGlob] | None = Field(
        None, max_length=MAX_ACTIONS, description="as `version.*`; empty: all"
    )
    enabled: bool | None = Field(None, description="it goes on where it was")
    skip: bool = Field(False, description="forget what waits: go on with what happens from now on")


class ProposalsQuery(NumberPageQuery):
    """Which proposals."""

    state: Literal["open", "activated", "rejected", "replaced"] | None = None
    namespace: Slug | None = Field(None, description="of one namespace alone, by its slug")
    environment: Slug | None = Field(None, description="of environments with that slug alone")


class ProposalDecision(Model):
    """What is decided about a proposal."""

    activate: bool = Field(description="make it the active version; `false`: it is not wanted")
    reason: Note = ""


#: The most that a quota can say, of bytes and of other things.
MAX_BYTES: Final = 2**60
MAX_COUNT: Final = 1_000_000_000
MAX_DAYS: Final = 36_500


def _whole(
    at_least: int, at_most: int, word: str | None, otherwise: str = "null for the default"
) -> Callable[[Any], Any]:
    """Return what takes a whole number, a word in its place, or nothing; JSON's true is none."""
    said = f', "{word}"' if word is not None else ""
    rule = f"is a whole number from {at_least} to {at_most}{said}, or {otherwise}"

    def check(value: Any) -> Any:
        if value is None or (word is not None and value == word):
            return value
        # A bool is an int to Python, and 5.0 would be one to others.
        if type(value) is not int or not at_least <= value <= at_most:
            raise ValueError(rule)
        return value

    return check


def _schema(at_least: int, at_most: int, word: str | None) -> WithJsonSchema:
    kinds: list[dict[str, Any]] = [{"type": "integer", "minimum": at_least, "maximum": at_most}]
    if word is not None:
        kinds.append({"const": word, "type": "string"})
    return WithJsonSchema({"anyOf": [*kinds, {"type": "null"}]})


ByteLimit = Annotated[
    int | Literal["none"] | None,
    BeforeValidator(_whole(0, MAX_BYTES, "none")),
    _schema(0, MAX_BYTES, "none"),
]
CountLimit = Annotated[
    int | Literal["none"] | None,
    BeforeValidator(_whole(0, MAX_COUNT, "none")),
    _schema(0, MAX_COUNT, "none"),
]
#: With none at once, what waits would wait for ever.
OnceLimit = Annotated[
    int | Literal["none"] | None,
    BeforeValidator(_whole(1, MAX_COUNT, "none")),
    _schema(1, MAX_COUNT, "none"),
]
KeptDays = Annotated[
    int | Literal["never"] | None,
    BeforeValidator(_whole(0, MAX_DAYS, "never")),
    _schema(0, MAX_DAYS, "never"),
]
KeptVersions = Annotated[
    int | None, BeforeValidator(_whole(0, MAX_COUNT, None)), _schema(0, MAX_COUNT, None)
]


class QuotaValues(Model):
    """What a namespace may have: `null`, or left out, is the default of the service."""

    size_bytes: ByteLimit = Field(None, description="of its images, each blob once")
    environments: CountLimit = None
    builds_a_day: CountLimit = Field(None, description="versions asked for in a day, UTC")
    builds_at_once: OnceLimit = Field(None, description="the others wait")


class RetentionValues(Model):
    """What of versions that are not active is kept: `null`, or left out, is the default."""

    days: KeptDays = Field(None, description="without a use until their files may go")
    keep: KeptVersions = Field(None, description="newest versions that keep theirs in any case")


class RetentionTrial(Model):
    """What to try: `null`, or left out, is what is set."""

    days: KeptDays = None
    keep: KeptVersions = None


class UsageQuery(Model):
    """Over which days."""

    days: int = Field(30, ge=1, le=366, description="how many days, today included")
    alone: Flag = Field("false", description="also what it has that no other environment has")


class UsagePageQuery(PageQuery):
    """Over which days, and which part of a list."""

    days: int = Field(30, ge=1, le=366, description="how many days, today included")


class NamespacesUsageQuery(UsagePageQuery):
    """Over which days, in which order, and which part of a list."""

    sort: Literal["name", "size"] = Field(
        "name", description="by name, or what takes most first, as it was counted last"
    )


def parse_query(model: type[Model], pairs: list[tuple[str, str]]) -> Model:
    """Return the parameters of an address.

    Raises:
        ParameterInvalid: One of them means nothing, or came twice.
    """
    sent: dict[str, Any] = {}
    for name, value in pairs:
        if name in model.model_fields and get_origin(model.model_fields[name].annotation) is tuple:
            sent.setdefault(name, []).append(value)
        elif name in sent:
            raise ParameterInvalid(f"the parameter '{name[:50]}' came twice: send it once")
        else:
            sent[name] = value
    try:
        return model.model_validate(sent)
    except ValueError as exc:
        raise _invalid(model, exc, "parameter") from exc


def parse_body(model: type[Model], data: bytes) -> Model:
    """Return what a body says.

    Raises:
        ParameterInvalid: It is no JSON, or says what means nothing.
    """
    try:
        return model.model_validate_json(data)
    except ValueError as exc:
        raise _invalid(model, exc, "field") from exc


def _invalid(model: type[Model], exc: ValueError, what: str) -> ParameterInvalid:
    """Return one sentence on the first thing that is wrong."""
    errors: list[Any] = getattr(exc, "errors", list)()
    if not errors:
        return ParameterInvalid("what was sent cannot be read")
    first = errors[0]
    field = ".".join(str(part) for part in first["loc"])[:100]
    known = ", ".join(model.model_fields) or "none"
    if first["type"] == "extra_forbidden":
        return ParameterInvalid(f"there is no {what} '{field}' here; there is {known}", field=field)
    if first["type"] == "json_invalid":
        return ParameterInvalid("the body is JSON: what was sent cannot be read as that")
    if first["type"] == "model_type":
        return ParameterInvalid(f"the body is a JSON object with {known}")
    told = str(first["msg"]).removeprefix("Value error, ")
    told = told[:1].lower() + told[1:]
    if not field:
        return ParameterInvalid(told)
    return ParameterInvalid(f"{what} '{field}': {told}"[:400], field=field)
