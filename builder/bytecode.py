"""Bytecode for packages that bring none, compiled by the Python of the environment.

What ``marshal`` writes depends on which strings the process has interned, so every package gets a
fresh process, which reads nothing but that package: its answer is a pure function of it.

::

    here                                   the target's Python, in a sandbox
    (path, source), (path, source) … ────→ compile, marshal
    a temporary file                 ←──── pyc, pyc …
      │   ↑
    what was answered before, by everything that was asked

Both go through files and not through pipes, so neither side ever waits for the other to read.
Source is compiled, never run.
"""

import hashlib
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, Literal

from builder.errors import BytecodeError
from builder.kept_answers import KeptAnswers
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
    #: Where answers of this Python are kept, so that a package that comes into another layer is not
    #: compiled again; may be emptied at any time. ``None``: nowhere.
    kept: Path | None = None
    #: For one package.
    timeout_seconds: float = 900.0

    @contextmanager
    def start(self, label: str, scratch: Path) -> Iterator["Compilation"]:
        """Give what takes the modules of one package; nothing is left when the context ends.

        Args:
            label: Names the package in errors.
            scratch: A directory for temporary files.
        """
        with (
            tempfile.TemporaryFile(dir=scratch) as questions,
            tempfile.TemporaryFile(dir=scratch) as answers,
        ):
            yield Compilation(self, questions, answers, label)

    def run(self, questions: IO[bytes], answers: IO[bytes], label: str) -> None:
        """Compile what is in one file into another, both from where they stand.

        Raises:
            BytecodeError: The Python or the sandbox is not there, fails, or takes too long.
        """
        try:
            outcome = subprocess.run(
                self._command(),
                check=False,
                stdin=questions,
                stdout=answers,
                stderr=subprocess.PIPE,
                env=_ENVIRONMENT,
                cwd="/",
                timeout=self.timeout_seconds,
            )
        except OSError as exc:
            raise _error(label, exc.strerror) from exc
        except subprocess.TimeoutExpired as exc:
            raise _error(label, f"it took more than {self.timeout_seconds:g} s") from exc
        if outcome.returncode:
            lines = outcome.stderr.decode(errors="replace").strip().splitlines()
            status = f"the compiler ended with status {outcome.returncode}"
            raise _error(label, lines[-1][:200] if lines else status)

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
    """The modules of one package; made by :meth:`Compiler.start`."""

    def __init__(
        self, compiler: Compiler, questions: IO[bytes], answers: IO[bytes], label: str
    ) -> None:
        self._compiler = compiler
        self._questions = questions
        self._answers = answers
        self._label = label
        self._key = hashlib.sha256(f"{compiler.target.version} {_PROGRAM}".encode())
        self._count = 0

    def add(self, path: str, source: bytes) -> None:
        """Hand in a module; the order of the modules is part of what their bytecode depends on.

        Args:
            path: Where it will be found at run time, e.g.
                ``"/opt/conda/lib/python3.11/site-packages/six.py"``: tracebacks show it.
            source: Its content.
        """
        name = path.encode()
        for part in (struct.pack(">II", len(name), len(source)), name, source):
            self._questions.write(part)
            self._key.update(part)
        self._count += 1

    def results(self) -> Iterator[bytes | None]:
        """Yield the ``.pyc`` of each module in the order they were added.

        ``None`` for a module that does not compile: many packages have templates, or modules for
        other Pythons.

        Raises:
            BytecodeError: The Python or the sandbox is not there, fails, or takes too long.
        """
        if not self._count:
            return
        kept = self._compiler.kept
        if kept is None:
            self._compile()
            yield from self._read_all(self._answers)
            return
        known = KeptAnswers(kept, self._key.digest())
        with known.open() as before:
            if before is not None:
                yield from self._read_all(before)
                return
        self._compile()
        known.keep(self._answers)
        yield from self._read_all(self._answers)

    def _compile(self) -> None:
        self._questions.seek(0)
        self._compiler.run(self._questions, self._answers, self._label)
        self._answers.seek(0)

    def _read_all(self, answers: IO[bytes]) -> Iterator[bytes | None]:
        for _ in range(self._count):
            (size,) = struct.unpack(">I", self._read(answers, 4))
            yield None if size == _NOT_COMPILED else self._read(answers, size)

    def _read(self, answers: IO[bytes], size: int) -> bytes:
        data = answers.read(size)
        if len(data) < size:
            raise _error(self._label, "the compiler ended before its last answer")
        return data


def _error(label: str, reason: str | None) -> BytecodeError:
    return BytecodeError(f"the modules of '{label}' cannot be compiled: {reason}")
