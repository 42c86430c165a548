"""The way people have today: a Dockerfile that installs a lock, as pixi's documentation writes it.

::

    FROM installer AS install         a Python with rattler: made before anything is measured
    RUN  … lock.yml → /opt/env        packages from the same channel; bytecode for all modules
    FROM base
    COPY --from=install /opt/env      one layer above the same base
"""

import shutil
from pathlib import Path
from typing import Final

import rattler

from benchmarks.bench import Bench
from benchmarks.images import build_key, get_manifest
from builder.keys import lock_key
from conformance.clients.server import Server

_INSTALLER: Final = "installer:latest"
#: Where the environment is in the image that the Dockerfile makes.
PREFIX: Final = "/opt/env"
_DOCKERFILE: Final = f"""\
FROM {_INSTALLER} AS install
COPY lock.yml /lock.yml
RUN ["python", "/install.py", "/lock.yml", "{PREFIX}"]

FROM {{base}}
COPY --from=install {PREFIX} {PREFIX}
ENV PATH={PREFIX}/bin:/usr/local/bin:/usr/bin:/bin
"""
_INSTALLER_DOCKERFILE: Final = """\
FROM {python}
COPY rattler /opt/conda/lib/python3.11/site-packages/rattler
COPY install.py /install.py
"""


class Dockerfile:
    """Builds images of environments with docker, the base and the installer already there."""

    def __init__(self, bench: Bench, server: Server) -> None:
        """Make the installer.

        Args:
            bench: Whose docker builds.
            server: Where the Python of the installer, the base and the locks come from.
        """
        self._bench = bench
        self._server = server
        self._base = bench.registry.copy(f"oci:{bench.paths.base}", "base:latest")
        context = bench.directory("installer")
        shutil.copytree(Path(rattler.__file__).parent, context / "rattler")
        shutil.copy(Path(__file__).with_name("install_in_container.py"), context / "install.py")
        python = server.reference("env/python.3.11:latest")
        (context / "Dockerfile").write_text(_INSTALLER_DOCKERFILE.format(python=python))
        bench.docker.build(context, _INSTALLER)

    def write(self, name: str) -> Path:
        """Return a directory with a Dockerfile for an environment of the server, and its lock."""
        key = build_key(get_manifest(self._server, name))
        context = self._bench.directory("dockerfile")
        shutil.copy(self._server.store / lock_key(key), context / "lock.yml")
        (context / "Dockerfile").write_text(_DOCKERFILE.format(base=self._base))
        return context
