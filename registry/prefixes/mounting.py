"""Mounts files at directories and looks at what is mounted; nothing is remembered."""

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from registry.errors import PrefixUnusable
from registry.prefixes.programs import ProgramFailed, ProgramMissing, run_program

Mounting = Literal["never", "kernel", "fuse"]

_MOUNTINFO: Final = Path("/proc/self/mountinfo")
_STATUS: Final = Path("/proc/self/status")
#: Source: capabilities(7), <linux/capability.h>.
_CAP_SYS_ADMIN: Final = 21
_LOOP_CONTROL: Final = Path("/dev/loop-control")
_BLOCK_DEVICES: Final = Path("/sys/dev/block")
#: What the kernel puts after the name of a file that has gone.
_DELETED: Final = " (deleted)"
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
#: The latter is slower; older packages have it alone.
_SQUASHFUSE: Final = ("squashfuse_ll", "squashfuse")
#: The first is that of FUSE 3.
_FUSERMOUNT: Final = ("fusermount3", "fusermount")
_FUSE_CONF: Final = Path("/etc/fuse.conf")
_OPTIONS: Final = "ro,nodev,nosuid"


@dataclass(frozen=True, slots=True)
class Mount:
    """What is mounted at a directory, the uppermost if there are several."""

    #: ``squashfs``, ``fuse``
    filesystem: str
    #: The file that is mounted, also if it has gone since; a device, if no file is behind it.
    source: str


class MountBusy(Exception):
    """A mount is in use."""


def mounts(mountinfo: Path = _MOUNTINFO) -> Mapping[Path, Mount]:
    """Return what is mounted now, by its directory, as this process sees it.

    Source: proc_pid_mountinfo(5).
    """
    found: dict[Path, Mount] = {}
    # Names of files are bytes.
    for line in mountinfo.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        own, _, other = line.partition(" - ")
        device, _, at = own.split(" ")[2:5]
        filesystem, source = other.split(" ")[:2]
        source = _plain(source)
        if source.startswith("/dev/loop"):
            source = _behind(device) or source
        found[Path(_plain(at))] = Mount(filesystem, source)
    return found


async def mount(image: Path, at: Path, mounting: Mounting) -> None:
    """Mount a squashfs, read-only, for everybody whom its modes let.

    Args:
        image: The file.
        at: An empty directory.
        mounting: How; not ``never``.

    Raises:
        PrefixUnusable: It cannot be mounted; the sentence says what to do.
    """
    if mounting == "fuse":
        await _mount_fuse(image, at)
        return
    command = ["mount", "-t", "squashfs", "-o", f"loop,{_OPTIONS}", str(image), str(at)]
    try:
        await run_program(command)
    except ProgramMissing as exc:
        raise PrefixUnusable(
            "this machine has no program mount: install the package mount, or choose --mount never"
        ) from exc
    except ProgramFailed as exc:
        raise PrefixUnusable(_why_not_mounted(image, str(exc))) from exc


async def unmount(at: Path, filesystem: str, *, now: bool) -> None:
    """Take away what is mounted at a directory.

    Args:
        at: Where.
        filesystem: As :class:`Mount` has it.
        now: It leaves the directory at once, although it is in use; who uses it goes on, and the
            rest goes with the last one.

    Raises:
        MountBusy: It is in use.
        PrefixUnusable: It cannot be taken away.
    """
    fusermount = _first(_FUSERMOUNT) if filesystem.startswith("fuse") else None
    if fusermount is not None:
        command = [fusermount, "-u", *(["-z"] if now else []), "--", str(at)]
    else:
        command = ["umount", *(["-l"] if now else []), "--", str(at)]
    try:
        await run_program(command)
    except ProgramMissing as exc:
        raise PrefixUnusable(
            f"this machine has no program {command[0]}, which takes a mount away: install the"
            " package mount"
        ) from exc
    except ProgramFailed as exc:
        said = str(exc)
        if "busy" in said:
            raise MountBusy from exc
        if "not mounted" in said or "no mount point" in said or "not found in" in said:
            return
        raise PrefixUnusable(f"{at} cannot be unmounted: {_line(said)}") from exc


async def _mount_fuse(image: Path, at: Path) -> None:
    program = _first(_SQUASHFUSE)
    if program is None:
        raise PrefixUnusable(
            "this machine has no squashfuse: install the package squashfuse, or choose --mount"
            " never"
        )
    # A comma would begin another option. The name is what tells our mounts from others.
    name = str(image).replace("\\", "\\\\").replace(",", "\\,")
    others = ["allow_other", "default_permissions"] if _others_may_see() else []
    options = ",".join([_OPTIONS, *others, f"fsname={name}"])
    try:
        await run_program([program, "-o", options, str(image), str(at)])
    except ProgramFailed as exc:
        said = _line(str(exc))
        if "fuse device" in said or "/dev/fuse" in said:
            raise PrefixUnusable(
                f"{image.name} cannot be mounted, as this process may not use /dev/fuse: allow it"
                " to, or choose --mount never"
            ) from exc
        raise PrefixUnusable(f"{image.name} cannot be mounted by squashfuse: {said}") from exc


def _why_not_mounted(image: Path, said: str) -> str:
    about = f"{image.name} cannot be mounted"
    # Programs say "not permitted" for more than that.
    if not _may_mount():
        return f"{about}, as that needs root: run this as root, or choose --mount fuse or never"
    if "loop device" in said or not _LOOP_CONTROL.exists():
        return (
            f"{about}, as this machine has no loop device left for it: allow more (the kernel's"
            " parameter max_loop; in a container, /dev with its loop devices), or choose --mount"
            " fuse or never"
        )
    if "unknown filesystem type" in said:
        return (
            f"{about}, as this kernel has no squashfs: load its module by 'modprobe squashfs', or"
            " choose --mount fuse"
        )
    return f"{about}: {_line(said)}"


def _may_mount() -> bool:
    """Whether this process has CAP_SYS_ADMIN."""
    for line in _STATUS.read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return bool(int(value, 16) >> _CAP_SYS_ADMIN & 1)
    return False


def _others_may_see() -> bool:
    """Whether this user's FUSE mounts may be shown to other users."""
    if os.geteuid() == 0:
        return True
    try:
        lines = _FUSE_CONF.read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return "user_allow_other" in (line.strip() for line in lines)


def _behind(device: str) -> str | None:
    """Return the file of a loop device, by its numbers (``7:3``)."""
    try:
        named = (_BLOCK_DEVICES / device / "loop/backing_file").read_bytes()
    except OSError:
        return None
    return os.fsdecode(named).removesuffix("\n").removesuffix(_DELETED)


def _plain(escaped: str) -> str:
    r"""Return a name as it is; blanks and the like are written as numbers.

    >>> _plain(r"/srv/my\040files")
    '/srv/my files'
    """
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), escaped)


def _first(programs: tuple[str, ...]) -> str | None:
    return next((program for program in programs if shutil.which(program)), None)


def _line(said: str) -> str:
    """Return the line that says what is wrong; the last ones name manuals."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[0] if lines else "it does not say why"
