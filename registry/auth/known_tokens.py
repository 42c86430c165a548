"""The tokens of the database that may be used now, in memory: found by the digest of a secret."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, Protocol

from registry.auth.rights import Need, Right, parse_right
from registry.auth.secret import sha256_of


class KnownToken(Protocol):
    """A token of the database."""

    @property
    def id(self) -> int:
        """Its number; no other token has it."""
        ...

    @property
    def principal(self) -> str:
        """Whose rights it has, at most."""
        ...

    @property
    def kind(self) -> Literal["personal", "robot", "session"]:
        """What it is for."""
        ...

    @property
    def scopes(self) -> tuple[str, ...] | None:
        """Rights that it is limited to; ``None``: all of its principal's."""
        ...

    @property
    def expires_at(self) -> datetime | None:
        """When it ends; ``None``: never."""
        ...

    @property
    def sha256(self) -> str:
        """Hex digits of the secret's sha256."""
        ...


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token that may be used now."""

    id: int
    principal: str
    kind: Literal["personal", "robot", "session"]
    #: ``None``: it is not limited.
    scopes: tuple[Right, ...] | None
    expires_at: datetime | None
    sha256: str = field(repr=False)

    def allows(self, need: Need) -> bool:
        """Tell whether it is not too limited for a need."""
        return self.scopes is None or any(right.covers(need) for right in self.scopes)


class KnownTokens:
    """Knows tokens by number and by digest, and when they were used.

    Args:
        is_refused: Tells whether nothing of somebody's is good for anything.
        now: Tells the time, in seconds since 1970: tokens end by it.
    """

    def __init__(self, is_refused: Callable[[str], bool], now: Callable[[], float]) -> None:
        self._is_refused = is_refused
        self._now = now
        self._tokens: dict[int, TokenRecord] = {}
        self._by_digest: dict[str, int] = {}
        self._used: dict[int, float] = {}

    def put(self, token: KnownToken) -> None:
        """Know a token; one of the same number is replaced.

        One whose scopes cannot be understood, of a later version, is good for nothing.
        """
        self.remove(token.id)
        scopes: tuple[Right, ...] | None = None
        if token.scopes is not None:
            try:
                scopes = tuple(map(parse_right, token.scopes))
            except ValueError:
                scopes = ()
        self._tokens[token.id] = TokenRecord(
            token.id, token.principal, token.kind, scopes, token.expires_at, token.sha256
        )
        self._by_digest[token.sha256] = token.id

    def remove(self, token: int) -> None:
        """Refuse a token from now on; harmless if it is not known."""
        known = self._tokens.pop(token, None)
        if known is not None:
            self._by_digest.pop(known.sha256, None)
            self._used.pop(token, None)

    def of_secret(self, secret: str) -> TokenRecord | None:
        """Return the token whose secret that is, noting its use; ``None``: none that is good.

        A browser's session is none: it is good for a cookie alone.
        """
        return self._noted(self._good(self._by_digest.get(sha256_of(secret))))

    def of_number(self, number: int) -> TokenRecord | None:
        """Return the token of a number, noting its use; ``None``: it is not good any more."""
        return self._noted(self._good(number))

    def parent(self, number: int) -> TokenRecord | None:
        """Return what a child token ends with, noting its use; ``None``: it is not good any more.

        It may be a browser's session.
        """
        found = self._good(number)
        self._noted(found)
        return found

    def session(self, sha256: str) -> TokenRecord | None:
        """Return the browser's session that has a digest; ``None``: none that is good."""
        found = self._good(self._by_digest.get(sha256))
        return found if found is not None and found.kind == "session" else None

    def take_used(self) -> Mapping[int, datetime]:
        """Return when tokens were used since this was called last."""
        used, self._used = self._used, {}
        return {number: datetime.fromtimestamp(at, UTC) for number, at in used.items()}

    def _good(self, number: int | None) -> TokenRecord | None:
        found = self._tokens.get(number) if number is not None else None
        if found is None or self._is_refused(found.principal):
            return None
        ends = found.expires_at
        return found if ends is None or ends.timestamp() > self._now() else None

    def _noted(self, token: TokenRecord | None) -> TokenRecord | None:
        if token is None or token.kind == "session":
            return None
        self._used[token.id] = self._now()
        return token
