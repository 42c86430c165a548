"""What an OpenID provider publishes: where its endpoints are, and its keys.

Both are asked for when somebody logs in, kept for a while, and bounded: a provider that hangs, or
answers gigabytes, fails that login and nothing else.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from authlib.oidc.discovery import get_well_known_url
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet

from builder.concurrency.single_flight import SingleFlight
from builder.network.content_encoding import refuse_encodings
from registry.errors import ProviderUnavailable

#: How long what a provider publishes is used.
METADATA_SECONDS: Final = 3600.0
#: How long a key that is published no longer is still taken.
KEYS_SECONDS: Final = 900.0
#: How soon keys are asked for again, when a token names one that was not among them.
ROTATION_SECONDS: Final = 10.0

_TIMEOUT_SECONDS: Final = 10.0
_MAX_BYTES: Final = 512 * 1024
_MAX_KEYS: Final = 100
#: Kinds of keys that sign without a secret that both sides share.
_PUBLIC_KINDS: Final = frozenset({"RSA", "EC", "OKP"})
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class ProviderMetadata:
    """Where a provider's endpoints are, and what they take."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    end_session_endpoint: str | None
    #: How a client says who it is to the token endpoint.
    token_auth_methods: frozenset[str]
    #: Whether it names itself in each answer to the browser (RFC 9207).
    names_itself: bool


@dataclass(frozen=True, slots=True)
class _Kept:
    keys: tuple[Key, ...]
    since: float


class OidcProvider:
    """Asks a provider, and remembers what it said.

    Args:
        http: Reaches it; follows no redirects.
        issuer: Its identifier, below which its metadata are.
        clock: Tells seconds that pass.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        issuer: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.issuer = issuer
        self._http = http
        self._clock = clock
        self._metadata: tuple[ProviderMetadata, float] | None = None
        self._keys: _Kept | None = None
        self._asked_for_metadata: SingleFlight[ProviderMetadata] = SingleFlight()
        self._asked_for_keys: SingleFlight[_Kept] = SingleFlight()

    async def aclose(self) -> None:
        """Give up what is being asked for."""
        await self._asked_for_metadata.close()
        await self._asked_for_keys.close()

    async def metadata(self) -> ProviderMetadata:
        """Return where its endpoints are.

        Raises:
            ProviderUnavailable: It does not answer, or says nothing that can be used.
        """
        kept = self._metadata
        if kept is not None and self._clock() < kept[1] + METADATA_SECONDS:
            return kept[0]
        return await self._asked_for_metadata.run("metadata", self._discover)

    async def keys_for(self, key_id: str | None) -> KeySet:
        """Return the keys that a token may be signed with.

        Args:
            key_id: What the token calls its key; they are asked for again if there is none of that
                name, unless that was a moment ago. ``None``: it does not say.

        Raises:
            ProviderUnavailable: It does not answer, or has no key.
        """
        kept, now = self._keys, self._clock()
        is_missing = kept is not None and key_id is not None and not _has(kept, key_id)
        age = KEYS_SECONDS if not is_missing else ROTATION_SECONDS
        if kept is None or now >= kept.since + age:
            kept = await self._asked_for_keys.run("keys", self._fetch_keys)
        found = [key for key in kept.keys if key_id is None or key.kid == key_id]
        return KeySet(found or list(kept.keys))

    async def ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Return the status and the JSON object that an endpoint answers.

        Raises:
            ProviderUnavailable: It does not answer, or with something else.
        """
        sent = {"accept": "application/json", "accept-encoding": "gzip", **(headers or {})}
        try:
            async with (
                asyncio.timeout(_TIMEOUT_SECONDS),
                self._http.stream(
                    method, url, headers=sent, data=form, follow_redirects=False
                ) as answer,
            ):
                await refuse_encodings(answer)
                data = bytearray()
                async for piece in answer.aiter_bytes(64 * 1024):
                    data += piece
                    if len(data) > _MAX_BYTES:
                        raise self._failed("answered more than is taken")
            document = json.loads(data)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as exc:
            raise self._failed("does not answer") from exc
        except (ValueError, RecursionError) as exc:
            raise self._failed("answered something that is no JSON") from exc
        if not isinstance(document, dict):
            raise self._failed("answered something that is no JSON object")
        return answer.status_code, document

    async def _discover(self) -> ProviderMetadata:
        status, document = await self.ask("GET", get_well_known_url(self.issuer, external=True))
        if status != 200:
            raise self._failed(f"has no metadata: it answered {status}")
        # Else one provider could speak for another (Discovery 1.0, 4.3).
        if document.get("issuer") != self.issuer:
            raise self._failed(
                f"calls itself {str(document.get('issuer'))[:200]!r}:"
                " set PULLFORGE_OIDC_ISSUER to exactly that, if that is who it is"
            )
        metadata = ProviderMetadata(
            self._endpoint(document, "authorization_endpoint"),
            self._endpoint(document, "token_endpoint"),
            self._endpoint(document, "jwks_uri"),
            self._optional(document, "userinfo_endpoint"),
            self._optional(document, "end_session_endpoint"),
            _texts(document.get("token_endpoint_auth_methods_supported")),
            document.get("authorization_response_iss_parameter_supported") is True,
        )
        self._metadata = metadata, self._clock()
        return metadata

    async def _fetch_keys(self) -> _Kept:
        metadata = await self.metadata()
        status, document = await self.ask("GET", metadata.jwks_uri)
        listed = document.get("keys")
        if status != 200 or not isinstance(listed, list):
            raise self._failed(f"has no keys: it answered {status}")
        kept = _Kept(tuple(_signing_keys(listed)), self._clock())
        if not kept.keys:
            raise self._failed("has no key that can be used")
        self._keys = kept
        return kept

    def _endpoint(self, document: Mapping[str, object], name: str) -> str:
        url = document.get(name)
        if not isinstance(url, str) or not is_safe_address(url, beside=self.issuer):
            raise self._failed(f"names no {name} that can be used")
        return url

    def _optional(self, document: Mapping[str, object], name: str) -> str | None:
        return self._endpoint(document, name) if document.get(name) else None

    def _failed(self, what: str) -> ProviderUnavailable:
        return ProviderUnavailable(
            f"the login service {self.issuer} {what}; try again later, or tell the administrator"
        )


def is_safe_address(url: str, *, beside: str = "") -> bool:
    """Tell whether secrets may be sent there: with TLS, or within this machine.

    Args:
        url: The address.
        beside: If that is on this machine without TLS, so may the address be.

    >>> is_safe_address("https://id.example/a"), is_safe_address("http://id.example/a")
    (True, False)
    >>> is_safe_address("http://localhost:9/a", beside="http://localhost:9")
    True
    >>> is_safe_address("http://localhost:9/a", beside="https://id.example")
    False
    """
    try:
        parts, other = urlsplit(url), urlsplit(beside or url)
    except ValueError:
        return False
    if not parts.hostname or "@" in parts.netloc or parts.fragment or not url.isascii():
        return False
    is_local = all(one.scheme == "http" and one.hostname in _LOCAL for one in (parts, other))
    return parts.scheme == "https" or is_local


def _has(kept: _Kept, key_id: str) -> bool:
    return any(key.kid == key_id for key in kept.keys)


def _signing_keys(listed: list[object]) -> list[Key]:
    """Return those that can be used; the others may be of a kind that is not known yet."""
    found: list[Key] = []
    for data in listed[:_MAX_KEYS]:
        if not isinstance(data, dict) or data.get("kty") not in _PUBLIC_KINDS:
            continue
        if data.get("use", "sig") != "sig":
            continue
        try:
            key = JWKRegistry.import_key(data)
            key.ensure_kid()
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        found.append(key)
    return found


def _texts(value: object) -> frozenset[str]:
    listed = value if isinstance(value, list) else []
    return frozenset(one for one in listed if isinstance(one, str))
