"""The same catalog in conda-store and here is told alike, field by field.

What conda-store has is imported into an empty server, so that numbers are the same. Each address is
asked of both by an administrator; what differs on purpose is in :data:`DIFFERENT`, with the reason.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.server import command, run_checked
from conformance.conda_store.inventory import START, Build, Environment, Inventory
from conformance.conda_store.locks import locks_of
from conformance.conda_store.our_site import ADMIN, PASSWORD, OurSite, our_site
from conformance.conda_store.real_server import RealServer

#: What is asked; names in braces are numbers of builds.
ASKED: Final = (
    *("v1/", "v1/namespace/", "v1/namespace/?size=1&page=2", "v1/namespace/same/"),
    *("v1/namespace/none/", "v1/environment/", "v1/environment/?size=1&page=2"),
    *("v1/environment/?size=1&page=99", "v1/environment/?search=weath"),
    *("v1/environment/?namespace=same", "v1/environment/?name=weather"),
    *("v1/environment/?status=COMPLETED", "v1/environment/?artifact=LOCKFILE"),
    *("v1/environment/?sort_by=name&order=desc", "v1/environment/?packages=activatedemo"),
    *("v1/environment/same/weather/", "v1/environment/same/none/", "v1/environment/none/weather/"),
    *(
        "v2/environment/?sort_by=namespace&sort_by=name",
        "v2/environment/?limit=2&sort_by=name&order=desc",
    ),
    *("v1/build/", "v1/build/?size=2&page=2", "v1/build/?status=FAILED"),
    *("v1/build/?namespace=same&name=weather&order=desc&sort_by=scheduled_on",),
    *("v1/build/?status=CANCELED", "v1/build/?artifact=LOCKFILE", "v1/build/999999/"),
    *("v1/build/{done}/", "v1/build/{failed}/", "v1/build/{canceled}/", "v1/build/{sent}/"),
    *("v1/build/{done}/packages/?size=100", "v1/build/{done}/packages/?search=activ"),
    *("v1/build/{done}/packages/?search=activ&exact=true", "v1/build/{failed}/packages/"),
    *("v1/build/999999/packages/", "v1/build/999999/logs/", "v1/build/{failed}/lockfile/"),
    *("v1/build/{failed}/archive/", "v1/build/{failed}/yaml/", "v1/build/{failed}/docker/"),
    *("v1/build/{failed}/installer/", "v1/permission/", "v1/usage/", "v1/channel/"),
    *("v1/setting/", "v1/setting/same/", "v1/nothing/"),
)
#: What is a lock.
LOCKS: Final = ("v1/build/{done}/lockfile/", "v1/build/{done}/conda-lock.yml")
#: Parts of answers that are not alike, by pattern, and why.
DIFFERENT: Final = {
    r"v./environment/.*\.(data(\[\d+\])?\.id|cursor)": "an import keeps numbers of builds alone",
    r"v1/build/.*\.(environment_id|specification\.id)": "an import keeps numbers of builds alone",
    r"v1/build/.*\.(created_on|sha256)": "a specification is what was sent, and came later",
    r"v1/build/.*\.spec\.description": "a description is the environment's, and no build's",
    r"v1/build/.*\.build_artifacts.*": "archive and image are there for each build, no directory",
    r"v1/build/.*\.data(\[\d+\])?\.size": "what is imported has no layers until it is pulled",
    r"v1/usage/.*\.storage": "what is imported has no layers until it is pulled",
    r"v1/build/.*/packages/.*\.id": "numbers of packages are made of what they are",
    r"v1/build/.*/packages/.*\.(summary|license)": "of packages, what the channel says",
    r"v1/permission/\.data\.primary_namespace": "whoever asks has another name",
    r"v1/permission/\.data\.expiration": "a password does not end",
    r"v1/permission/\.data\.entity_\w+\.(default|filesystem)/\*": "none is everybody's here",
    r"v1/setting/.*\.default_(uid|gid|permissions)": "no directories are made here",
    r"v1/setting/.*\.conda_indexed_channels": "channels are each server's own",
    r"v1/setting/.*\.build_artifacts\[3\]": "images are made here, installers are not",
}


@dataclass(frozen=True, slots=True)
class Both:
    """The two servers."""

    theirs: RealServer
    ours: OurSite
    numbers: dict[str, int]

    def ask(self, path: str) -> tuple[httpx.Response, httpx.Response]:
        """Return the answers of conda-store and of our server."""
        where = "/api/" + path.format(**self.numbers)
        theirs = httpx.get(
            self.theirs.url + where, headers=self.theirs.headers, follow_redirects=True, timeout=60
        )
        return theirs, self.ours.send("GET", where, ADMIN)


@pytest.fixture(scope="module")
def both(
    empty_real_server: RealServer,
    paths: ChannelPaths,
    channel: ChannelServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Both]:
    """Fill conda-store, and import what it has."""
    with filled(empty_real_server, paths, channel, tmp_path_factory.mktemp("machine")) as both:
        yield both


@contextmanager
def filled(
    real: RealServer, paths: ChannelPaths, channel: ChannelServer, machine: Path
) -> Iterator[Both]:
    """Write a small catalog into conda-store, and run a server of ours that has imported it.

    Args:
        real: conda-store, empty.
        paths: Where the channel and the base image are.
        channel: Serves the channel.
        machine: The home of whoever imports.
    """
    done, sent = locks_of(paths.channel, channel.url, 2)
    asked = {
        "name": "weather",
        "channels": ["conda-forge"],
        "dependencies": ["python", "numpy >=1", {"pip": ["flask"]}],
        "variables": {"A": "1", "B": 2},
        "description": "what was written",
    }
    plain = {"name": "weather", "channels": [], "dependencies": ["python"]}
    lock = {"name": "sent", "description": "", "lockfile": sent}
    at = [START + timedelta(minutes=one) for one in range(5)]
    inventory = Inventory(
        ["other", "same"],
        [
            Environment("other", "clock", [Build(plain, lock=done, scheduled_on=at[0])]),
            Environment(
                "same", "sent", [Build(lock, lock=sent, is_lockfile=True, scheduled_on=at[1])]
            ),
            Environment(
                "same",
                "weather",
                [
                    Build(asked, lock=done, scheduled_on=at[2]),
                    Build(plain, "FAILED", scheduled_on=at[3]),
                    Build(plain, "CANCELED", scheduled_on=at[4]),
                ],
                current=0,
                description="of tomorrow",
            ),
        ],
    )
    builds = real.write(inventory)
    with our_site(paths, channel.url) as ours:
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(machine),
            "XDG_CONFIG_HOME": str(machine / "config"),
            "CONDA_STORE_TOKEN": real.token,
            **ours.server.environment,
        }
        login = command("login", ours.server.host, "--user", ADMIN, "--password-stdin")
        run_checked(login, variables, 600, given=PASSWORD)
        moving = command("import", "conda-store", real.url, "--server", ours.server.host)
        run_checked(moving, variables, 600)
        first, second = builds["same/weather"].builds, builds["same/sent"].builds
        numbers = {"done": first[0], "failed": first[1], "canceled": first[2], "sent": second[0]}
        yield Both(real, ours, numbers)


def test_both_say_the_same(both: Both) -> None:
    """Status, fields, kinds of values, and values; and nothing is listed that does not differ."""
    used: set[str] = set()
    unlike: list[str] = []
    for path in ASKED:
        theirs, ours = both.ask(path)
        if ours.status_code != theirs.status_code:
            unlike.append(f"{path}: {ours.status_code} and not {theirs.status_code}: {ours.text}")
        elif theirs.status_code >= 400:
            assert ours.json().keys() == {"status", "message"}, path
        else:
            for where, what in differences("", theirs.json(), ours.json()):
                reasons = {one for one in DIFFERENT if re.fullmatch(one, path + where)}
                unlike += [] if reasons else [f"{path}{where} {what}"]
                used |= reasons
    assert not unlike, "\n".join(unlike)
    assert used == set(DIFFERENT)


def test_locks_are_of_the_same_packages(both: Both) -> None:
    """Theirs is JSON, which is YAML, too."""
    for path in LOCKS:
        theirs, ours = (
            [
                (one["name"], one["url"], one["hash"])
                for one in yaml.safe_load(answer.content)["package"]
            ]
            for answer in both.ask(path)
        )
        assert ours == theirs


@pytest.mark.parametrize("role", ["viewer", "developer", "admin"])
def test_each_role_is_told_as_conda_store_tells_it(both: Both, role: str) -> None:
    """So that its interface shows the same buttons; and editors one more, by which they begin."""
    asked = {"primary_namespace": "same", "role_bindings": {"same/*": [role]}}
    told = []
    for url, headers in (
        (both.theirs.url, both.theirs.headers),
        (both.ours.url, {"authorization": f"Bearer {both.ours.token(ADMIN)}"}),
    ):
        made = httpx.post(f"{url}/api/v1/token/", headers=headers, json=asked, timeout=60)
        bearer = f"Bearer {made.raise_for_status().json()['data']['token']}"
        found = httpx.get(
            f"{url}/api/v1/permission/", headers={"authorization": bearer}, timeout=60
        )
        told.append(found.raise_for_status().json()["data"])
    theirs, ours = told
    assert ours["authenticated"] is theirs["authenticated"] is True
    assert ours["primary_namespace"] == theirs["primary_namespace"] == "same"
    assert ours["entity_roles"]["same/*"] == theirs["entity_roles"]["same/*"] == [role]
    permissions = theirs["entity_permissions"]["same/*"]
    if role == "developer":
        permissions = sorted([*permissions, "namespace::create"])
    assert ours["entity_permissions"]["same/*"] == permissions


def differences(where: str, theirs: Any, ours: Any) -> Iterator[tuple[str, str]]:
    """Yield what is missing here, or is something else."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name, value in theirs.items():
            if name in ours:
                yield from differences(f"{where}.{name}", value, ours[name])
            else:
                yield f"{where}.{name}", "is not here"
    elif isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours):
            yield where, f"has {len(ours)} and not {len(theirs)}"
        for number, (one, other) in enumerate(zip(theirs, ours, strict=False)):
            yield from differences(f"{where}[{number}]", one, other)
    elif type(theirs) is not type(ours) or theirs != ours:
        yield where, f"is {ours!r} and not {theirs!r}"
