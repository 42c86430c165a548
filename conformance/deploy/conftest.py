"""An engine with the project's image in it, for the tests in this directory."""

import os
from collections.abc import Iterator

import pytest

from conformance.clients.engines import EngineMissing
from conformance.deploy.images import BuildingDocker, ServerImage, provide, server_image


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
def docker() -> Iterator[BuildingDocker]:
    """Start an engine that has the images the deployments are made of."""
    with BuildingDocker() as docker:
        provide(docker)
        yield docker


@pytest.fixture(scope="session")
def image(docker: BuildingDocker) -> ServerImage:
    """Return the project's image."""
    return server_image(docker)
