"""What may be sent to the catalog's addresses: the models that validate it, and describe it.

A field that is none is an error, as is text without end: what is accepted is what is meant. The
same models are the schemas of ``/api/v1/openapi.json``.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from builder.platforms import Subdir
from registry.errors import ParameterInvalid

#: The most that one page has.
MAX_PAGE: Final = 100
DEFAULT_PAGE: Final = 50


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
Glob = Annotated[str, Field(max_length=100, pattern=r"^[a-z0-9*]([a-z0-9._*-]*[a-z0-9*])?$")]
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


class EnvironmentsQuery(PageQuery):
    """Which environments."""

    search: Search = Field("", description="in name or description")
    package: Search | None = Field(None, description="a package that the active version has")
    version: Search | None = Field(None, description="exactly this version of `package`")

    @model_validator(mode="after")
    def _has_package(self) -> "EnvironmentsQuery":
        if self.version is not None and self.package is None:
            raise ValueError("'version' is that of a 'package': say which one")
        return self


class NamespaceEnvironmentsQuery(EnvironmentsQuery):
    """Which environments of a namespace."""

    deleted: Flag = Field("false", description="also those that can be restored")


class NewEnvironmentQuery(Model):
    """What is said beside a specification that is sent as it is."""

    name: Name | None = Field(None, description="of the environment; then the body is a file")
    description: Description = ""
    note: Note = Field("", description="on the first version")


class NewVersionQuery(Model):
    """What is said beside a specification."""

    note: Note = ""
    activate: Flag = Field("true", description="make it active when it is built")
    renew: Flag = Field("false", description="solve again, also if nothing was changed")


class FormQuery(Model):
    """Of which platform a form is."""

    platform: Subdir | None = Field(None, description="another than the first")
    wait: int | None = Field(
        None, ge=0, le=9, description="how often the server has sent you here again"
    )


class SbomQuery(FormQuery):
    """In which format."""

    format: Literal["spdx", "cyclonedx"] = "spdx"


class TokensQuery(NumberPageQuery):
    """Which tokens."""

    user: Account | None = Field(None, description="of whom; for administrators")
    ended: Flag = Field("false", description="also those that have ended, or were revoked")


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


def parse_query(model: type[Model], pairs: list[tuple[str, str]]) -> Model:
    """Return the parameters of an address.

    Raises:
        ParameterInvalid: One of them means nothing, or came twice.
    """
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ParameterInvalid(f"the parameter '{name[:50]}' came twice: send it once")
    try:
        return model.model_validate(dict(pairs))
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
