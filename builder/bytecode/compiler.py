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
from typing import IO, Final

from builder.bytecode.cache import DiskCache
from builder.errors import BytecodeError
from builder.layer import PythonTarget
from builder.sandbox.sandbox import Sandbox, ensure_works

#: Larger modules get no bytecode: source is held in memory here and there.
MAX_MODULE_BYTES: Final = 8 * 1024 * 1024
#: Stands for the length of the bytecode of a file that does not compile.
_NOT_COMPILED: Final = 0xFFFFFFFF
#: Runs on every Python from 3.6 on, and imports as little as it can.
_PROGRAM: Final = f"""
import marshal, struct, sys
from importlib.util import MAGIC_NUMBER, source_hash
if "%d.%d.%d" % sys.version_info[:3] != sys.argv[1]:
    sys.exit("this is Python %d.%d.%d" % sys.version_info[:3])
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
    #: What it runs in. How deeply source may be nested depends on its limits.
    sandbox: Sandbox
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
            BytecodeError: The Python is not there, fails, or takes too long.
            SandboxUnavailable: It cannot be run here any more.
        """
        try:
            outcome = self.sandbox.run(
                self._argv(),
                prefix=self.prefix,
                environment=_ENVIRONMENT,
                stdin=questions,
                stdout=answers,
                timeout_seconds=self.timeout_seconds,
            )
        except OSError as exc:
            raise _error(label, exc.strerror) from exc
        except subprocess.TimeoutExpired as exc:
            raise _error(label, f"it took more than {self.timeout_seconds:g} s") from exc
        if outcome.status:
            ensure_works(self.sandbox)  # or the package would be blamed
            raise _error(label, outcome.last_line)

    def _argv(self) -> list[str]:
        # Not -E or -I: they would ignore the hash seed. -P came with 3.11; before, the directory
        # "/" is searched for modules, in which nobody else can write.
        isolated = ["-S", "-s", "-B", "-W", "ignore"]
        major, minor = (int(part) for part in self.target.short.split("."))
        if (major, minor) >= (3, 11):
            isolated.append("-P")
        python = f"{self.sandbox.prefix_inside(self.prefix)}/bin/python{self.target.short}"
        return [python, *isolated, "-c", _PROGRAM, self.target.version]


#: The same in every process: it is part of what the bytecode depends on.
_ENVIRONMENT: Final = {"PYTHONHASHSEED": "0"}


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
            BytecodeError: The Python is not there, fails, or takes too long.
            SandboxUnavailable: It cannot be run here any more.
        """
        if not self._count:
            return
        kept = self._compiler.kept
        if kept is None:
            self._compile()
            yield from self._read_all(self._answers)
            return
        known = DiskCache(kept, self._key.digest())
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
