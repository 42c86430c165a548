"""Logging in to the service as wiring puts it together, on two servers of one database."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from registry.app import create_app
from registry.cli import app as command_line
from registry.cli.login import by_device
from registry.cli.profile import load
from registry.wiring.services import open_services
from tests.registry.accounts import HASH, PASSWORD, basic, still, write_policy
from tests.registry.catalog.conftest import database_url, postgres
from tests.registry.databases import opened
from tests.registry.web.api.site import Site
from tests.registry.web.api.test_openapi import served
from tests.registry.web.login.browser import Browser, open_browsers
from tests.registry.web.login.test_device import ask, begin
from tests.registry.web.login.test_login import by_password, whose
from tests.registry.web.login.test_real_provider import HERE, issuer, through

__all__ = ["database_url", "issuer", "postgres"]

#: Browsers at two servers.
Servers = tuple[list[Browser], list[Browser]]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.make(tmp_path)


@asynccontextmanager
async def servers(
    site: Site, **settings: Any
) -> AsyncIterator[tuple[list[Browser], list[Browser]]]:
    """Give two people or programs at each of two servers."""

    def application() -> Any:
        found = site.configured(**settings)
        return create_app(
            lambda: open_services(found, now=site.clock), access_log=False, clock=still
        )

    async with (
        open_browsers(application(), HERE, 2) as one,
        open_browsers(application(), HERE, 2) as two,
    ):
        yield one, two


async def confirm(person: Browser, code: str) -> None:
    reply = await person.submit("/login/device", code=code, decision="grant")
    assert reply.status_code == 200, reply.text


@pytest.mark.anyio
async def test_whoever_the_provider_names_logs_in_and_so_do_their_programs_on_any_server(
    site: Site, issuer: str, database_url: str
) -> None:
    async with opened(database_url):
        pass
    settings = {
        "auth_file": None,
        "database": database_url,
        "oidc_issuer": issuer,
        "oidc_client_secret": SecretStr("s3cret"),
    }
    async with httpx.AsyncClient() as http, servers(site, **settings) as (one, two):
        claims = {"preferred_username": "grace", "groups": ["navy"]}
        await http.put(f"{issuer}/users/77", json=claims)
        person, program = one[0], two[1]
        # Before anybody has logged in, engines are asked to, and pull without a name.
        assert (await program.get("/v2/")).status_code == 401
        nobody = (await program.get("/v2/token")).json()["token"]
        reply = await program.http.get("/v2/", headers={"authorization": f"Bearer {nobody}"})
        assert reply.status_code == 200
        assert (await through(http, person, "77")).status_code == 303
        assert await whose(person) == "grace"
        # Begun at one server, confirmed at the other.
        begun = await begin(program)
        await confirm(person, begun["user_code"])
        status, given = await ask(program, begun["device_code"])
        assert (status, given["name"]) == (200, "grace")
        assert (await ask(program, begun["device_code"]))[0] == 400, "once"
        await docker_works(one[1], two[1], given["access_token"])
        me = await person.http.get(
            "/api/v1/users/me", headers={"authorization": f"Bearer {given['access_token']}"}
        )
        assert me.status_code == 401, "it has ended"
        await person.submit("/logout")
        assert await whose(person) is None


async def docker_works(one: Browser, two: Browser, secret: str) -> None:
    """Do what docker does with a personal token, a bearer token of one server at the other."""
    own = {"authorization": f"Bearer {secret}"}
    me = (await two.http.get("/api/v1/users/me", headers=own)).json()
    assert (me["name"], me["groups"]) == ("grace", ["navy"])
    made = await two.http.post("/api/v1/namespaces", json={"name": "grace"}, headers=own)
    assert made.status_code == 201, made.text
    login = {"authorization": basic("grace", secret)}
    scope = "repository:grace/app:pull,push"
    for here, there in ((one, two), (two, one)):
        reply = await here.http.get("/v2/token", params={"scope": scope}, headers=login)
        token = reply.json()["token"]
        assert secret not in token
        bearer = {"authorization": f"Bearer {token}"}
        pushed = await there.http.post("/v2/grace/app/blobs/uploads/", headers=bearer)
        assert pushed.status_code == 202, pushed.text
        other = await there.http.post("/v2/grace/other/blobs/uploads/", headers=bearer)
        assert other.status_code == 401, "it was asked for one repository"
    assert (await one.http.delete("/api/v1/tokens/current", headers=own)).status_code == 204
    for server in (one, two):
        assert (await server.http.get("/v2/", headers=bearer)).status_code == 401


@pytest.mark.anyio
async def test_a_name_of_the_auth_file_is_nobody_elses(site: Site, issuer: str) -> None:
    settings = {"oidc_issuer": issuer, "oidc_client_secret": SecretStr("s3cret")}
    async with httpx.AsyncClient() as http, servers(site, **settings) as (one, _):
        await http.put(f"{issuer}/users/78", json={"preferred_username": "ada"})
        refused = await through(http, one[0], "78")
        assert refused.status_code == 403
        assert await whose(one[0]) is None
        done = await by_password(one[0], name="ada")
        assert done.status_code == 303
        assert await whose(one[0]) == "ada"
        # Who is removed from the file is logged out.
        write_policy(site.root / "auth.toml", "[users.eve]", f"hash = '{HASH}'", "rights = []")
        async with asyncio.timeout(20):
            while await whose(one[0]) == "ada":  # noqa: ASYNC110 (nobody announces that it was read)
                await asyncio.sleep(0.02)


@pytest.mark.anyio
async def test_a_browsers_login_is_known_to_all_servers_and_ends_on_all(site: Site) -> None:
    async with servers(site) as (one, two):
        assert (await by_password(one[0], name="ada")).status_code == 303
        for cookie in one[0].http.cookies.jar:
            two[0].http.cookies.jar.set_cookie(cookie)
        assert await whose(two[0]) == "ada"
        await two[0].submit("/logout")
        assert await whose(one[0]) is None


@pytest.mark.anyio
async def test_the_command_line_confirms_in_a_browser_of_another_server(site: Site) -> None:
    async with servers(site) as (one, two):
        await by_password(one[0], name="ada")
        said: list[str] = []

        async def wait(_seconds: float) -> None:
            await confirm(one[0], said[0].split()[-1])

        token = await by_device(two[1].http, HERE, "pullforge", said.append, sleep=wait)
        own = {"authorization": f"Bearer {token}"}
        me = (await one[1].http.get("/api/v1/users/me", headers=own)).json()
        assert me["name"] == "ada"


@pytest.fixture
def address(site: Site) -> Iterator[str]:
    with served(site) as address:
        yield address


def test_the_command_line_logs_in_with_a_password_and_out(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    login = ["login", address, "--user", "ada", "--password-stdin"]
    done = CliRunner().invoke(command_line, login, input=f"{PASSWORD}\n")
    assert done.exit_code == 0, done.output
    own = {"authorization": f"Bearer {load(address).token}"}
    assert httpx.get(f"{address}/api/v1/users/me", headers=own).json()["name"] == "ada"
    left = CliRunner().invoke(command_line, ["logout"])
    assert left.exit_code == 0, left.output
    assert "logged out of" in left.output
    assert load(address).token is None
    assert httpx.get(f"{address}/api/v1/users/me", headers=own).status_code == 401
    wrong = CliRunner().invoke(command_line, login, input="wrong\n")
    assert (wrong.exit_code, "Traceback" in wrong.output) == (1, False)
