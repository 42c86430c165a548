import json
from pathlib import Path

from builder.bytecode.compiler import Compiler
from builder.layer import PythonTarget
from builder.sandbox.sandbox import Sandbox
from conformance.channel.writer import Entry, Package
from tests.builder.install.layers import WRITTEN, Changed, Layer, assemble_packages

SITE = "lib/python3.11/site-packages"
PACKAGE = Package(
    "demo",
    "1.0",
    noarch="python",
    entries=[
        Entry("python-scripts/tool.py", b"x = 1\n", mode=0o755),
        Entry("site-packages/broken.py", b"print 'python 2'\n"),
        Entry("site-packages/demo/a.py", b"x = 1\n"),
        Entry("site-packages/demo/b.py", b"x = 2\n"),
    ],
)


def _assemble(
    directory: Path, prefix: Path, python: PythonTarget, package: Package | Changed
) -> Layer:
    return assemble_packages(directory, package, compiler=Compiler(prefix, python, Sandbox("none")))


def test_modules_get_bytecode_as_old_as_their_source(
    tmp_path: Path, python_prefix: Path, host_python: PythonTarget
) -> None:
    layer = _assemble(tmp_path, python_prefix, host_python, PACKAGE)
    compiled = [path for path in layer.below_prefix() if path.endswith(".pyc")]
    cache = f"{SITE}/demo/__pycache__"
    assert compiled == [f"{cache}/a.cpython-311.pyc", f"{cache}/b.cpython-311.pyc"]
    member = layer.members[f"opt/conda/{compiled[0]}"]
    assert (member.mode, member.mtime) == (0o644, WRITTEN)
    record = json.loads(layer.text("conda-meta/demo-1.0-0.json"))
    assert set(compiled) < set(record["files"])
    kinds = {path["_path"]: path["path_type"] for path in record["paths_data"]["paths"]}
    assert kinds[compiled[0]] == "pyc_file"


def test_a_module_that_is_left_out_leaves_its_bytecode_out(
    tmp_path: Path, python_prefix: Path, host_python: PythonTarget
) -> None:
    cache = f"{SITE}/demo/__pycache__"
    package = Changed(PACKAGE, omit=(f"{cache}/b.cpython-311.pyc", f"{SITE}/demo/a.py"))
    layer = _assemble(tmp_path, python_prefix, host_python, package)
    paths = layer.below_prefix()
    assert f"{SITE}/demo/b.py" in paths
    assert not [path for path in paths if path.endswith(".pyc")]


def test_packages_for_one_python_keep_the_bytecode_they_have(
    tmp_path: Path, python_prefix: Path, host_python: PythonTarget
) -> None:
    package = Package(
        "arch",
        "1.0",
        subdir="linux-64",
        noarch=None,
        entries=[Entry(f"{SITE}/m.py"), Entry(f"{SITE}/__pycache__/m.cpython-311.pyc", b"pyc")],
    )
    layer = _assemble(tmp_path, python_prefix, host_python, package)
    assert layer.content[f"opt/conda/{SITE}/__pycache__/m.cpython-311.pyc"] == b"pyc"


def test_modules_that_bring_their_bytecode_keep_it(
    tmp_path: Path, python_prefix: Path, host_python: PythonTarget
) -> None:
    name = "__pycache__/m.cpython-311.pyc"
    entries = [Entry("site-packages/m.py"), Entry(f"site-packages/{name}", b"pyc")]
    package = Package("demo", "1.0", noarch="python", entries=entries)
    layer = _assemble(tmp_path, python_prefix, host_python, package)
    assert layer.content[f"opt/conda/{SITE}/{name}"] == b"pyc"
