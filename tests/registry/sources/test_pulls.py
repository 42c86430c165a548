"""What counts as a pull of an environment: one for each image that a client takes."""

import json
from typing import Any

import pytest

from builder.oci.digest import digest_of
from registry.content.manifests import Manifest
from registry.sources import pulls as module
from registry.sources.directory import Directory, Pointer
from registry.sources.pulls import PullCounts, Pulls

KEY = "a" * 32
PATH = "analytics/forecast"


def document(build: str | None = KEY, **content: Any) -> Manifest:
    data = json.dumps(content).encode()
    return Manifest(digest_of(data), "application/json", data, build)


IMAGE = document(layers=["linux"])
OTHER = document(layers=["arm"])
INDEX = document(manifests=[{"digest": IMAGE.digest}, {"digest": OTHER.digest}])
SBOM = document(subject={"digest": INDEX.digest}, layers=[])


class Clock:
    def __init__(self) -> None:
        self.now = 86_400.0 * 20_000 + 100

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counts(clock: Clock) -> PullCounts:
    directory = Directory()
    directory.put(Pointer("analytics", "forecast", KEY, {1: KEY}, (), is_public=False))
    return PullCounts(directory, clock)


def test_a_pull_is_one_however_a_client_goes_about_it(counts: PullCounts, clock: Clock) -> None:
    """docs/clients.md, section 1: what docker, podman and containerd ask for."""
    ways = {
        "docker": [("HEAD", INDEX), ("GET", INDEX), ("GET", IMAGE)],
        "podman": [("GET", INDEX), ("GET", OTHER)],
        "one platform": [("HEAD", document(layers=["one"])), ("GET", document(layers=["one"]))],
        "unchanged": [("HEAD", INDEX)],
        "SBOM": [("GET", SBOM)],
        "by a platform's digest alone": [("GET", IMAGE)],
    }
    found = {}
    for name, requests in ways.items():
        for method, manifest in requests:
            counts.seen(PATH, manifest, method)
        found[name] = sum(one.pulls for one in counts.take())
    assert found == {
        "docker": 1,
        "podman": 1,
        "one platform": 1,
        "unchanged": 0,
        "SBOM": 0,
        # It is not told apart from what follows an index.
        "by a platform's digest alone": 0,
    }
    counts.seen("env/numpy", INDEX, "GET")
    counts.seen("analytics/deleted", INDEX, "GET")
    assert counts.take() == []


def test_counts_are_by_day_and_what_is_given_back_is_not_lost(
    counts: PullCounts, clock: Clock
) -> None:
    first = clock.now
    counts.seen(PATH, INDEX, "GET")
    clock.now += 86_400
    counts.seen(PATH, INDEX, "GET")
    counts.seen(PATH, INDEX, "GET")
    taken = counts.take()
    assert taken == [Pulls(PATH, KEY, 1, first), Pulls(PATH, KEY, 2, clock.now)]
    counts.seen(PATH, INDEX, "GET")
    counts.count(PATH, "")
    counts.give_back(taken)
    assert sorted(counts.take(), key=lambda one: (one.key, one.last_at)) == [
        Pulls(PATH, "", 1, clock.now),
        Pulls(PATH, KEY, 1, first),
        Pulls(PATH, KEY, 3, clock.now),
    ]


def test_memory_is_bounded_while_nobody_takes_the_counts(
    counts: PullCounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_COUNTS", 3)
    for number in range(10):
        counts.count(PATH, str(number))
    counts.count(PATH, "0")
    found = counts.take()
    assert [(one.key, one.pulls) for one in found] == [("0", 2), ("1", 1), ("2", 1)]
    for number in range(10, 13):
        counts.count(PATH, str(number))
    counts.give_back(found)
    assert [one.key for one in counts.take()] == ["10", "11", "12"]
