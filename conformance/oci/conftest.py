"""Servers to run the suite against, and the figure at the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.accounts import Accounts
from conformance.clients.engines import EngineMissing
from conformance.missing import skip_unless_ci
from conformance.oci.suite import RESULTS, SUITE, SuiteResult
from conformance.s3 import S3Server

_RESULTS = pytest.StashKey[dict[str, SuiteResult]]()


@pytest.fixture(scope="session")
def results(pytestconfig: pytest.Config) -> dict[str, SuiteResult]:
    """Return where runs are noted for the summary; skip without the suite."""
    try:
        SUITE.directory()
    except EngineMissing as exc:
        skip_unless_ci(str(exc))
    return pytestconfig.stash.setdefault(_RESULTS, {})


@pytest.fixture(scope="module")
def auth_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the auth file of servers that are pushed to."""
    return Accounts(tmp_path_factory.mktemp("auth") / "auth.toml").path


@pytest.fixture(scope="module")
def s3_server() -> Iterator[S3Server]:
    """Return an S3 server; skip where it cannot be built."""
    server = S3Server()
    try:
        server.__enter__()
    except EngineMissing as exc:
        skip_unless_ci(str(exc))
    yield server
    server.__exit__()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print how many tests of the suite were passed."""
    for name, result in config.stash.get(_RESULTS, {}).items():
        terminalreporter.write_line(f"OCI conformance, {name}: {result} ({RESULTS / name})")
