"""Restricts this process with what the kernel gives to everyone, and becomes another program.

Run as a script, by :mod:`builder.sandbox.sandbox`; it imports nothing of the project::

    python -I -S landlock.py [--read DIR]… [--write DIR] [--devices] [--supervise]
        [--env NAME=VALUE]… -- PROG …

Two things of Linux together, neither of which needs a privilege, nor user namespaces:

landlock (5.13)   which files can be opened, made, renamed and deleted: those beneath the named
                  directories alone
seccomp           what landlock does not see: sockets, what changes files by their name without
                  opening them (modes, owners, times, lengths), other processes of the same user

Both hold for all that the program starts, and cannot be taken off.

*Source*: Linux' ``Documentation/userspace-api/landlock.rst`` and ``seccomp_filter.rst``.
"""

import argparse
import contextlib
import ctypes
import errno
import os
import platform
import signal
import struct
import sys
from collections.abc import Sequence
from typing import Final

#: Rights of landlock: the bit of each and the version of the ABI that it came with.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << bit for bit in range(4))
_RIGHTS_BY_ABI: Final = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
_READ: Final = _EXECUTE | _READ_FILE | _READ_DIR
_DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

#: The same numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_CHILD_SUBREAPER = 1, 22, 36
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 38, 47

#: Machine → what the kernel calls it, and the column of its numbers below.
_MACHINES: Final = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
#: The newest call that was looked at when this was written (``mseal``); later ones are refused as
#: an older kernel would refuse them.
_LAST_CALL: Final = 462
#: Calls that are refused, with their numbers on x86_64 and aarch64; ``None``: not there.
_REFUSED: Final[dict[str, tuple[int | None, int | None]]] = {
    # The network, and what would get round this filter.
    "socket": (41, 198),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # What needs no open file.
    "truncate": (76, 45),
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # Other processes of the same user, and leaving the group in which all are ended together.
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    # What processes of a machine share.
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # Nothing here needs them, and each was a way into the kernel before.
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "memfd_secret": (447, 447),
    "quotactl": (179, 60),
}
#: Of these, what changes modes, owners and times: programs that copy files end when it is refused.
_PRETENDED: Final = frozenset(
    name
    for name in _REFUSED
    if name.startswith(("chmod", "fchmod", "chown", "fchown", "lchown", "utime", "futime"))
)
_CLONE: Final = (56, 220)
_CLONE3: Final = (435, 435)
_PRLIMIT: Final = (302, 261)
_NAMESPACES: Final = 0x7E020080  # CLONE_NEW…, every one
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

_libc: Final = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("directory", ctypes.c_int32))


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def abi_version() -> int:
    """Return which landlock this kernel has, or 0: none, or it is off."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def restrict_files(read: Sequence[str], write: Sequence[str], devices: Sequence[str]) -> None:
    """Restrict this process for good to the files beneath ``read`` and ``write``.

    A directory that is not there is left out.

    Raises:
        OSError: The kernel has no landlock.
    """
    abi = abi_version()
    if not abi:
        raise OSError(errno.EOPNOTSUPP, "this kernel has no landlock")
    known = sum(bits for version, bits in _RIGHTS_BY_ABI.items() if version <= abi)
    # TCP (version 4); abstract sockets and signals of others (6).
    ruleset = _Ruleset(known, 3, 3)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    rules = _call(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), 0)
    of_files = known & ~(_READ_DIR | _EXECUTE)
    of_files &= _READ_FILE | _WRITE_FILE | _RIGHTS_BY_ABI[3] | _RIGHTS_BY_ABI[5]
    for paths, rights in ((read, _READ), (write, known), (devices, of_files)):
        for path in paths:
            try:
                opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            beneath = _Beneath(rights, opened)
            _call(_ADD_RULE, rules, 1, ctypes.byref(beneath), 0)
            os.close(opened)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _call(_RESTRICT_SELF, rules, 0)
    os.close(rules)


def refuse_calls(*, pretend: bool = False) -> None:
    """Let every call that this module names fail with ``EPERM``, for ever.

    Args:
        pretend: Whether those that change modes, owners and times do nothing instead.

    Raises:
        OSError: The kernel has no filters, or this machine's calls are not known here.
    """
    machine = platform.machine()
    if machine not in _MACHINES:
        raise OSError(errno.EOPNOTSUPP, f"system calls of {machine} are not known")
    program = call_filter(machine, pretend=pretend)
    kept = ctypes.create_string_buffer(program, len(program))
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    address = ctypes.cast(kept, ctypes.c_void_p)
    _prctl(_PR_SET_SECCOMP, 2, ctypes.byref(_Filter(len(program) // 8, address)))


def call_filter(machine: str, *, pretend: bool = False) -> bytes:
    """Return the filter of a machine, e.g. ``"x86_64"``, as the kernel's classic BPF."""
    architecture, column = _MACHINES[machine]
    load, equal, at_least, any_bit, give = 0x20, 0x15, 0x35, 0x45, 0x06
    refuse, missing = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    code: list[tuple[int, int, int, int]] = [
        (load, 0, 0, 4),
        (equal, 1, 0, architecture),
        (give, 0, 0, _KILL),
        (load, 0, 0, 0),
        # Also all of x32, another set of calls of x86_64.
        (at_least, 0, 1, _LAST_CALL + 1),
        (give, 0, 0, missing),
        # Its flags are behind a pointer; the C library goes on with clone.
        (equal, 0, 1, _CLONE3[column]),
        (give, 0, 0, missing),
    ]
    for name, numbers in _REFUSED.items():
        number = numbers[column]
        if number is not None:
            answer = _ERRNO if pretend and name in _PRETENDED else refuse
            code += [(equal, 0, 1, number), (give, 0, 0, answer)]
    code += [
        (equal, 0, 3, _CLONE[column]),
        (load, 0, 0, 16),
        (any_bit, 0, 1, _NAMESPACES),
        (give, 0, 0, refuse),
        # The number again, as the flags of clone may stand there; limits of others are theirs.
        (load, 0, 0, 0),
        (equal, 0, 3, _PRLIMIT[column]),
        (load, 0, 0, 16),
        (equal, 1, 0, 0),
        (give, 0, 0, refuse),
        (give, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def drop_privileges() -> None:
    """Give up what root has beyond other users, and end when the process that started this ends."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _prctl(_PR_CAP_AMBIENT, 4)
    header = ctypes.create_string_buffer(struct.pack("=Ii", 0x20080522, 0), 8)
    if _libc.capset(header, ctypes.create_string_buffer(24)):
        raise OSError(ctypes.get_errno(), "capabilities cannot be given up")


def supervise() -> None:
    """Go on as a process of a new group; the one before waits until it and its family have ended.

    They end with the first of them, and with whoever started this: no container need have an
    ``init`` that asks how processes ended which nobody else asks for.
    """
    starter = os.getpid()
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    first = os.fork()
    if not first:
        os.setpgid(0, 0)
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != starter:
            os._exit(1)
        return
    with contextlib.suppress(OSError):  # it was faster
        os.setpgid(first, first)

    def end(*_: object) -> None:
        with contextlib.suppress(OSError):
            os.killpg(first, signal.SIGKILL)

    signal.signal(signal.SIGTERM, end)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    status = 0
    while True:
        try:
            ended, code = os.wait()
        except ChildProcessError:
            os._exit(status)
        if ended == first:
            status = 128 + os.WTERMSIG(code) if os.WIFSIGNALED(code) else os.WEXITSTATUS(code)
            end()


def main() -> None:
    """Restrict this process, and become the program that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--read", action="append", default=[])
    parser.add_argument("--write", action="append", default=[])
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--devices", action="store_true")
    parser.add_argument("--supervise", action="store_true")
    parser.add_argument("program", nargs="+")
    options = parser.parse_args()
    environment = dict(pair.split("=", 1) for pair in options.env)
    try:
        drop_privileges()
        if options.supervise:
            supervise()
        restrict_files(options.read, options.write, _DEVICES if options.devices else ())
        refuse_calls(pretend=options.supervise)
        # Python ignores these, and what it becomes would: a write too many would only fail.
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(ignored, signal.SIG_DFL)
        os.execve(options.program[0], options.program, environment)  # noqa: S606 (no shell wanted)
    except OSError as exc:
        sys.exit(f"landlock: {exc.strerror}: {exc.filename or options.program[0]}")


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _prctl(option: int, *arguments: object) -> None:
    filled = [*arguments, *(0 for _ in range(4 - len(arguments)))]
    words = [ctypes.c_ulong(word) if isinstance(word, int) else word for word in filled]
    if _libc.prctl(option, *words):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


if __name__ == "__main__":
    main()
