import contextlib
import importlib.util
import marshal
import pickle
import subprocess
import types
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from builder.bytecode.compiler import Compiler
from builder.errors import BytecodeError, SandboxUnavailable
from builder.layer import PythonTarget
from builder.sandbox.sandbox import Sandbox, SandboxKind, find_sandbox

_SITE = "/opt/conda/lib/python3.11/site-packages"


@pytest.fixture
def compiler(python_prefix: Path, host_python: PythonTarget) -> Compiler:
    return Compiler(python_prefix, host_python, Sandbox("none"))


def _compile(compiler: Compiler, scratch: Path, *modules: tuple[str, bytes]) -> list[bytes | None]:
    with compiler.start("demo-1.0-0", scratch) as compilation:
        for path, source in modules:
            compilation.add(path, source)
        return list(compilation.results())


def test_bytecode_runs_and_knows_where_its_source_will_be(
    tmp_path: Path, compiler: Compiler
) -> None:
    source = b"def f():\n    return 42\n"
    (pyc,) = _compile(compiler, tmp_path, (f"{_SITE}/m.py", source))
    assert pyc is not None
    assert pyc[:4] == importlib.util.MAGIC_NUMBER
    # PEP 552: made from a hash of the source, which is not compared when it is imported.
    assert pyc[4:8] == b"\1\0\0\0"
    assert pyc[8:16] == importlib.util.source_hash(source)
    code = marshal.loads(pyc[16:])
    assert isinstance(code, types.CodeType)
    assert code.co_filename == f"{_SITE}/m.py"
    module: dict[str, object] = {}
    exec(code, module)
    f = module["f"]
    assert callable(f)
    assert f() == 42


@pytest.mark.parametrize(
    "source",
    [b"print 'python 2'\n", b"{{ template }}:\n", b"\0", b"\xff\xfe", b"# coding: none-such\n"],
)
def test_what_does_not_compile_is_skipped_and_the_rest_is_not(
    tmp_path: Path, compiler: Compiler, source: bytes
) -> None:
    good = b"x = 1\n"
    results = _compile(compiler, tmp_path, ("a.py", good), ("b.py", source), ("c.py", good))
    assert [result is not None for result in results] == [True, False, True]


def test_source_is_not_run(tmp_path: Path, compiler: Compiler) -> None:
    marker = tmp_path / "ran"
    source = f"open({str(marker)!r}, 'w')\n".encode()
    assert _compile(compiler, tmp_path, ("a.py", source)) != [None]
    assert not marker.exists()


def test_the_same_package_gives_the_same_bytes_in_every_process(
    tmp_path: Path, compiler: Compiler
) -> None:
    modules = [
        (f"{_SITE}/m{n}.py", f"name = 'shared'\nnames = {{'a', 'b', 'c{n}'}}\n".encode() * n)
        for n in range(1, 30)
    ]
    assert _compile(compiler, tmp_path, *modules) == _compile(compiler, tmp_path, *modules)


def test_every_sandbox_gives_the_same_bytes(tmp_path: Path) -> None:
    """With the system's Python, as the tests' own may be bound to where it is."""
    answer = subprocess.run(["/usr/bin/python3", "-V"], check=True, capture_output=True, text=True)
    python = PythonTarget(answer.stdout.split()[1], "")
    modules = [
        (f"{_SITE}/m{n}.py", f"def f{n}(a, b):\n    return {{a: b, 'k': ('x', {n})}}\n".encode())
        for n in range(20)
    ]
    found = {}
    for kind in get_args(SandboxKind):
        with contextlib.suppress(SandboxUnavailable):
            compiler = Compiler(Path("/usr"), python, find_sandbox(kind))
            found[kind] = _compile(compiler, tmp_path, *modules)
    assert all(results == found["none"] for results in found.values())
    assert None not in found["none"]


def test_a_sandbox_that_stops_to_work_is_not_the_fault_of_a_package(
    tmp_path: Path, compiler: Compiler
) -> None:
    broken = replace(compiler, sandbox=Sandbox("bwrap", "/bin/false"))
    with pytest.raises(SandboxUnavailable, match="allow user namespaces or landlock"):
        _compile(broken, tmp_path, ("a.py", b""))


def test_a_python_of_another_version_is_refused(tmp_path: Path, compiler: Compiler) -> None:
    target = replace(compiler.target, version=f"{compiler.target.short}.99")
    with pytest.raises(BytecodeError, match="cannot be compiled: this is Python 3"):
        _compile(replace(compiler, target=target), tmp_path, ("a.py", b""))


def test_a_python_that_is_not_there_is_reported(tmp_path: Path, compiler: Compiler) -> None:
    with pytest.raises(BytecodeError, match="No such file"):
        _compile(replace(compiler, prefix=tmp_path), tmp_path, ("a.py", b""))


def test_a_compiler_that_hangs_is_stopped(tmp_path: Path, compiler: Compiler) -> None:
    hanging = tmp_path / "bin" / f"python{compiler.target.short}"
    hanging.parent.mkdir()
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    slow = replace(compiler, prefix=tmp_path, timeout_seconds=0.2)
    with pytest.raises(BytecodeError, match=r"it took more than 0\.2 s"):
        _compile(slow, tmp_path, *[("a.py", bytes(1_000_000))] * 3)


def test_nothing_is_left_when_the_caller_gives_up(tmp_path: Path, compiler: Compiler) -> None:
    def give_up() -> None:
        with compiler.start("demo", tmp_path) as compilation:
            compilation.add("a.py", b"x = 1\n")
            raise KeyError

    with pytest.raises(KeyError):
        give_up()
    assert list(tmp_path.iterdir()) == []


def test_a_package_that_was_compiled_before_needs_no_python(
    tmp_path: Path, compiler: Compiler
) -> None:
    keeping = replace(compiler, kept=tmp_path / "kept")
    modules = [(f"{_SITE}/m{n}.py", b"x = %d\n" % n) for n in range(3)]
    first = _compile(keeping, tmp_path, *modules, ("b.py", b"print 'python 2'\n"))
    without = replace(keeping, prefix=tmp_path)
    assert _compile(without, tmp_path, *modules, ("b.py", b"print 'python 2'\n")) == first
    with pytest.raises(BytecodeError, match="No such file"):
        _compile(without, tmp_path, *reversed(modules))


def test_a_package_without_modules_needs_no_python(tmp_path: Path, compiler: Compiler) -> None:
    assert _compile(replace(compiler, prefix=tmp_path), tmp_path) == []


def test_a_compiler_survives_being_pickled(compiler: Compiler) -> None:
    assert pickle.loads(pickle.dumps(compiler)) == compiler
