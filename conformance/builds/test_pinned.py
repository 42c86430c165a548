"""A build outlives what it was made from."""

import shutil
from pathlib import Path

import pytest

from conformance import pypi
from conformance.builds.sending import CODE, ENVIRONMENT, SAID, digest, push
from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.engines import Runner
from conformance.clients.matrix import every
from conformance.clients.server import Server


@pytest.mark.parametrize("runner", every(("podman",)), indirect=True)
def test_a_pinned_build_is_pulled_again_when_channel_index_and_blobs_are_gone(
    runner: Runner, paths: ChannelPaths, tmp_path: Path
) -> None:
    """The same digest, from a server that has nobody to ask but for the base."""
    store = tmp_path / "store"
    with ChannelServer(paths.channel) as channel, ChannelServer(pypi.ensure()) as index:
        # There are no accounts here: everybody is a stranger.
        settings = pypi.settings(index.url) | {"pin_builds_of_strangers": True}
        with Server(store, channel.url, paths.base, settings) as server:
            build = push(server, ENVIRONMENT)
            before = digest(server, build["key"])
    assert build["pinned"]
    for made in ("blobs", ".scratch"):
        shutil.rmtree(store / made)
    with Server(store, channel.url, paths.base, settings) as server:
        reference = server.reference(f"build/{build['key']}@{before}")
        result = runner.pull(reference)
        assert result.ok, result.output
        assert runner.run(reference, "python", "-c", CODE).strip() == SAID
        assert digest(server, build["key"]) == before
