"""Programs of another architecture, which the kernel hands to qemu."""

import fcntl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from conformance.cache import cache_directory
from conformance.clients.engines import EngineMissing

_KERNEL: Final = Path("/proc/sys/fs/binfmt_misc")
#: Of Debian's package ``qemu-user-static``; its flag F lets the kernel open
#: qemu here and now, so that a container needs no copy of it.
_RULE: Final = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")


@contextmanager
def arm64_programs() -> Iterator[None]:
    """Let this machine run programs for linux/arm64 until the exit.

    There is one kernel for all runs of the tests: another run waits until this one has ended, or it
    would lose its programs in between.

    Raises:
        EngineMissing: qemu or the kernel's module is not there, or this is not root.
    """
    entry = _KERNEL / "qemu-aarch64"
    if not _RULE.exists():
        raise EngineMissing(f"{_RULE} is missing: install qemu-user-static")
    with (cache_directory() / "emulation.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with _mounted():
            if entry.exists():  # the machine has it already, and keeps it
                yield
                return
            (_KERNEL / "register").write_bytes(_RULE.read_bytes().strip())
            try:
                yield
            finally:
                entry.write_text("-1")


@contextmanager
def _mounted() -> Iterator[None]:
    """Mount what the kernel is told by, unless the machine has done so."""
    if (_KERNEL / "register").exists():
        yield
        return
    argv = ["mount", "-t", "binfmt_misc", "none", str(_KERNEL)]
    mounted = subprocess.run(argv, capture_output=True, check=False)
    if mounted.returncode:
        raise EngineMissing(f"no binfmt_misc: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(_KERNEL)], check=False, capture_output=True)
