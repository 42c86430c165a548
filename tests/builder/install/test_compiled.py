"""Which bytecode the compiler makes, held against what layers have of it."""

from pathlib import Path

from builder.bytecode.compiler import Compiler
from builder.install.compiled import compiled_paths
from builder.install.contents import read_contents
from builder.install.wheel.contents import read_wheel_contents
from builder.layer import LayerPackage, PythonTarget
from builder.sandbox.sandbox import Sandbox
from conformance.channel.writer import Entry, Package, package_bytes
from tests.builder.install.layers import Changed, assemble_bytes, record_of, store
from tests.tiny_wheels import TinyWheel, wheel_bytes, wheel_record

SITE = "lib/python3.11/site-packages"
CACHE = "__pycache__/{}.cpython-311.pyc"
OWN = b"the package's own"
NOARCH = Package(
    "demo",
    "1.0",
    noarch="python",
    entries=[
        Entry("python-scripts/tool.py", b"x = 1\n", mode=0o755),
        Entry("etc/config.py", b"x = 1\n"),
        Entry("site-packages/demo/a.py", b"x = 1\n"),
        Entry("site-packages/demo/b.py", b"x = 2\n"),
        Entry("site-packages/demo/own.py", b"x = 3\n"),
        Entry(f"site-packages/demo/{CACHE.format('own')}", OWN),
        Entry(f"site-packages/demo/{CACHE.format('alone')}", OWN),
    ],
)
WHEEL = TinyWheel(
    "demo",
    files={
        "demo/a.py": b"x = 1\n",
        "demo/own.py": b"x = 2\n",
        f"demo/{CACHE.format('own')}": OWN,
        "{data}/purelib/pure.py": b"x = 3\n",
        "{data}/scripts/run.py": b"x = 4\n",
        "{data}/data/etc/config.py": b"x = 5\n",
    },
)


def written(
    directory: Path, prefix: Path, python: PythonTarget, package: LayerPackage, data: bytes
) -> set[str]:
    """Return the bytecode that a layer has, but what the package brought."""
    compiler = Compiler(prefix, python, Sandbox("none"))
    layer = assemble_bytes(directory, [(package, data)], compiler=compiler, python=python)
    paths = [path for path in layer.below_prefix() if path.endswith(".pyc")]
    return {path for path in paths if layer.content[f"opt/conda/{path}"] != OWN}


def test_of_a_noarch_package_it_is_what_its_layer_has(
    tmp_path: Path, python_prefix: Path, host_python: PythonTarget
) -> None:
    data = package_bytes(NOARCH)
    record = record_of(NOARCH, data)
    contents = read_contents(store(tmp_path, data), record)
    for changed in (
        Changed(NOARCH),
        Changed(NOARCH, omit=(f"{SITE}/demo/a.py", f"{SITE}/demo/{CACHE.format('b')}")),
        Changed(NOARCH, redirects=((f"{SITE}/demo", "share/demo"),)),
    ):
        package = LayerPackage(record, changed.omit, changed.redirects)
        found = compiled_paths(package, contents, host_python)
        assert found == written(tmp_path, python_prefix, host_python, package, data)
        assert bool(found) == (not changed.omit)


def test_of_a_wheel_it_is_what_its_layer_has(
    tmp_path: Path, python_prefix: Path, host_python: PythonTarget
) -> None:
    data, record = wheel_bytes(WHEEL), wheel_record(WHEEL)
    contents = read_wheel_contents(store(tmp_path, data), record)
    for omit in ((), (f"{SITE}/demo/a.py",), (f"{SITE}/{CACHE.format('pure')}",)):
        package = LayerPackage(record, omit)
        found = compiled_paths(package, contents, host_python)
        assert found == written(tmp_path, python_prefix, host_python, package, data)
        assert len(found) == 2 - len(omit)


def test_of_a_package_for_one_python_there_is_none(
    tmp_path: Path, host_python: PythonTarget
) -> None:
    entries = [Entry(f"{SITE}/m.py"), Entry(f"{SITE}/{CACHE.format('m')}", OWN)]
    package = Package("arch", "1.0", subdir="linux-64", noarch=None, entries=entries)
    data = package_bytes(package)
    record = record_of(package, data)
    contents = read_contents(store(tmp_path, data), record)
    assert compiled_paths(LayerPackage(record), contents, host_python) == frozenset()
