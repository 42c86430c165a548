"""An OpenID provider that answers what a test tells it to, and the real one as a program."""

import base64
import hashlib
import hmac
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

ISSUER = "https://id.example"
CLIENT = "pullforge"
SECRET = "s3cret: of ä client"


class ScriptedProvider:
    """Keeps to the protocol, PKCE included, except where a test changes one of its fields."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        #: What it publishes as keys; ``None``: its own.
        self.published: list[dict[str, Any]] | None = None
        #: Changes of the metadata; ``None`` takes a field away.
        self.metadata: dict[str, Any] = {}
        #: Changes of the claims of ID tokens, likewise.
        self.claims: dict[str, Any] = {}
        self.userinfo: dict[str, Any] | None = None
        #: What it answers instead, by path.
        self.instead: dict[str, httpx.Response | Exception] = {}
        self.id_token: str | None = None
        self.asked: list[str] = []
        self.codes: dict[str, dict[str, str]] = {}

    @property
    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self.answer))

    def authorize(self, url: str) -> dict[str, str]:
        """Return what the browser is sent back with, once somebody has logged in."""
        parts = urlsplit(url)
        assert parts.path == "/authorize"
        asked = dict(parse_qsl(parts.query))
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert asked["client_id"] == CLIENT
        assert "openid" in asked["scope"].split()
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return {"code": code, "state": asked["state"]}

    def sign(self, claims: Mapping[str, Any], **header: Any) -> str:
        fields = {"alg": "RS256", "kid": self.key.kid, **header}
        return jwt.encode(fields, dict(claims), self.key, algorithms=["RS256", "PS256"])

    def claims_for(self, asked: Mapping[str, str]) -> dict[str, Any]:
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": "248289761001",
            "aud": CLIENT,
            "exp": now + 300,
            "iat": now,
            "nonce": asked["nonce"],
            "preferred_username": "ada",
            "groups": ["data"],
        }
        return _changed(claims, self.claims)

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append(path)
        if path in self.instead:
            instead = self.instead[path]
            if isinstance(instead, Exception):
                raise instead
            return instead
        if path == "/.well-known/openid-configuration":
            return httpx.Response(200, json=_changed(self._metadata(), self.metadata))
        if path == "/keys":
            keys = self.published
            return httpx.Response(
                200, json={"keys": [self.key.as_dict(private=False)] if keys is None else keys}
            )
        if path == "/token":
            return self._token(request)
        if path == "/userinfo" and self.userinfo is not None:
            assert request.headers["authorization"] == "Bearer access"
            return httpx.Response(200, json=self.userinfo)
        return httpx.Response(404, json={})

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": ISSUER,
            "authorization_endpoint": f"{ISSUER}/authorize",
            "token_endpoint": f"{ISSUER}/token",
            "jwks_uri": f"{ISSUER}/keys",
            "userinfo_endpoint": f"{ISSUER}/userinfo",
            "end_session_endpoint": f"{ISSUER}/logout",
        }

    def _token(self, request: httpx.Request) -> httpx.Response:
        form = dict(parse_qsl(request.content.decode()))
        asked = self.codes.pop(form["code"], None)
        if asked is None:
            return httpx.Response(400, json={"error": "invalid_grant"})
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        proof = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if proof != asked["code_challenge"] or form["redirect_uri"] != asked["redirect_uri"]:
            return httpx.Response(400, json={"error": "invalid_grant"})
        token = self.id_token or self.sign(self.claims_for(asked))
        return httpx.Response(
            200, json={"access_token": "access", "token_type": "Bearer", "id_token": token}
        )


def unsigned(claims: Mapping[str, Any]) -> str:
    """Return a token with the algorithm ``none``."""
    return f"{_part({'alg': 'none'})}.{_part(claims)}."


def signed_with_what_is_public(claims: Mapping[str, Any], key: RSAKey) -> str:
    """Return a token whose secret is the public key, as some verifiers were made to believe."""
    signed = f"{_part({'alg': 'HS256', 'kid': 'one'})}.{_part(claims)}"
    mac = hmac.digest(key.as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def signed_by_another(claims: Mapping[str, Any]) -> str:
    other = ECKey.generate_key("P-256")
    return jwt.encode({"alg": "ES256", "kid": "one"}, dict(claims), other, algorithms=["ES256"])


def _part(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _changed(fields: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (fields | dict(changes)).items() if value is not None}


@contextmanager
def run_provider(log: Path) -> Iterator[str]:
    """Run oidc-provider-mock and give its issuer; it has ended on exit."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    issuer = f"http://localhost:{port}"
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce"]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            _wait(process, issuer, log)
            yield issuer
        finally:
            process.terminate()


def _wait(process: "subprocess.Popen[bytes]", issuer: str, log: Path) -> None:
    ends = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{issuer}/.well-known/openid-configuration").raise_for_status()
        except httpx.TransportError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < ends, log.read_text()
            time.sleep(0.05)
        else:
            return
