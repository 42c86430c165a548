"""An image for arm64 that was made on amd64 runs, on a kernel that hands its programs to qemu."""

from collections.abc import Iterator
from typing import Final

import pytest

from conformance.clients.emulation import arm64_programs
from conformance.clients.engines import EngineMissing, Runner
from conformance.clients.images import SIMPLE
from conformance.clients.matrix import DOCKER_29, every
from conformance.clients.server import Server, StartServer
from conformance.missing import skip_unless_ci

pytestmark = pytest.mark.skipif(
    "os.uname().machine != 'x86_64'", reason="this machine's own programs are for arm64"
)

#: Those whose ``run`` takes what ``pull`` was told to get; ``ctr`` takes what fits the machine.
_ENGINES: Final = ("docker", DOCKER_29, "podman")


@pytest.fixture(scope="module", autouse=True)
def emulation() -> Iterator[None]:
    """Let the kernel run programs for arm64."""
    try:
        with arm64_programs():
            yield
    except EngineMissing as missing:
        skip_unless_ci(str(missing))


@pytest.fixture(scope="module")
def both(start_module_server: StartServer) -> Server:
    """Return a server that builds every image for both platforms."""
    return start_module_server(platforms=["linux-64", "linux-aarch64"])


@pytest.mark.parametrize("runner", every(_ENGINES), indirect=True)
def test_image_for_arm64_runs_and_imports(runner: Runner, both: Server) -> None:
    """Binary packages load, and noarch modules find the bytecode that amd64's Python made."""
    reference = both.reference(SIMPLE)
    result = runner.pull(reference, architecture="arm64")
    assert result.ok, result.output
    code = (
        "import dateutil, numpy, os, pandas, platform;"
        " print(platform.machine(), int(numpy.arange(4).sum()),"
        " os.path.exists(dateutil.__cached__))"
    )
    assert runner.run(reference, "python", "-c", code).split() == ["aarch64", "6", "True"]
    runner.remove(reference)
