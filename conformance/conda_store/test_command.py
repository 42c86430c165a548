"""Every command of ``conda-store`` 2025.2.2 works, also where it does not with its own server."""

import json
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
import yaml

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.engines.program import run
from conformance.conda_store.command import CondaStoreCommand
from conformance.conda_store.our_site import PASSWORD, USER, OurSite, environment, our_site

_WEATHER: Final = environment("weather", "python", "six")


@pytest.fixture(scope="module")
def site(paths: ChannelPaths, channel: ChannelServer) -> Iterator[OurSite]:
    """Run a server with two environments, of which one has failed."""
    with our_site(paths, channel.url) as site:
        site.built(_WEATHER)
        number = site.submit(environment("broken", "there-is-no-such-package"))
        assert site.ended(number)["status"] == "FAILED"
        yield site


@pytest.fixture
def ada(site: OurSite, tmp_path: Path) -> CondaStoreCommand:
    """Return the command of somebody with a token."""
    return CondaStoreCommand.with_token(site.url, tmp_path / "home", site.token())


def test_info_says_what_one_may_do(ada: CondaStoreCommand) -> None:
    """The command splits each name of a right in two."""
    told = ada.must("info")
    assert f"Default namespace is {USER}" in told
    assert "Authenticated True" in told
    assert "environment::read" in told


def test_one_may_log_in_with_a_name_and_a_password(site: OurSite, tmp_path: Path) -> None:
    """It posts JSON, and keeps the cookie; none of a host without a name."""
    url = site.url.replace("127.0.0.1", "localhost")
    command = CondaStoreCommand.with_password(url, tmp_path / "home", USER, PASSWORD)
    assert "Authenticated True" in command.must("info")
    wrong = CondaStoreCommand.with_password(url, tmp_path / "home", USER, "wrong")
    assert wrong.run("info").returncode != 0


def test_the_cookie_of_a_login_is_a_token(site: OurSite) -> None:
    """Scripts of Nebari send its value as a token."""
    account = {"username": USER, "password": PASSWORD}
    answer = httpx.post(f"{site.url}/login/", json=account, timeout=60)
    headers = {"Authorization": f"Bearer {answer.cookies['conda-store-auth']}"}
    told = httpx.get(f"{site.url}/api/v1/permission/", headers=headers, timeout=60).json()["data"]
    assert told["authenticated"] is True
    assert told["primary_namespace"] == USER


def test_lists_have_everything_once(ada: CondaStoreCommand) -> None:
    """A list of environments is asked for again and again until it has all of them."""
    assert USER in {one["name"] for one in ada.listed("namespace")}
    assert [one["name"] for one in ada.listed("environment")] == ["broken", "weather"]
    assert {one["status"] for one in ada.listed("build")} == {"COMPLETED", "FAILED"}
    assert "weather" in ada.must("list", "environment")
    assert "COMPLETED" in ada.must("list", "build")


def test_filters_work_though_a_slash_is_put_behind_them(ada: CondaStoreCommand) -> None:
    """With its own server they find nothing."""
    names = [one["name"] for one in ada.listed("environment", "--package", "python")]
    assert names == ["weather"]
    both = ada.listed("environment", "--package", "python", "--package", "six")
    assert [one["name"] for one in both] == ["weather"]
    assert ada.listed("environment", "--package", "python", "--package", "numpy") == []
    assert [one["status"] for one in ada.listed("build", "--status", "FAILED")] == ["FAILED"]
    assert len(ada.listed("build", "--artifact", "CONDA_PACK")) == 1


def test_waiting_ends_when_a_build_does(
    ada: CondaStoreCommand, site: OurSite, tmp_path: Path
) -> None:
    """By a number, by a name, and by both; a failure is told."""
    number = site.submit(environment("new", "tzdata"))
    ada.must("wait", str(number), "--interval", "1")
    ada.must("wait", f"{USER}/new", "--interval", "1", "--artifact", "archive")
    ada.must("wait", f"{USER}/new:{number}", "--interval", "1", "--artifact", "docker")
    failed = ada.run("wait", f"{USER}/broken", "--interval", "1")
    assert failed.returncode == 1
    assert "failed" in failed.stderr
    strange = ada.run("wait", f"{USER}/weather:{number}")
    assert "does not belong" in strange.stderr
    site.must("DELETE", f"/api/v1/environment/{USER}/new/")


def test_each_file_of_a_build_can_be_fetched(ada: CondaStoreCommand, tmp_path: Path) -> None:
    """The lock is one, and the archive is what conda-pack makes."""

    def fetched(kind: str) -> Path:
        path = tmp_path / kind
        where = ("--artifact", kind, "--output-filename", path)
        assert ada.must("download", f"{USER}/weather", *where) == str(path)
        return path

    lock = yaml.safe_load(fetched("lockfile").read_text())
    assert {"python", "six"} <= {package["name"] for package in lock["package"]}
    assert fetched("logs").read_bytes()
    assert yaml.safe_load(fetched("yaml").read_text())["dependencies"]
    with tarfile.open(fetched("archive"), "r:gz") as archive:
        assert {"bin/activate", "bin/conda-unpack"} <= set(archive.getnames())
    assert "Error" in ada.run("download", "999999").stderr


def test_run_runs_in_the_environment(ada: CondaStoreCommand) -> None:
    """From an archive that is kept for the next time."""
    code = "import six, sys; print(six.__name__, sys.argv[1:])"
    arguments = ("run", f"{USER}/weather", "--", "python", "-c", code, "a b")
    assert ada.must(*arguments).strip() == "six ['a b']"
    begun = time.monotonic()
    assert ada.must(*arguments).strip() == "six ['a b']"
    assert time.monotonic() - begun < 60
    assert ada.must("run", "--no-cache", *arguments[1:]).strip() == "six ['a b']"


def test_a_script_can_name_its_environment(ada: CondaStoreCommand, tmp_path: Path) -> None:
    """By its first line."""
    script = tmp_path / "script"
    first = f"#!/usr/bin/env -S conda-store run {USER}/weather -- python"
    script.write_text(f"{first}\nimport six\nprint('six', six.__file__)\n")
    script.chmod(0o755)
    outcome = run([script], env=ada.environment)
    assert outcome.returncode == 0, outcome.output
    assert outcome.stdout.startswith("six ")


def test_solve_says_what_would_be_installed(ada: CondaStoreCommand, tmp_path: Path) -> None:
    """It asks with ``channels``, which its own server does not read."""
    path = tmp_path / "environment.yaml"
    path.write_text(_WEATHER)
    found = json.loads(ada.must("solve", path, "--output", "json"))
    assert {"python", "six"} <= {package["name"] for package in found}
    assert "Total Size" in ada.must("solve", path)


def test_a_token_has_what_is_asked_for_and_ends(
    ada: CondaStoreCommand, site: OurSite, tmp_path: Path
) -> None:
    """The command sends ``exp``, which its own server does not read."""
    asked = ("token", "--namespace", USER, "--expiration", "600")
    token = ada.must(*asked, "--permission", f"{USER}/*:viewer")
    command = CondaStoreCommand.with_token(site.url, tmp_path / "other", token)
    assert [one["name"] for one in command.listed("environment")] == ["broken", "weather"]
    headers = {"Authorization": f"Bearer {token}"}
    told = httpx.get(f"{site.url}/api/v1/permission/", headers=headers, timeout=60).json()["data"]
    assert "environment::delete" not in told["entity_permissions"][f"{USER}/*"]
    left = time.mktime(time.strptime(told["expiration"][:19], "%Y-%m-%dT%H:%M:%S")) - time.mktime(
        time.gmtime()
    )
    assert 0 < left <= 600
    more = ada.run("token", "--permission", "*/*:admin")
    assert more.returncode != 0


def test_a_stranger_sees_nothing(site: OurSite, tmp_path: Path) -> None:
    """Nothing is public here."""
    nobody = CondaStoreCommand(site.url, tmp_path / "home")
    assert nobody.listed("environment") == []
    assert "Error" in nobody.run("download", f"{USER}/weather").stderr
    wrong = CondaStoreCommand.with_token(site.url, tmp_path / "home", "pft_wrong")
    assert wrong.run("list", "environment").returncode != 0
