"""``pullforge login`` and ``pullforge logout``."""

import asyncio
import platform
import re
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

import httpx
import typer

from registry.auth.authorities import trusted_authorities
from registry.cli.output import exit_on_remote_error, plain, say
from registry.cli.profile import Profile, forget, load, save
from registry.cli.remote import RemoteError, address_of, client_headers, no_answer

_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_TIMEOUT_SECONDS: Final = 30
#: How much longer a program that asked too soon waits between questions (RFC 8628, 3.5).
_SLOWER_SECONDS: Final = 5
_MAX_SECONDS: Final = 3600
_TOKEN: Final = re.compile(r"[!-~]{1,512}")

#: Waits for so many seconds.
Sleep = Callable[[float], Awaitable[None]]

_Host = Annotated[str, typer.Argument(metavar="HOST", help="HOST[:PORT], or an address")]


def login(
    host: _Host,
    user: Annotated[
        str | None, typer.Option("--user", "-u", help="log in by this name and a password")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="read the password from standard input")
    ] = False,
) -> None:
    """Log in to a server, and keep a token for the commands that follow.

    Without --user, confirm a code in a browser, on this machine or another.
    """
    if password_stdin and user is None:
        raise typer.BadParameter("--password-stdin is for --user NAME")
    server = address_of(host)
    password = _password(password_stdin) if user is not None else ""

    async def work() -> str:
        timeout, trusted = httpx.Timeout(_TIMEOUT_SECONDS), trusted_authorities()
        headers = client_headers()
        async with httpx.AsyncClient(timeout=timeout, verify=trusted, headers=headers) as http:
            if user is None:
                return await by_device(http, server, client_name(), say)
            return await by_password(http, server, user, password)

    with exit_on_remote_error():
        token = asyncio.run(work())
        save(Profile(server, token))
    typer.echo(f"logged in to {server}", err=True)


def logout(
    host: Annotated[
        str | None, typer.Argument(metavar="[HOST]", help="the server of the last login, if none")
    ] = None,
) -> None:
    """Forget the token of a server, and have the server forget it if that answers."""
    with exit_on_remote_error():
        profile = load(host)
        forget(profile)
    if profile.token is None:
        typer.echo(f"nobody was logged in to {profile.server}", err=True)
        return
    if not asyncio.run(_revoke(profile)):
        typer.echo(
            f"the token is forgotten here; {profile.server} did not revoke it: revoke it there",
            err=True,
        )
        return
    typer.echo(f"logged out of {profile.server}", err=True)


async def by_device(
    http: httpx.AsyncClient,
    server: str,
    client: str,
    say: Callable[[str], None],
    *,
    sleep: Sleep = asyncio.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> str:
    """Return a token, once a person has confirmed a code in their browser.

    Args:
        http: Has timeouts.
        server: Its address.
        client: What this program is called, to whoever confirms.
        say: Is told where to confirm what.
        sleep: Waits between two questions.
        clock: Tells seconds that pass.

    Raises:
        RemoteError: Nobody has confirmed it in time, somebody has denied it, or the server cannot
            do it.
    """
    begun = await _post(http, f"{server}/api/v1/login/device", {"client_id": client})
    try:
        code, interval = str(begun["device_code"]), float(begun["interval"])
        page, shown = str(begun["verification_uri"]), str(begun["user_code"])
        ends = clock() + min(float(begun["expires_in"]), _MAX_SECONDS)
    except (KeyError, TypeError, ValueError) as exc:
        raise RemoteError(f"{server} is no pullforge server that people log in to") from exc
    say(f"open {plain(page)} in a browser, and confirm the code {plain(shown)}")
    interval = max(interval, 1)
    while clock() < ends:
        await sleep(interval)
        form = {"grant_type": _GRANT, "device_code": code, "client_id": client}
        answer = await _post(http, f"{server}/api/v1/login/device/token", form, may_wait=True)
        problem = answer.get("error")
        if problem == "slow_down":
            interval += _SLOWER_SECONDS
        elif problem == "access_denied":
            raise RemoteError("the login was denied in the browser")
        elif problem == "expired_token":
            break
        elif problem is None:
            return _token_of(answer, "access_token", server)
    raise RemoteError("nobody has confirmed the code in time: log in again")


async def by_password(http: httpx.AsyncClient, server: str, name: str, password: str) -> str:
    """Return a new personal token of a user.

    Raises:
        RemoteError: Name or password is wrong, or the server cannot do it.
    """
    url = f"{server}/api/v1/tokens"
    try:
        reply = await http.post(
            url, json={"name": client_name()}, auth=httpx.BasicAuth(name, password)
        )
    except httpx.HTTPError as exc:
        raise _silent(server, exc) from exc
    document = _json(reply, server)
    if not reply.is_success:
        raise RemoteError(_message(document, server))
    return _token_of(document, "secret" if "secret" in document else "token", server)


def client_name() -> str:
    """Return what tells this login from others of the same person, e.g. ``pullforge on lab7``."""
    host = re.sub(r"[^A-Za-z0-9.-]+", "-", platform.node())[:40].strip("-.")
    return f"pullforge on {host}" if host else "pullforge"


async def _revoke(profile: Profile) -> bool:
    """End the token on the server; whether that is done."""
    timeout, trusted = httpx.Timeout(_TIMEOUT_SECONDS), trusted_authorities()
    headers = {**client_headers(), "authorization": f"Bearer {profile.token}"}
    try:
        async with httpx.AsyncClient(timeout=timeout, verify=trusted, headers=headers) as http:
            reply = await http.delete(f"{profile.server}/api/v1/tokens/current")
    except httpx.HTTPError:
        return False
    # One that is not valid any more has ended already.
    return reply.is_success or reply.status_code == 401


async def _post(
    http: httpx.AsyncClient, url: str, form: dict[str, str], *, may_wait: bool = False
) -> dict[str, Any]:
    try:
        reply = await http.post(url, data=form)
    except httpx.HTTPError as exc:
        if may_wait and isinstance(exc, httpx.TransportError):
            # What is lost is asked for again, more slowly (RFC 8628, 3.5).
            return {"error": "slow_down"}
        raise _silent(url.partition("/api/")[0], exc) from exc
    document = _json(reply, url)
    problem = document.get("error")
    if reply.is_success or (
        may_wait
        and problem in {"authorization_pending", "slow_down", "access_denied", "expired_token"}
    ):
        return document
    raise RemoteError(_message(document, url))


def _json(reply: httpx.Response, server: str) -> dict[str, Any]:
    try:
        document = reply.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise RemoteError(f"{server} answered {reply.status_code}: it is no pullforge server")
    return document


def _message(document: dict[str, Any], server: str) -> str:
    problem = document.get("error")
    said = problem.get("message") if isinstance(problem, dict) else None
    said = said or document.get("error_description")
    return plain(said) if isinstance(said, str) else f"{server} is no pullforge server"


def _token_of(document: dict[str, Any], field: str, server: str) -> str:
    token = document.get(field)
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise RemoteError(f"{server} gave no token: it is no pullforge server")
    return token


def _silent(server: str, exc: httpx.HTTPError) -> RemoteError:
    return RemoteError(no_answer(server, exc))


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(typer.prompt("Password", hide_input=True, err=True))
