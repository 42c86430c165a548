"""Logging in at an OpenID provider: the authorization code flow with PKCE.

::

    begin()  → the provider's address for the browser, and a LoginAttempt that the browser keeps
    finish() ← the code that the browser brings back → an OidcLogin

Nothing is kept here between the two, so that any server behind one address can finish what
another began.

Source:
    OpenID Connect Core 1.0, 3.1; RFC 7636 (PKCE); RFC 9700; RP-Initiated Logout 1.0.
"""

import base64
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from registry.auth.id_token import key_id_of, verify_id_token
from registry.auth.oidc_provider import OidcProvider, ProviderMetadata
from registry.auth.policy_file import NAME
from registry.errors import LoginRefused

#: More groups than anybody is in; names are as long as those of directories.
MAX_GROUPS: Final = 1000
_MAX_GROUP_CHARACTERS: Final = 255
_MAX_TEXT: Final = 255
_CODE: Final = re.compile(r"[ -~]{1,4096}")


@dataclass(frozen=True, slots=True)
class OidcClient:
    """Who this service is to the provider, and which claims say who somebody is."""

    id: str
    #: ``None`` for a public client, which PKCE protects alone.
    secret: str | None = field(default=None, repr=False)
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    name_claim: str = "preferred_username"
    groups_claim: str = "groups"


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """What ties the answer of a provider to the browser that was sent there."""

    state: str
    nonce: str = field(repr=False)
    #: Proves that whoever brings the code is who began.
    verifier: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Person:
    """Who has logged in, as a provider says. Issuer and subject are who they are: a name is not."""

    issuer: str
    subject: str
    name: str
    display_name: str = ""
    email: str = ""
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class OidcLogin:
    """A login that has succeeded."""

    person: Person
    #: Tells the provider at logout whose session is to end.
    id_token: str = field(repr=False)


class Oidc:
    """Logs people in at one provider.

    Args:
        provider: Where.
        client: As what.
        now: Tells seconds since 1970.
    """

    def __init__(
        self, provider: OidcProvider, client: OidcClient, now: Callable[[], float] = time.time
    ) -> None:
        self._provider = provider
        self._client = client
        self._now = now

    @property
    def issuer(self) -> str:
        """The provider's identifier."""
        return self._provider.issuer

    async def begin(self, redirect_uri: str) -> tuple[str, LoginAttempt]:
        """Return where to send the browser, and what it has to bring back with the answer.

        Raises:
            ProviderUnavailable: The provider does not answer.
        """
        metadata = await self._provider.metadata()
        attempt = LoginAttempt(*(secrets.token_urlsafe(32) for _ in range(3)))
        url = prepare_grant_uri(
            metadata.authorization_endpoint,
            client_id=self._client.id,
            response_type="code",
            redirect_uri=redirect_uri,
            scope=" ".join(self._client.scopes),
            state=attempt.state,
            nonce=attempt.nonce,
            code_challenge=create_s256_code_challenge(attempt.verifier),
            code_challenge_method="S256",
        )
        return str(url), attempt

    async def finish(
        self, attempt: LoginAttempt, answer: Mapping[str, str], redirect_uri: str
    ) -> OidcLogin:
        """Return who has logged in.

        Args:
            attempt: That the browser kept.
            answer: The parameters that the provider sent it back with.
            redirect_uri: The one that it was sent away with.

        Raises:
            LoginRefused: It is the answer to another attempt, the provider refused, or says
                something that cannot be trusted.
            ProviderUnavailable: The provider does not answer.
        """
        if not hmac.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
            raise LoginRefused("this login was begun elsewhere, or is over: begin again")
        metadata = await self._provider.metadata()
        issuer = answer.get("iss")
        if issuer != self.issuer and (issuer is not None or metadata.names_itself):
            raise LoginRefused("the answer comes from another login service: begin again")
        if "error" in answer:
            raise LoginRefused(_reason(answer["error"]))
        code = answer.get("code", "")
        if not _CODE.fullmatch(code):
            raise LoginRefused("the login service sent no code: begin again")
        tokens = await self._exchange(metadata, code, attempt.verifier, redirect_uri)
        id_token, access_token = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(id_token, str):
            raise LoginRefused("the login service does not say who you are: begin again")
        claims = verify_id_token(
            id_token,
            await self._provider.keys_for(key_id_of(id_token)),
            issuer=self.issuer,
            client_id=self._client.id,
            nonce=attempt.nonce,
            access_token=access_token if isinstance(access_token, str) else None,
            now=self._now(),
        )
        if isinstance(access_token, str):
            claims = await self._completed(metadata, claims, access_token)
        return OidcLogin(self._person(claims), id_token)

    async def logout_url(self, id_token: str | None, return_to: str) -> str | None:
        """Return where the browser can end the login at the provider; ``None``: nowhere.

        Args:
            id_token: Of the login; without it the provider may ask who is meant.
            return_to: Where the browser is sent after that.

        Raises:
            ProviderUnavailable: The provider does not answer.
        """
        endpoint = (await self._provider.metadata()).end_session_endpoint
        if endpoint is None:
            return None
        fields = {"client_id": self._client.id, "post_logout_redirect_uri": return_to}
        if id_token is not None:
            fields["id_token_hint"] = id_token
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(fields)}"

    async def _exchange(
        self, metadata: ProviderMetadata, code: str, verifier: str, redirect_uri: str
    ) -> dict[str, Any]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers: dict[str, str] = {}
        methods = metadata.token_auth_methods or {"client_secret_basic"}
        if self._client.secret is None:
            form["client_id"] = self._client.id
        elif "client_secret_basic" in methods or "client_secret_post" not in methods:
            headers["authorization"] = _basic(self._client.id, self._client.secret)
        else:
            form |= {"client_id": self._client.id, "client_secret": self._client.secret}
        status, tokens = await self._provider.ask(
            "POST", metadata.token_endpoint, headers=headers, form=form
        )
        if status != 200:
            raise LoginRefused(_reason(tokens.get("error", f"answered {status}")))
        return tokens

    async def _completed(
        self, metadata: ProviderMetadata, claims: Mapping[str, Any], access_token: str
    ) -> Mapping[str, Any]:
        """Return the claims, with what the provider tells only when it is asked."""
        wanted = (self._client.name_claim, self._client.groups_claim)
        if metadata.userinfo_endpoint is None or all(name in claims for name in wanted):
            return claims
        status, more = await self._provider.ask(
            "GET",
            metadata.userinfo_endpoint,
            headers={"authorization": f"Bearer {access_token}"},
        )
        # Else one person's token could be joined to another's claims (Core 1.0, 5.3.2).
        if status != 200 or more.get("sub") != claims["sub"]:
            raise LoginRefused("the login service does not say who you are: begin again")
        return {**more, **claims}

    def _person(self, claims: Mapping[str, Any]) -> Person:
        claim = self._client.name_claim
        name = claims.get(claim)
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise LoginRefused(
                f"the login service gives you no name that can be used here in its claim {claim!r}:"
                " the administrator can choose another by PULLFORGE_OIDC_NAME_CLAIM"
            )
        if claim == "email" and claims.get("email_verified") is not True:
            raise LoginRefused("the login service has not verified your e-mail address yet")
        return Person(
            self.issuer,
            str(claims["sub"]),
            name,
            _text(claims.get("name")),
            _text(claims.get("email")),
            _groups(claims.get(self._client.groups_claim), self._client.groups_claim),
        )


def _groups(value: object, claim: str) -> frozenset[str]:
    """Return the groups that a claim lists; none if there is no claim: rights would be kept."""
    listed = [value] if isinstance(value, str) else value if value is not None else []
    if not isinstance(listed, list) or not all(isinstance(one, str) for one in listed):
        raise LoginRefused(f"the login service's claim {claim!r} is no list of groups")
    if len(listed) > MAX_GROUPS:
        raise LoginRefused(f"the login service says that you are in more than {MAX_GROUPS} groups")
    return frozenset(
        name for name in listed if 0 < len(name) <= _MAX_GROUP_CHARACTERS and name.isprintable()
    )


def _text(value: object) -> str:
    return "".join(filter(str.isprintable, value[:_MAX_TEXT])) if isinstance(value, str) else ""


def _reason(error: object) -> str:
    if error == "access_denied":
        return "the login service did not let you in"
    words = "".join(filter(str.isprintable, str(error)[:100]))
    return f"the login service refused ({words}): begin again"


def _basic(name: str, secret: str) -> str:
    """Return credentials, encoded as in a form and then as Basic (RFC 6749, 2.3.1)."""
    both = f"{quote(name, safe='')}:{quote(secret, safe='')}"
    return "Basic " + base64.b64encode(both.encode()).decode()
