"""A repository defines environments; its host tells the server of pushes, each as it does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.sources.hosting import HOSTS, Repository
from conformance.sources.place import SPACE, Place, text, until

_NAME: Final = "repository"
_MAIN: Final = "refs/heads/main"


@pytest.fixture(scope="module")
def place(paths: ChannelPaths, channel: ChannelServer) -> Iterator[Place]:
    """Start a server that fetches a repository when it is told to, or once an hour."""
    with Place(paths, channel.url, {}, git_seconds=3600) as place:
        place.admin.must(place.server, "POST", "/namespaces", {"name": SPACE})
        yield place


@pytest.fixture(scope="module")
def repository(place: Place) -> Repository:
    """Have a repository that is a source of the server."""
    repository = Repository(place.home)
    wanted = {"name": _NAME, "kind": "git", "location": repository.url, "namespace": SPACE}
    place.admin.must(place.server, "POST", "/sources", wanted)
    until(lambda: place.source(_NAME)["commit"])
    return repository


@pytest.fixture
def hook(place: Place, repository: Repository) -> Any:
    """Give the address and the secret of a hook."""
    number = place.source(_NAME)["id"]
    return place.admin.must(place.server, "POST", f"/sources/{number}/hook")


@pytest.mark.parametrize("host", HOSTS)
def test_a_push_that_is_told_is_built(
    place: Place, repository: Repository, hook: Any, host: str
) -> None:
    """Each host signs in its own way; the commit is shown."""
    wanted = text("multi", HOST=host)
    commit = repository.push({f"{host}/environment.yml": wanted})
    answer = HOSTS[host](hook["url"], hook["secret"], _MAIN, commit)
    assert answer.status_code == 202, answer.text
    assert answer.json()["looks"]
    place.until_text(host, wanted)
    assert place.source(_NAME)["commit"] == commit
    assert place.environment(host)["managed"]["source"] == _NAME


@pytest.mark.parametrize("host", HOSTS)
def test_who_has_not_the_secret_is_refused(hook: Any, host: str) -> None:
    """Nothing is looked at."""
    answer = HOSTS[host](hook["url"], "guessed", _MAIN, "0" * 40)
    assert answer.status_code == 401, answer.text


def test_a_push_to_another_branch_is_not_looked_at(
    place: Place, repository: Repository, hook: Any
) -> None:
    """The host is told so."""
    commit = repository.push({"draft/environment.yml": text("multi")}, branch="draft")
    for tell in HOSTS.values():
        answer = tell(hook["url"], hook["secret"], "refs/heads/draft", commit)
        assert answer.status_code == 202, answer.text
        assert not answer.json()["looks"]
    assert not place.environment("draft")


def test_a_commit_that_is_broken_takes_nothing_away(
    place: Place, repository: Repository, hook: Any
) -> None:
    """Other files of the same commit are taken."""
    good, broken = text("multi", OF="a commit"), "dependencies:\n  - multi\n - tzdata\n"
    paths = [f"{name}/environment.yml" for name in ("first", "second")]
    repository.push(dict.fromkeys(paths, text("multi")))
    HOSTS["github"](hook["url"], hook["secret"], _MAIN, "0" * 40)
    for name in ("first", "second"):
        place.until_active(name, 1)
    repository.push(dict(zip(paths, (broken, good), strict=True)))
    HOSTS["github"](hook["url"], hook["secret"], _MAIN, "0" * 40)
    place.until_text("second", good)
    until(lambda: place.problem("first", _NAME))
    assert place.active("first") == 1
    repository.push(dict.fromkeys(paths))
    HOSTS["github"](hook["url"], hook["secret"], _MAIN, "0" * 40)
    place.until_unmanaged("second")
    assert place.active("second") == 2


def test_a_repository_that_is_away_removes_nothing(
    place: Place, repository: Repository, hook: Any
) -> None:
    """Its source says so until it is back."""
    repository.push({"staying/environment.yml": text("multi")})
    HOSTS["gitlab"](hook["url"], hook["secret"], _MAIN, "0" * 40)
    place.until_active("staying", 1)
    away = repository.bare.rename(Path(f"{repository.bare}.away"))
    HOSTS["gitlab"](hook["url"], hook["secret"], _MAIN, "0" * 40)
    until(lambda: place.source(_NAME)["problem"])
    assert place.environment("staying")["managed"] is not None
    away.rename(repository.bare)
    HOSTS["gitlab"](hook["url"], hook["secret"], _MAIN, "0" * 40)
    until(lambda: not place.source(_NAME)["problem"])
