"""Users for tests, with passwords that are verified quickly."""

import base64
import datetime
import secrets
from pathlib import Path
from typing import Final

from argon2 import PasswordHasher

from registry.auth.access import Access
from registry.auth.logins import Logins
from registry.auth.policy import FixedPolicy, Identity, Policy
from registry.auth.rights import parse_pattern, parse_right
from registry.auth.secret import hash_secret

PASSWORD: Final = "correct horse: battery ä"
TOKEN: Final = "pft_" + "x" * 43

#: One pass over 8 KiB: verified in no time, with the same code.
_QUICK: Final = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
HASH: Final = _QUICK.hash(PASSWORD)


def still() -> float:
    """Return the time of a clock that stands: what is counted is not given back, however slow."""
    return 0.0


def quick_hash(secret: str) -> str:
    return _QUICK.hash(secret)


def user(
    name: str,
    *rights: str,
    hashed: str = HASH,
    expires: datetime.datetime | None = None,
) -> Identity:
    return Identity(name, hashed, tuple(parse_right(right) for right in rights), expires)


def robot(name: str, *rights: str) -> Identity:
    return user(name, *rights, hashed=hash_secret(TOKEN))


def policy_of(*identities: Identity, private: tuple[str, ...] = ()) -> Policy:
    by_name = {identity.name: identity for identity in identities}
    return Policy(secrets.token_hex(32), by_name, tuple(map(parse_pattern, private)))


def access_of(*identities: Identity, private: tuple[str, ...] = ()) -> Access:
    return Access(FixedPolicy(policy_of(*identities, private=private)), Logins(still))


def basic(name: str, secret: str = PASSWORD) -> str:
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def write_policy(path: Path, *lines: str) -> None:
    path.write_text("\n".join([f'token_key = "{"a" * 64}"', *lines]), encoding="utf-8")
