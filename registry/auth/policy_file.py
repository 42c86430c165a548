"""The policy in a file, read again when it changes.

::

    token_key = "…"                                  # 32 random bytes, in hex
    private = ["team/**"]                            # pulled only with a right to

    [users.ada]
    hash = "$argon2id$…"
    rights = ["team/*:pull,push", "**:catalog"]

    [tokens.ci]                                      # a robot
    hash = "sha256:…"
    rights = ["team/forecast:push"]
    expires = 2027-01-01T00:00:00Z                   # may be left out
"""

import asyncio
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import structlog
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, ValidationError

from registry.auth.policy import Identity, Policy
from registry.auth.rights import parse_pattern, parse_right
from registry.auth.secret import kind_of_hash
from registry.errors import PolicyInvalid

_log = structlog.get_logger("registry.auth")

#: What tells one version of a file from the next.
_Version = tuple[int, int, int]

#: How often the file is looked at: within this time a change is known.
RELOAD_SECONDS: Final = 1.0

#: More than any organisation needs, and little enough to read at once.
_MAX_BYTES: Final = 16 * 1024 * 1024
#: How much is told of what is wrong with one: names may be as long as the file.
_MAX_REASON: Final = 500
#: What users and tokens can be called: HTTP's Basic scheme ends a name at a colon.
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_TOKEN_KEY: Final = re.compile(r"[0-9a-f]{64}")


def _text_of(parse: Callable[[str], object]) -> AfterValidator:
    """Refuse texts that ``parse`` refuses."""

    def check(text: str) -> str:
        parse(text)
        return text

    return AfterValidator(check)


def _hash_of(kind: str) -> AfterValidator:
    def check(text: str) -> None:
        if kind_of_hash(text) != kind:
            raise ValueError(f"this is no hash of a {kind}, as 'pullforge' makes it")

    return _text_of(check)


def _require_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name: write up to 64 letters, digits, '.', '_', '-' and '@'"
        )


def _require_key(text: str) -> None:
    if not _TOKEN_KEY.fullmatch(text):
        raise ValueError("it has to be 64 hexadecimal digits, as 'openssl rand -hex 32' writes")


_Name = Annotated[str, _text_of(_require_name)]


class _Table(BaseModel):
    """A table whose fields are all known: a misspelt ``expires`` would be a right for ever."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Entry(_Table):
    hash: str
    rights: list[Annotated[str, _text_of(parse_right)]] = []
    expires: AwareDatetime | None = None


class _User(_Entry):
    hash: Annotated[str, _hash_of("password")]


class _Token(_Entry):
    hash: Annotated[str, _hash_of("token")]


class _Document(_Table):
    token_key: Annotated[str, _text_of(_require_key)]
    private: list[Annotated[str, _text_of(parse_pattern)]] = []
    users: dict[_Name, _User] = {}
    tokens: dict[_Name, _Token] = {}


class PolicyFile:
    """Gives the policy of a file; implements :class:`registry.auth.policy.PolicySource`."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            PolicyInvalid: It cannot be read, or says something that has no meaning.
        """
        self._path = path
        self._version = _version(path)
        self._policy = read_policy(path)

    @property
    def policy(self) -> Policy:
        """The policy, as the file had it at most a second ago."""
        return self._policy

    async def follow(self) -> None:
        """Look for changes until cancelled.

        A file that cannot be read or understood changes nothing: the last good policy stays, and
        the log says what is wrong.
        """
        while True:
            await asyncio.sleep(RELOAD_SECONDS)
            await self.reload()

    async def reload(self) -> None:
        """Take in the file if it has changed; never raises."""
        version = await asyncio.to_thread(_version, self._path)
        if version == self._version:
            return
        self._version = version
        try:
            self._policy = await asyncio.to_thread(read_policy, self._path)
        except PolicyInvalid as exc:
            _log.error("failed to read the auth file, its last good content stays", why=exc.message)
        else:
            _log.info("read the auth file again", identities=len(self._policy.identities))


def read_policy(path: Path) -> Policy:
    """Return what a file says.

    Raises:
        PolicyInvalid: It cannot be read, or says something that has no meaning.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as exc:
        raise PolicyInvalid(
            f"the auth file {path} cannot be read ({exc.strerror}); 'pullforge user add' makes one"
        ) from exc
    if len(data) > _MAX_BYTES:
        raise PolicyInvalid(f"the auth file {path} is larger than {_MAX_BYTES} bytes")
    try:
        return parse_policy(data.decode("utf-8"))
    except (ValueError, RecursionError) as exc:
        raise PolicyInvalid(
            f"the auth file {path} says nothing that can be used: {str(exc)[:_MAX_REASON]}"
        ) from exc


def parse_policy(text: str) -> Policy:
    """Return the policy that a TOML document is.

    Raises:
        ValueError: It is none; the message names the field, and no secret.
    """
    try:
        document = _Document.model_validate(tomllib.loads(text))
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {first['msg'].removeprefix('Value error, ')}") from None
    identities: dict[str, Identity] = {}
    for name, entry in [*document.users.items(), *document.tokens.items()]:
        if name in identities:
            raise ValueError(f"{name!r} is both a user and a token: call one of them otherwise")
        rights = tuple(parse_right(right) for right in entry.rights)
        identities[name] = Identity(name, entry.hash, rights, entry.expires)
    private = tuple(parse_pattern(pattern) for pattern in document.private)
    return Policy(document.token_key, identities, private)


def _version(path: Path) -> _Version | None:
    """Return what changes with the file, also when it or a link on the way to it is replaced."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
