"""Settings of all tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Everywhere else each run looks at other examples; a failure in CI must be one of the change.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

#: What may be built when the first test asks for it, once for a machine: the S3 server by its
#: fixture, and the local channel for the tests in ``integration``. Others may be at it already.
TIMEOUT_SECONDS = 1800


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests that may have to wait for what is built once the time for it."""
    for item in items:
        fixtures: list[str] = getattr(item, "fixturenames", [])
        is_on_channel = item.path.is_relative_to(Path(__file__).parent / "integration")
        if is_on_channel or "s3_server" in fixtures:
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))
