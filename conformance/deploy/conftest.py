"""An engine with the project's image in it, for the tests in this directory."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.channel import ChannelPaths, ensure
from conformance.clients.engines import EngineMissing
from conformance.deploy.images import BuildingDocker, ServerImage, build_server, import_debian

#: The first test waits for the channel, Debian, programs built from source and the image.
TIMEOUT_SECONDS = 1800


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests of this directory time; what they wait for has limits of its own."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Iterator[None]:
    """Skip what needs a program that is missing; in CI nothing may be."""
    yield from _skipping()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """As the setup."""
    yield from _skipping()


def _skipping() -> Iterator[None]:
    try:
        yield
    except EngineMissing as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def paths() -> ChannelPaths:
    """Return the channel's directory and the base image's layout."""
    return ensure("full")


@pytest.fixture(scope="session")
def docker() -> Iterator[BuildingDocker]:
    """Start an engine that has a Debian."""
    with BuildingDocker() as docker:
        import_debian(docker)
        yield docker


@pytest.fixture(scope="session")
def image(docker: BuildingDocker) -> ServerImage:
    """Build the project's image."""
    return build_server(docker)
