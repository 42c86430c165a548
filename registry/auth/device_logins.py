"""Logins of programs without a browser: a person confirms a short code in theirs.

::

    begin()  → device code, for the program alone; user code, for the person to type
    decide() ← somebody who has logged in says yes or no
    take()   ← the program asks with its device code, until somebody has decided

Guessing is hopeless: a device code has 256 bits; a user code has 34, lives for ten minutes, and
only those who have logged in may try some, few of them.

Source:
    RFC 8628.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

#: How long a code can be confirmed.
LIFETIME_SECONDS: Final = 600
#: How long a program waits between two questions.
INTERVAL_SECONDS: Final = 5
#: How many may wait at once, of all clients and of one.
MAX_WAITING: Final = 10_000
MAX_WAITING_OF_ONE: Final = 20

#: No vowels, so that no words come out; no digits, so that none is taken for a letter (6.1).
_ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
_LENGTH: Final = 8
_BETWEEN: Final = re.compile(r"[\s-]+")
_USER_CODE: Final = re.compile(f"[{_ALPHABET}]{{{_LENGTH}}}")

#: Whether somebody has decided.
State = Literal["waiting", "granted", "denied"]


@dataclass(frozen=True, slots=True)
class DeviceLogin:
    """A program that waits."""

    user_code: str
    #: What is kept of its device code.
    device_sha256: str = field(repr=False)
    #: What it calls itself, to be shown to whoever confirms.
    client: str
    #: Where it asked from.
    address: str
    #: Seconds since 1970.
    ends_at: float
    state: State = "waiting"
    #: Who has granted it.
    name: str | None = None


class DeviceLogins(Protocol):
    """Keeps the logins that wait; all servers behind one address keep the same.

    All methods raise :class:`registry.errors.DatabaseUnavailable` when what keeps them does not
    answer.
    """

    async def begin(self, client: str, address: str) -> tuple[str, DeviceLogin]:
        """Return a new device code, which is kept nowhere, and the login that waits.

        Raises:
            TooManyLogins: Too many wait.
        """
        ...

    async def find(self, user_code: str) -> DeviceLogin | None:
        """Return the login that waits for a decision under a code, if one does."""
        ...

    async def decide(self, user_code: str, name: str | None) -> bool:
        """Grant a login in somebody's name, or with ``None`` deny it; only the first counts.

        Returns:
            Whether this was the first.
        """
        ...

    async def take(self, device_code: str) -> DeviceLogin | None:
        """Return how far a login is; one that was decided is gone after that: told once."""
        ...


def new_user_code() -> str:
    """Return a code for a person to type."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def read_user_code(text: str) -> str | None:
    """Return the code that somebody typed; ``None`` if it can be none.

    >>> read_user_code(" bcdf-ghjk "), read_user_code("1234")
    ('BCDFGHJK', None)
    """
    code = _BETWEEN.sub("", text[:100]).upper()
    return code if _USER_CODE.fullmatch(code) else None


def shown_user_code(code: str) -> str:
    """Return a code as people read it.

    >>> shown_user_code("BCDFGHJK")
    'BCDF-GHJK'
    """
    return f"{code[:4]}-{code[4:]}"


def digest_of(device_code: str) -> str:
    """Return what is kept of a device code."""
    return hashlib.sha256(device_code.encode("utf-8", "surrogatepass")).hexdigest()
