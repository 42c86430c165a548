"""Broken channels and packages: the user is told, nothing is left behind, and it can be mended."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.channel.hostile import write_hostile_channel
from conformance.channel.server import ChannelServer
from conformance.clients.engines import Client
from conformance.clients.images import error_message, fetch_manifest, get_manifest
from conformance.clients.matrix import every
from conformance.clients.refusal import assert_shown
from conformance.clients.server import Server, StartServer
from conformance.clients.trace import left_behind

#: A package that needs nothing, so that only what is wrong with it can be left behind.
LONELY = "env/emptydirdemo:latest"
#: Pulled before, so that the base image is in the store.
OTHER = "env/linuxonly:latest"
#: What hostile packages need, if they need anything.
BESIDE = "env/python:latest"
ARCHIVE = "emptydirdemo-*"
INDEX = "*repodata*"

#: Packages of :mod:`conformance.channel.hostile` that would write outside their prefix.
ESCAPES = [
    "absolute-path",
    "hardlink-absolute",
    "hardlink-outside",
    "listed-absolute-path",
    "listed-parent-path",
    "noarch-parent-path",
    "parent-path",
    "write-through-relative-symlink",
    "write-through-symlink",
]
#: Those that are damaged, or not what they say.
DAMAGED = ["bad-json", "not-an-archive", "truncated", "truncated-bz2", "wrong-hash"]


@pytest.fixture
def healthy_channel(channel: ChannelServer) -> Iterator[ChannelServer]:
    """Return the channel; whatever a test does to it ends with the test."""
    yield channel
    channel.reset()


@pytest.fixture(scope="module")
def hostile_server(
    start_module_server: StartServer,
    channel: ChannelServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """Return a server that offers a channel of hostile packages besides the usual one."""
    directory = tmp_path_factory.mktemp("hostile")
    write_hostile_channel(directory)
    with ChannelServer(directory) as hostile:
        yield start_module_server(channels={"conda-forge": channel.url, "hostile": hostile.url})


@pytest.mark.parametrize("client", every(), indirect=True)
def test_unreachable_channel_is_named_and_the_next_pull_succeeds(
    client: Client, start_server: StartServer, healthy_channel: ChannelServer
) -> None:
    """A server that never saw the channel has nothing to answer with."""
    healthy_channel.fail(INDEX, 503)  # before the server fetches it, as it does when it starts
    server = start_server()
    before = server.files()
    message = error_message(server, LONELY)
    assert "conda-forge" in message
    assert_shown(client, client.pull(server.reference(LONELY)), message)
    assert left_behind(before, server.files) == []
    healthy_channel.reset()
    assert_mended(client, server, LONELY)


@pytest.mark.parametrize("client", every(), indirect=True)
def test_damaged_package_is_named_and_the_next_pull_succeeds(
    client: Client, start_server: StartServer, healthy_channel: ChannelServer
) -> None:
    """One byte of it is another than the channel's index promises."""
    server = start_server()
    fetch_manifest(server, OTHER)
    before = server.files()
    healthy_channel.corrupt(ARCHIVE)
    message = error_message(server, LONELY)
    assert "emptydirdemo-1.0" in message
    assert_shown(client, client.pull(server.reference(LONELY)), message)
    assert left_behind(before, server.files) == []
    assert [p for p in server.files() if p.startswith("packages/") and p not in before] == []
    healthy_channel.reset()
    assert_mended(client, server, LONELY)


@pytest.mark.parametrize("client", every(), indirect=True)
def test_package_that_cannot_be_fetched_is_named_and_the_next_pull_succeeds(
    client: Client, start_server: StartServer, healthy_channel: ChannelServer
) -> None:
    """The channel's index is there, and the archive is not."""
    server = start_server()
    fetch_manifest(server, OTHER)
    before = server.files()
    healthy_channel.fail(ARCHIVE, 404)
    message = error_message(server, LONELY)
    assert "emptydirdemo-1.0" in message
    assert_shown(client, client.pull(server.reference(LONELY)), message)
    assert left_behind(before, server.files) == []
    healthy_channel.reset()
    assert_mended(client, server, LONELY)


@pytest.mark.parametrize("client", every(), indirect=True)
def test_package_that_leaves_its_prefix_is_refused(client: Client, hostile_server: Server) -> None:
    """The sentence says which package it is; the client goes on to pull other images."""
    name = "env/hostile--parent-path:latest"
    message = error_message(hostile_server, name)
    assert "parent-path-1.0" in message
    assert_shown(client, client.pull(hostile_server.reference(name)), message)
    assert client.pull(hostile_server.reference(LONELY)).ok


@pytest.mark.parametrize("package", [*ESCAPES, *DAMAGED])
def test_hostile_package_leaves_nothing_behind(hostile_server: Server, package: str) -> None:
    """No image, lock, blob or temporary file, and nothing outside the store.

    Layers of the sound packages beside it may be made before it is found out: they are there
    already.
    """
    fetch_manifest(hostile_server, OTHER)
    fetch_manifest(hostile_server, BESIDE)
    before = hostile_server.files()
    message = error_message(hostile_server, f"env/hostile--{package}:latest")
    assert package in message
    assert "\n" not in message
    assert left_behind(before, hostile_server.files) == []
    outside = [hostile_server.store.parent, hostile_server.store.parent.parent, Path("/tmp")]
    assert [p for d in outside for p in d.glob("*evil*")] == []


def test_known_images_are_served_while_the_channel_is_down(
    start_server: StartServer, healthy_channel: ChannelServer
) -> None:
    """What was made needs its channel no more."""
    server = start_server(latest_ttl_seconds=0.001, repodata_ttl_seconds=0.001)
    made = get_manifest(server, LONELY).raise_for_status()
    healthy_channel.fail("*", 503)
    again = get_manifest(server, LONELY).raise_for_status()
    assert again.content == made.content


def assert_mended(client: Client, server: Server, name: str) -> None:
    """Check that a name can be pulled once the error is no longer remembered."""
    server.forget_errors()
    result = client.pull(server.reference(name))
    assert result.ok, result.output
