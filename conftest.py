"""Which tests need programs that not every machine has, and what is said of those left out.

They carry the marker ``engine``; ``make test`` leaves them out whatever is installed, and ``make
test-engines`` runs them alone. A test that needs such a program and is not marked fails in CI, on
the machine that has none.
"""

import functools
import math
import os
import socket
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from httpx import create_ssl_context
from httpx._transports import default

_ROOT: Final = Path(__file__).parent

#: Fixtures that start a program → its name.
_BY_FIXTURE: Final = {
    "docker": "docker",
    "oras": "oras",
    "redis_server": "redis",
    "regctl": "regctl",
    "results": "the OCI suite",
    "s3": "versitygw",
    "s3_server": "versitygw",
}
#: Directories and files all of whose tests need programs.
_BY_PATH: Final = {
    "conformance/catalog": "postgresql and versitygw",
    "conformance/conda_store/test_interface.py": "chromium",
    "conformance/deploy/test_compose.py": "docker",
    "conformance/deploy/test_compose_workers.py": "docker",
    "conformance/deploy/test_containerd.py": "containerd",
    "conformance/deploy/test_kubelet.py": "kubelet",
    "conformance/deploy/test_kubernetes.py": "kubeconform and others",
    "conformance/deploy/test_prefixes.py": "kubeconform and others",
    # As root, in a network of their own.
    "conformance/lookalikes/test_authorities.py": "unshare",
    "conformance/lookalikes/test_default_settings.py": "unshare",
    "conformance/pages": "chromium",
    "conformance/policy": "postgresql and versitygw",
    # Somebody else of the machine has to try what they may.
    "conformance/prefixes": "setpriv, as root",
    "conformance/prefixes/test_env_run.py": "loop devices and setpriv, as root",
    "conformance/prefixes/test_file_systems.py": "loop devices, xfs and btrfs, as root",
    "conformance/prefixes/test_squashfs.py": "squashfs-tools, squashfuse and autofs",
    "conformance/prefixes/test_pods.py": "kubelet",
    "conformance/upkeep/test_schedules.py": "postgresql",
    "conformance/webhooks/test_three_servers.py": "postgresql",
    "conformance/workers": "redis and RabbitMQ",
    "tests/builder/install/prefix/test_file_systems.py": "mkfs.xfs and mkfs.btrfs, as root",
    "tests/builder/install/test_portable_scripts.py": "zsh, fish and other shells",
    "tests/registry/prefixes/drivers/test_squashfs.py": "squashfs-tools and squashfuse",
    "tests/registry/prefixes/test_full_disks.py": "loop devices, as root",
    "tests/registry/jobs/test_queue.py": "redis and RabbitMQ",
    "tests/registry/jobs/test_events.py": "redis",
}
#: Comes last: each test of it pulls with another engine, so that one less says least.
_MANY_ENGINES: Final = _ROOT / "conformance/clients"
#: What takes minutes comes first, or one process is at it while the other has nothing left to do.
_LONGEST: Final = {
    _ROOT / "tests/registry/web/api/test_nothing_is_loosened.py",
    _ROOT / "tests/registry/web/api/test_openapi.py",
}
_LEFT_OUT: Final = pytest.StashKey[Counter[str]]()
_TOO_LATE: Final = "there was no time left to begin it"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let CI, which is ended after a time, end by itself before."""
    parser.addoption(
        "--begin-before",
        type=float,
        default=math.inf,
        metavar="SECONDS",
        help="skip tests that have not begun by then, a time as of `date +%%s`",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count; and have httpx read each file of certificates once.

    Otherwise each client does, in 20 to 100 ms, also of servers without TLS; tests make thousands.
    """
    config.stash[_LEFT_OUT] = Counter()
    made = functools.cache(_make_context)
    httpx_transports: Any = default
    httpx_transports.create_ssl_context = lambda **options: made(
        *(os.environ.get(name) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")), **options
    )


def _make_context(_file: str | None, _directory: str | None, **options: Any) -> ssl.SSLContext:
    return create_ssl_context(**options)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Have pytest-rerunfailures send at once what it asks about each test.

    Its processes send two small lines each time, of which the second otherwise waits for the
    other side's delayed acknowledgement: 40 ms for every test.
    """
    connection = getattr(getattr(session.config, "failures_db", None), "sock", None)
    if connection is not None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a program, before any are left out; the longest files come first."""
    for item in items:
        if item.get_closest_marker("engine") is None:
            for name in _needs(item):
                item.add_marker(pytest.mark.engine(name))
    items.sort(key=_turn)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin nothing that there is no time for."""
    if time.time() > item.config.getoption("--begin-before"):
        pytest.skip(_TOO_LATE)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much there was no time for."""
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum(_TOO_LATE in str(report.longrepr) for report in skipped)
    if count:
        terminalreporter.section("no time left", red=True)
        terminalreporter.line(f"{count} tests were not begun, as too little time was left")


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Count by program what is left out."""
    for item in items:
        marker = item.get_closest_marker("engine")
        if marker is not None:
            item.config.stash[_LEFT_OUT][str(marker.args[0])] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand what was counted to the process that started this one, if any did."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        counted = session.config.stash[_LEFT_OUT]
        output["left_out"] = dict(counted)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take what a process of pytest-xdist counted; each of them collects everything."""
    node.config.stash[_LEFT_OUT] |= Counter(getattr(node, "workeroutput", {}).get("left_out", {}))


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Say in the last line what was left out, and how it is run."""
    left_out = config.stash.get(_LEFT_OUT, Counter())
    if left_out and not hasattr(config, "workerinput"):
        names = ", ".join(f"{name} {count}" for name, count in sorted(left_out.items()))
        print(  # noqa: T201 (after the last line of pytest)
            f"not run, as they need programs that not every machine has: {left_out.total()} tests"
            f" ({names}). `make test-engines` installs those and runs the rest."
        )


def _turn(item: pytest.Item) -> tuple[bool, bool, bool]:
    is_engine = item.get_closest_marker("engine") is not None
    is_later = is_engine and item.path.is_relative_to(_MANY_ENGINES)
    # Whole services take long, so they come before units; of what needs engines, after them: when
    # time runs out there, few tests are left out.
    is_second = item.path.is_relative_to(_ROOT / "conformance") == is_engine
    return item.path not in _LONGEST, is_later, is_second


def _needs(item: pytest.Item) -> list[str]:
    path = item.path.relative_to(_ROOT)
    named = [name for place, name in _BY_PATH.items() if path.is_relative_to(place)]
    fixtures: list[str] = getattr(item, "fixturenames", [])
    return named or [_BY_FIXTURE[name] for name in fixtures if name in _BY_FIXTURE]
