"""What jhub-apps, dask-gateway, Argo's scheduler and Nebari's boards ask for.

Their calls, as they send them: what they read of the answers is what is asserted.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.conda_store.our_site import ADMIN, OTHER, USER, OurSite, environment, our_site


@pytest.fixture(scope="module")
def site(paths: ChannelPaths, channel: ChannelServer) -> Iterator[OurSite]:
    """Run a server with some environments of two people."""
    with our_site(paths, channel.url) as site:
        site.built(environment("weather", "multi", "tzdata"))
        site.built(environment("plain", "multi"), OTHER, OTHER)
        yield site


def get(url: str, token: str) -> Any:
    """Return a document that somebody with a token reads, without any redirect."""
    answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_jhub_apps_lists_environments_of_a_user(site: OurSite) -> None:
    """A service's token makes one for each form; namespaces that it names need not exist."""
    service = site.token(ADMIN)
    bindings = {f"{USER}/*": ["viewer"], "default/*": ["viewer"], "group/*": ["viewer"]}
    answer = httpx.post(
        f"{site.url}/api/v1/token/",
        headers={"Authorization": f"Bearer {service}"},
        json={"role_bindings": bindings},
        timeout=60,
    )
    token = answer.raise_for_status().json()["data"]["token"]
    count = get(f"{site.url}/api/v1/environment/", token)["count"]
    names = []
    for page in range(1, -(-count // 100) + 1):
        data = get(f"{site.url}/api/v1/environment/?size=100&page={page}", token)["data"]
        names += [f"{one['namespace']['name']}-{one['name']}" for one in data]
    assert names == [f"{USER}-weather"]


def test_dask_gateway_finds_environments_with_packages(site: OurSite) -> None:
    """All of them are in the build that is active."""
    token = site.token(ADMIN)

    def found(*packages: str) -> list[tuple[str, str]]:
        query = urlencode({"packages": packages}, doseq=True)
        data = get(f"{site.url}/api/v1/environment/?{query}", token)["data"]
        return sorted((one["namespace"]["name"], one["name"]) for one in data)

    assert found("multi") == [(USER, "weather"), (OTHER, "plain")]
    assert found("multi", "tzdata") == [(USER, "weather")]
    assert found("multi", "tzdata", "numpy") == []


def test_the_scheduler_of_argo_lists_environments_without_a_slash(site: OurSite) -> None:
    """It names each by a path in the pod."""
    data = get(f"{site.url}/api/v1/environment", site.token())["data"]
    paths = [
        f"/home/conda/{one['namespace']['name']}/envs/{one['namespace']['name']}-{one['name']}"
        for one in data
    ]
    assert paths == [f"/home/conda/{USER}/envs/{USER}-weather"]


def test_boards_find_the_names_that_they_draw(site: OurSite) -> None:
    """As Nebari's board of Grafana has them."""
    text = httpx.get(
        f"{site.url}/metrics", headers={"Authorization": f"Bearer {site.token(ADMIN)}"}, timeout=60
    ).text
    names = {line.split()[0].partition("{")[0] for line in text.splitlines() if line}
    states = ("queued", "building", "completed", "failed")
    assert {f"conda_store_build_{state}" for state in states} <= names
    assert {f"conda_store_disk_{kind}" for kind in ("free", "total", "usage")} <= names
    assert "conda_store_environments" in names
