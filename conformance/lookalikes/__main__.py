"""Runs a command where conda.anaconda.org, docker.io and pypi.org are the look-alikes.

    python -m conformance.lookalikes make serve
    nsenter --target PID --net --mount skopeo …       # a client in the same place

It gets a network and a file system of its own, in which their names mean addresses of the loopback
interface, and their certificates are those of an authority that the machine trusts. Nothing outside
changes, and nothing outside is reached. That takes root, or a kernel that lets others make
namespaces.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from conformance import channel, pypi
from conformance.lookalikes import AnacondaOrg, DockerHub, PyPI
from conformance.lookalikes.namespace import INSIDE, move_inside, name_hosts, trust


def main() -> int:
    """Return the command's exit code."""
    command = sys.argv[1:]
    if not command:
        sys.exit("usage: python -m conformance.lookalikes COMMAND [ARGUMENT…]")
    if INSIDE not in os.environ:
        # Before there is no way out: what they are made of may have to be fetched.
        channel.ensure()
        pypi.ensure()
        move_inside([sys.executable, "-m", "conformance.lookalikes", *command])
    paths = channel.ensure()
    with tempfile.TemporaryDirectory(prefix="lookalikes-") as name, ExitStack() as stack:
        directory = Path(name)
        placement = name_hosts([*AnacondaOrg.HOSTS, *DockerHub.HOSTS, *PyPI.HOSTS], directory)
        environment = trust(directory)
        stack.enter_context(AnacondaOrg(paths.channel, placement=placement))
        stack.enter_context(DockerHub(paths.base, placement=placement))
        stack.enter_context(PyPI(pypi.ensure(), placement=placement))
        with subprocess.Popen(command, env=environment) as process:
            try:
                return process.wait()
            except BaseException:
                process.terminate()
                raise


if __name__ == "__main__":
    sys.exit(main())
