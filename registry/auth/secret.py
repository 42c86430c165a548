"""Passwords and robot tokens, and what is kept of them.

A password is kept as its argon2id hash, which takes a tenth of a second and 64 MiB to verify, since
people choose passwords that can be guessed. A token is 256 random bits, kept as its sha256:
guessing is hopeless, and hundreds of nodes log in with one.

Which of the two is verified depends on what is presented, not on whom it is presented for: how long
an answer takes does not tell whether somebody of that name exists.
"""

import hashlib
import hmac
import re
import secrets
from typing import Final, Literal

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

#: What every token begins with, so that scanners find those that were published by mistake.
TOKEN_PREFIX: Final = "pft_"  # noqa: S105 (public by design)

_SHA256: Final = "sha256:"
_TOKEN_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")
_ARGON2: Final = PasswordHasher()
#: What is verified where there is nothing else to verify; the answer is no, whatever it says.
_NOBODY_TOKEN: Final = _SHA256 + "0" * 64
_NOBODY_PASSWORD: Final = "$argon2id$v=19$m=65536,t=3,p=4$" + "A" * 22 + "$" + "A" * 43


def new_token() -> str:
    """Return a token that nobody has had before."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def is_token(secret: str) -> bool:
    """Tell whether a secret is a token rather than a password: verifying it costs nothing."""
    return secret.startswith(TOKEN_PREFIX)


def hash_secret(secret: str) -> str:
    """Return what to keep of a password or token; takes a tenth of a second for a password."""
    return _sha256(secret) if is_token(secret) else _ARGON2.hash(secret)


def kind_of_hash(text: str) -> Literal["password", "token"] | None:
    """Tell of what ``text`` is a hash, or ``None`` if it is none that is taken here."""
    if text.startswith("$argon2id$"):
        return "password"
    return "token" if _TOKEN_HASH.fullmatch(text) else None


def verify_secret(secret: str, hashed: str | None) -> bool:
    """Tell whether ``hashed`` was made from ``secret``, in a time that does not depend on it.

    Args:
        secret: As it was presented.
        hashed: What is kept, or ``None`` if nobody has the name that was presented.
    """
    kind = kind_of_hash(hashed or "")
    if is_token(secret):
        kept = hashed if hashed and kind == "token" else _NOBODY_TOKEN
        return hmac.compare_digest(_sha256(secret), kept)
    kept = hashed if hashed and kind == "password" else _NOBODY_PASSWORD
    try:
        _ARGON2.verify(kept, secret)
    except (VerificationError, InvalidHashError):
        return False
    return kind == "password"


def sha256_of(secret: str) -> str:
    """Return the hex digits by which a token is looked up."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _sha256(secret: str) -> str:
    return _SHA256 + sha256_of(secret)
