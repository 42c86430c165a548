"""An environment in a directory, for a machine on which no image can be seen as the whole system.

There the test of an image runs in the environment's archive, put in order where it lies, with the
programs and libraries of this machine around it.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from builder.install.portable_scripts import RUN_ACTIVATED
from builder.install.portable_unpacking import unpack
from builder.sandbox.sandbox import Sandbox
from builder.sandbox.trial import TrialLimits
from builder.system_errors import disk_errors
from registry.errors import ImageUnfit

_PATH: Final = "/usr/local/bin:/usr/bin:/bin"
_SHELL: Final = "/bin/sh"
_UNPACK_SECONDS: Final = 600


def unpack_prefix(archive: Path, root: Path, sandbox: Sandbox) -> None:
    """Unpack the archive of an environment into a directory, which is made and belongs to it.

    Args:
        archive: Compressed with zstd.
        root: Where to, as its programs will find it.
        sandbox: What the archive's ``conda-unpack`` runs in, beside whatever packages put there.

    Raises:
        ImageUnfit: It cannot be put in order.
        PackageError: It is damaged.
        StoreUnavailable: The disk is full or broken.
    """
    with disk_errors():
        unpack(archive, root)
    python = Path(sys.executable).resolve()
    try:
        outcome = sandbox.run(
            [str(python), "-E", "-s", "-B", str(root / "bin" / "conda-unpack")],
            prefix=Path(sys.base_prefix),
            # Not every Python finds its own library without the system's list of them.
            environment={"LD_LIBRARY_PATH": f"{sys.base_prefix}/lib"},
            writable=root,
            programs=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout_seconds=_UNPACK_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise ImageUnfit("the environment was not put in order for its test in time") from None
    if outcome.status:
        raise ImageUnfit(
            f"the environment cannot be put in order for its test: {outcome.last_line}"
        )


def prefix_command(
    sandbox: Sandbox, root: Path, work: Path, command: str, limits: TrialLimits
) -> list[str]:
    """Return what runs a command of a shell in an environment, activated.

    Args:
        sandbox: What it runs in.
        root: The environment.
        work: A directory for whatever it writes.
        command: For ``/bin/sh``.
        limits: What it may take.
    """
    # What packages activate themselves with is written for bash.
    shell = shutil.which("bash", path=_PATH) or _SHELL
    return sandbox.command(
        [shell, "-c", RUN_ACTIVATED, "test", str(root), _SHELL, "-c", command],
        prefix=root,
        environment=_variables(work),
        writable=work,
        programs=True,
        largest_file_bytes=limits.disk_bytes,
        limits=limits.of_each,
        supervised=True,
    )


def _variables(work: Path) -> Mapping[str, str]:
    place = os.fspath(work)
    # The machine does not say who its users are.
    who = {"USER": "nobody", "LOGNAME": "nobody"}
    return {"PATH": _PATH, "HOME": place, "TMPDIR": place, "LC_ALL": "C.UTF-8", **who}
