"""Bytecode for packages that bring none, compiled by the Python of the environment.

What ``marshal`` writes depends on which strings the process has interned, so every package gets a
fresh process, which reads nothing but that package: its answer is a pure function of it.

::

    here                                   the target's Python, in a sandbox
    (path, source), (path, source) … ────→ compile, marshal
    a temporary file                 ←──── pyc, pyc …

The answers go to a file and not through a pipe, so neither side ever waits for the other to read.
Source is compiled, never run.
"""

import struct
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal

from builder.errors import BytecodeError
from builder.layer import PREFIX, PythonTarget

#: ``bwrap``: no network, no files but the Python's and the system's libraries. ``none``: a process
#: like any other, for machines without user namespaces.
SandboxKind = Literal["bwrap", "none"]

#: Larger modules get no bytecode: source is held in memory here and there.
MAX_MODULE_BYTES: Final = 8 * 1024 * 1024
#: Stands for the length of the bytecode of a file that does not compile.
_NOT_COMPILED: Final = 0xFFFFFFFF
#: Runs on every Python from 3.6 on, and imports as little as it can.
_PROGRAM: Final = f"""
import marshal, resource, struct, sys
from importlib.util import MAGIC_NUMBER, source_hash
if "%d.%d.%d" % sys.version_info[:3] != sys.argv[1]:
    sys.exit("this is Python %d.%d.%d" % sys.version_info[:3])
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (600, 600))
resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 30, 4 << 30))
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
# How deeply source may be nested depends on it.
hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, hard))
read, write = sys.stdin.buffer.read, sys.stdout.buffer.write
while True:
    head = read(8)
    if len(head) < 8:
        break
    path_size, source_size = struct.unpack(">II", head)
    path, source = read(path_size).decode(), read(source_size)
    try:
        code = compile(source, path, "exec", dont_inherit=True, optimize=0)
        pyc = MAGIC_NUMBER + b"\\1\\0\\0\\0" + source_hash(source) + marshal.dumps(code)
    except Exception:
        write(struct.pack(">I", {_NOT_COMPILED}))
    else:
        write(struct.pack(">I", len(pyc)) + pyc)
    code = pyc = None
sys.stdout.buffer.flush()
"""


@dataclass(frozen=True, slots=True)
class Compiler:
    """Compiles modules with a Python that was unpacked on this machine. Can be pickled."""

    #: Where ``bin/python3.x`` is; see :func:`builder.install.python_prefix.unpack_python`.
    prefix: Path
    #: Whose bytecode is wanted; the unpacked Python is of exactly this version.
    target: PythonTarget
    sandbox: SandboxKind
    #: For one package.
    timeout_seconds: float = 900.0

    @contextmanager
    def start(self, label: str, scratch: Path) -> Iterator["Compilation"]:
        """Start a process for one package; it is gone when the context ends.

        Args:
            label: Names the package in errors.
            scratch: A directory for temporary files.

        Raises:
            BytecodeError: The Python or the sandbox is not there.
        """
        with (
            tempfile.TemporaryFile(dir=scratch) as answers,
            tempfile.TemporaryFile(dir=scratch) as complaints,
        ):
            try:
                process = subprocess.Popen(
                    self._command(),
                    stdin=subprocess.PIPE,
                    stdout=answers,
                    stderr=complaints,
                    env=_ENVIRONMENT,
                    cwd="/",
                )
            except OSError as exc:
                raise BytecodeError(
                    f"the modules of '{label}' cannot be compiled: {exc.strerror}"
                ) from exc
            # Kills a process that hangs while this one is blocked on its standard input.
            watchdog = threading.Timer(self.timeout_seconds, process.kill)
            watchdog.daemon = True
            watchdog.start()
            try:
                yield Compilation(process, answers, complaints, label)
            finally:
                watchdog.cancel()
                process.kill()
                process.wait()
                with suppress(BrokenPipeError):
                    assert process.stdin is not None
                    process.stdin.close()

    def _command(self) -> list[str]:
        # Not -E or -I: they would ignore the hash seed. -P came with 3.11; before, the directory
        # "/" is searched for modules, in which nobody else can write.
        isolated = ["-S", "-s", "-B", "-W", "ignore"]
        major, minor = (int(part) for part in self.target.short.split("."))
        if (major, minor) >= (3, 11):
            isolated.append("-P")
        prefix = PREFIX if self.sandbox == "bwrap" else str(self.prefix)
        python = f"{prefix}/bin/python{self.target.short}"
        command = [python, *isolated, "-c", _PROGRAM, self.target.version]
        if self.sandbox == "none":
            return command
        return ["bwrap", *_SANDBOX, "--ro-bind", str(self.prefix), PREFIX, "--", *command]


#: The same in every process: it is part of what the bytecode depends on.
_ENVIRONMENT: Final = {"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0"}
_SANDBOX: Final = (
    ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--chdir", "/"]
    + [
        word
        for directory in ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
        for word in ("--ro-bind-try", directory, directory)
    ]
    + ["--clearenv", "--setenv", "PYTHONHASHSEED", "0"]
    # There is no /proc, by which ld.so would find the libraries at $ORIGIN/../lib; without this,
    # a Python of the system whose library is beneath /usr/lib would run instead.
    + ["--setenv", "LD_ORIGIN_PATH", f"{PREFIX}/bin"]
)


class Compilation:
    """One running compiler; made by :meth:`Compiler.start`."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        answers: IO[bytes],
        complaints: IO[bytes],
        label: str,
    ) -> None:
        self._process = process
        self._answers = answers
        self._complaints = complaints
        self._label = label
        self._count = 0

    def add(self, path: str, source: bytes) -> None:
        """Hand in a module; the order of the modules is part of what their bytecode depends on.

        Args:
            path: Where it will be found at run time, e.g.
                ``"/opt/conda/lib/python3.11/site-packages/six.py"``: tracebacks show it.
            source: Its content.

        Raises:
            BytecodeError: The process has ended.
        """
        name = path.encode()
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(struct.pack(">II", len(name), len(source)) + name + source)
        except (BrokenPipeError, ValueError) as exc:
            raise self._error() from exc
        self._count += 1

    def results(self) -> Iterator[bytes | None]:
        """Yield the ``.pyc`` of each module in the order they were added.

        ``None`` for a module that does not compile: many packages have templates, or modules for
        other Pythons.

        Raises:
            BytecodeError: The process failed or took too long.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError as exc:
            raise self._error() from exc
        if self._process.wait() != 0:
            raise self._error()
        self._answers.seek(0)
        for _ in range(self._count):
            (size,) = struct.unpack(">I", self._read(4))
            yield None if size == _NOT_COMPILED else self._read(size)

    def _read(self, size: int) -> bytes:
        data = self._answers.read(size)
        if len(data) < size:
            raise self._error()
        return data

    def _error(self) -> BytecodeError:
        status = self._process.wait()
        self._complaints.seek(0)
        lines = self._complaints.read(4096).decode(errors="replace").strip().splitlines()
        reason = lines[-1][:200] if lines else f"the compiler ended with status {status}"
        return BytecodeError(f"the modules of '{self._label}' cannot be compiled: {reason}")
