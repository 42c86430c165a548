"""A command in the file system of an image, as a container of it would run it.

It sees the image, read-only, a ``/tmp`` of its own, and its own processes; no network but its own
loopback. It is user 65534, which most images call ``nobody``, whoever runs the server.

*Source*: bubblewrap's manual. A ``/proc`` of its own is refused to whoever sees parts of theirs
masked, as in most containers (containers/bubblewrap#284).
"""

import os
import stat
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from builder.layer import PREFIX
from builder.sandbox.sandbox import bounded
from builder.sandbox.trial import TrialLimits

#: Places that the command can write to, each a file system in memory, and how large it is.
WRITABLE: Final[Mapping[str, int]] = {"/tmp": 512 << 20, "/dev/shm": 64 << 20}  # noqa: S108 (its own)
#: Directories that have to be in an image, for what is put there.
MOUNTS: Final = ("dev", "proc", "tmp")

_SHELL: Final = "/bin/sh"
_USER: Final = 65534
_CHECK_SECONDS: Final = 30
_APART: Final = (
    *(
        "--unshare-all",
        "--unshare-user",
        "--uid",
        str(_USER),
        "--gid",
        str(_USER),
        "--hostname",
        "test",
    ),
    *("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"),
)


@dataclass(frozen=True, slots=True)
class RootedCommand:
    """What runs a command in an image."""

    argv: Sequence[str]
    #: Who has to run it, where this process is root's.
    user: int | None


def rooted_command(
    bwrap: str,
    root: Path,
    command: str,
    environment: Mapping[str, str],
    limits: TrialLimits,
) -> RootedCommand:
    """Return what runs a command of a shell in an image.

    Args:
        bwrap: Bubblewrap, by its path.
        root: The image, unpacked, with :data:`MOUNTS`.
        command: For ``/bin/sh`` of the image.
        environment: The image's variables.
        limits: What it may take.
    """
    user = _user(bwrap, root)
    options = _options(bwrap, user) or ()
    argv = [bwrap, *_APART]
    known = {**environment, "HOME": "/tmp"}  # noqa: S108
    if "--proc" not in options:
        # Without it, programs would not find the libraries at $ORIGIN/../lib.
        known["LD_ORIGIN_PATH"] = f"{PREFIX}/bin"
    for name, value in known.items():
        argv += ["--setenv", name, value]
    argv += ["--ro-bind", str(root), "/", "--dev", "/dev", *options]
    for place, size_bytes in WRITABLE.items():
        argv += ["--perms", "1777", "--size", str(size_bytes), "--tmpfs", place]
    argv += ["--remount-ro", "/dev", "--chdir", "/tmp", "--", _SHELL, "-c", command]  # noqa: S108
    of_each = limits.of_each if user is None else {**limits.of_each, "p": limits.processes}
    return RootedCommand(bounded(argv, of_each), user)


def _user(bwrap: str, root: Path) -> int | None:
    """Return who is to run it instead of root: the kernel bounds the processes of all others.

    That can be done where everybody may pass to the image, and have namespaces.
    """
    if os.geteuid():
        return None
    is_open = all(place.stat().st_mode & stat.S_IXOTH for place in (root, *root.resolve().parents))
    return _USER if is_open and _options(bwrap, _USER) is not None else None


@lru_cache(maxsize=4)
def _options(bwrap: str, user: int | None) -> Sequence[str] | None:
    """Return what more of bubblewrap works here, the best first; ``None``: nothing does."""
    for options in (("--disable-userns", "--proc", "/proc"), ("--proc", "/proc"), ()):
        command = [bwrap, *_APART, "--ro-bind", "/", "/", *options, "--", _SHELL, "-c", ":"]
        with suppress(OSError, subprocess.TimeoutExpired):
            done = subprocess.run(
                command,
                check=False,
                capture_output=True,
                timeout=_CHECK_SECONDS,
                env={},
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )
            if not done.returncode:
                return options
    return None
