"""Verifying what a provider says of who has logged in.

Source:
    OpenID Connect Core 1.0, 3.1.3.7.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any, Final

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from registry.errors import LoginRefused

#: By a public key alone: neither ``none`` nor an algorithm for which a key that everyone can read
#: would be the secret.
ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA", "Ed25519"),
)
#: How far the provider's clock may be off.
LEEWAY_SECONDS: Final = 60
_MAX_CHARACTERS: Final = 64 * 1024


def key_id_of(token: str) -> str | None:
    """Return what a token calls its key; ``None`` if it does not say, or is no token.

    Nothing is verified: it says where to look.
    """
    try:
        header = token.partition(".")[0]
        found = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
        key_id = found.get("kid")
    except (ValueError, AttributeError, RecursionError):
        return None
    return key_id if isinstance(key_id, str) else None


def verify_id_token(
    token: str,
    keys: KeySet,
    *,
    issuer: str,
    client_id: str,
    nonce: str,
    access_token: str | None,
    now: float,
) -> Mapping[str, Any]:
    """Return the claims of an ID token that was made for this login.

    Args:
        token: As the token endpoint gave it.
        keys: The provider's.
        issuer: Who must have made it.
        client_id: For whom.
        nonce: For which login.
        access_token: That came with it; a token that names another is refused.
        now: In seconds since 1970.

    Raises:
        LoginRefused: It is another's, old, not signed by one of the keys, or no token.
    """
    if len(token) > _MAX_CHARACTERS:
        raise _refused("is too long")
    options = {
        "iss": {"essential": True, "value": issuer},
        "aud": {"essential": True, "value": client_id},
        "nonce": {"essential": True, "value": nonce},
    }
    params = {"nonce": nonce, "client_id": client_id, "access_token": access_token}
    try:
        # Providers write header fields of their own.
        registry = JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
        decoded = jwt.decode(token, keys, algorithms=ALGORITHMS, registry=registry)
        claims = CodeIDToken(decoded.claims, decoded.header, options, params)
        claims.validate(now=int(now), leeway=LEEWAY_SECONDS)
    except JoseError as exc:
        raise _refused(f"cannot be used ({exc.error})") from exc
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise _refused("cannot be read") from exc
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise _refused("names nobody")
    return dict(claims)


def _refused(why: str) -> LoginRefused:
    return LoginRefused(f"what the login service says of you {why}: log in again")
