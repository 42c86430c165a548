"""Programs of another architecture, which the kernel hands to qemu."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from conformance.clients.engines import EngineMissing

_KERNEL: Final = Path("/proc/sys/fs/binfmt_misc")
#: Of Debian's package ``qemu-user-static``; its flag F lets the kernel open
#: qemu here and now, so that a container needs no copy of it.
_RULE: Final = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")


@contextmanager
def arm64_programs() -> Iterator[None]:
    """Let this machine run programs for linux/arm64 until the exit.

    Raises:
        EngineMissing: qemu or the kernel's module is not there, or this is not root.
    """
    entry = _KERNEL / "qemu-aarch64"
    if not _RULE.exists():
        raise EngineMissing(f"{_RULE} is missing: install qemu-user-static")
    if not (_KERNEL / "register").exists():
        mounted = subprocess.run(
            ["mount", "-t", "binfmt_misc", "none", str(_KERNEL)], capture_output=True, check=False
        )
        if mounted.returncode:
            raise EngineMissing(f"no binfmt_misc: {mounted.stderr.decode().strip()}")
    if entry.exists():  # the machine has it already, and keeps it
        yield
        return
    (_KERNEL / "register").write_bytes(_RULE.read_bytes().strip())
    try:
        yield
    finally:
        entry.write_text("-1")
