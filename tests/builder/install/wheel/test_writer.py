import csv
import io
import zipfile
from pathlib import Path

import pytest

from builder.bytecode.compiler import Compiler
from builder.errors import UnsupportedPackage
from builder.install.tar_writer import GENERATED_MTIME
from builder.install.wheel.contents import read_wheel_contents, wheel_paths
from builder.layer import LayerPackage, PythonTarget
from builder.sandbox.sandbox import Sandbox
from tests.builder.install.layers import (
    PYTHON,
    WRITTEN,
    Layer,
    assemble_bytes,
    assemble_wheels,
    compare_golden,
    listing,
    store,
)
from tests.tiny_wheels import EVERYTHING, TinyWheel, hash_of, wheel_bytes, wheel_record

SITE = PYTHON.site_packages


def _record(layer: Layer, stem: str) -> dict[str, tuple[str, str]]:
    text = layer.text(f"{SITE}/{stem}.dist-info/RECORD")
    return {path: (hashed, size) for path, hashed, size in csv.reader(text.splitlines())}


def test_a_layer_of_a_wheel_has_the_listing_that_was_agreed_upon(tmp_path: Path) -> None:
    compare_golden("wheel.txt", listing(assemble_wheels(tmp_path, EVERYTHING)))


def test_both_encodings_have_the_same_tar(tmp_path: Path) -> None:
    one = assemble_wheels(tmp_path / "zstd", EVERYTHING)
    other = assemble_wheels(tmp_path / "gzip", EVERYTHING, encoding="gzip")
    assert one.tar == other.tar


def test_everything_goes_where_installers_put_it(tmp_path: Path) -> None:
    layer = assemble_wheels(tmp_path, EVERYTHING)
    info = f"{SITE}/Every_Thing-1.2.dist-info"
    assert sorted(layer.below_prefix()) == sorted(
        [
            "bin/every",
            "bin/every-gui",
            "bin/program",
            "bin/say",
            "etc/every.py",
            "include/python3.11/every-thing/every.h",
            f"{info}/INSTALLER",
            f"{info}/METADATA",
            f"{info}/RECORD",
            f"{info}/WHEEL",
            f"{info}/entry_points.txt",
            f"{SITE}/every/__init__.py",
            f"{SITE}/every/cli.py",
            f"{SITE}/every/data.txt",
            f"{SITE}/every/fast.cpython-311-x86_64-linux-gnu.so",
            f"{SITE}/every/old.py",
            f"{SITE}/plat.py",
            f"{SITE}/pure.py",
            "share/every/page",
        ]
    )


def test_modes_are_those_of_an_installer_and_times_those_of_the_wheel(tmp_path: Path) -> None:
    layer = assemble_wheels(tmp_path, EVERYTHING)
    modes = {
        path: layer.members[f"opt/conda/{path}"].mode
        for path in ("bin/every", "bin/say", f"{SITE}/every/cli.py", f"{SITE}/pure.py")
    }
    assert modes == {
        "bin/every": 0o755,
        "bin/say": 0o755,
        f"{SITE}/every/cli.py": 0o644,
        f"{SITE}/pure.py": 0o644,
    }
    library = layer.members[f"opt/conda/{SITE}/every/fast.cpython-311-x86_64-linux-gnu.so"]
    assert (library.mode, library.mtime) == (0o755, WRITTEN)


def test_scripts_are_run_by_the_environments_python(tmp_path: Path) -> None:
    wheel = TinyWheel(
        "demo",
        files={
            "{data}/scripts/say": b"#!python\nprint()\n",
            "{data}/scripts/gui": b"#!pythonw -x\r\nprint()\n",
            "{data}/scripts/only": b"#!python",
            "{data}/scripts/shell": b"#!/bin/sh\n",
            "{data}/scripts/empty": b"",
        },
    )
    layer = assemble_wheels(tmp_path, wheel)
    shebang = b"#!/opt/conda/bin/python3.11"
    assert {path: layer.content[f"opt/conda/{path}"] for path in layer.below_prefix()[:5]} == {
        "bin/say": shebang + b"\nprint()\n",
        "bin/gui": shebang + b"\nprint()\n",
        "bin/only": shebang,
        "bin/shell": b"#!/bin/sh\n",
        "bin/empty": b"",
    }
    record = _record(layer, "demo-1.0")
    said = layer.content["opt/conda/bin/say"]
    assert record["../../../bin/say"] == (hash_of(said), str(len(said)))
    assert layer.members["opt/conda/bin/shell"].mode == 0o755


def test_a_program_larger_than_a_chunk_is_written_as_it_is(tmp_path: Path) -> None:
    program = bytes(range(256)) * 10_000
    layer = assemble_wheels(tmp_path, TinyWheel("demo", files={"{data}/scripts/run": program}))
    assert layer.content["opt/conda/bin/run"] == program


def test_entry_points_replace_scripts_of_their_name(tmp_path: Path) -> None:
    wheel = TinyWheel(
        "demo",
        files={"{data}/scripts/demo": b"#!/bin/sh\n"},
        entry_points="[console_scripts]\ndemo = demo:main\n",
    )
    assert "from demo import main" in assemble_wheels(tmp_path, wheel).text("bin/demo")


def test_record_lists_what_is_there_sorted_and_with_hashes_that_are_right(
    tmp_path: Path, python_prefix: Path, host_python: PythonTarget
) -> None:
    compiler = Compiler(python_prefix, host_python, Sandbox("none"))
    layer = assemble_wheels(tmp_path, EVERYTHING, compiler=compiler)
    record = _record(layer, "Every_Thing-1.2")
    assert list(record) == sorted(record)
    installed = {
        str((Path("/opt/conda") / SITE / path).resolve().relative_to("/opt/conda"))
        for path in record
    }
    assert installed == set(layer.below_prefix())
    for path, (hashed, size) in record.items():
        content = layer.content[str((Path("/opt/conda") / SITE / path).resolve().relative_to("/"))]
        if path.endswith((".pyc", "/RECORD")):
            assert (hashed, size) == ("", "")
        else:
            assert (hashed, size) == (hash_of(content), str(len(content)))


def test_modules_get_bytecode_but_not_those_that_do_not_compile(
    tmp_path: Path, python_prefix: Path, host_python: PythonTarget
) -> None:
    compiler = Compiler(python_prefix, host_python, Sandbox("none"))
    layer = assemble_wheels(tmp_path, EVERYTHING, compiler=compiler)
    assert [path for path in layer.below_prefix() if path.endswith(".pyc")] == [
        f"{SITE}/every/__pycache__/__init__.cpython-311.pyc",
        f"{SITE}/every/__pycache__/cli.cpython-311.pyc",
        f"{SITE}/__pycache__/pure.cpython-311.pyc",
        f"{SITE}/__pycache__/plat.cpython-311.pyc",
    ]


def test_a_wheel_keeps_the_bytecode_it_brings(
    tmp_path: Path, python_prefix: Path, host_python: PythonTarget
) -> None:
    wheel = TinyWheel(
        "demo", files={"demo.py": b"x = 1\n", "__pycache__/demo.cpython-311.pyc": b"its own"}
    )
    layer = assemble_wheels(
        tmp_path, wheel, compiler=Compiler(python_prefix, host_python, Sandbox("none"))
    )
    assert layer.text(f"{SITE}/__pycache__/demo.cpython-311.pyc") == "its own"


def test_what_a_later_wheel_has_too_is_left_out_with_its_bytecode(
    tmp_path: Path, python_prefix: Path, host_python: PythonTarget
) -> None:
    wheel = TinyWheel(
        "demo",
        files={"a.py": b"", "b.py": b"", "lib64/x.so": b"", "{data}/scripts/run": b"#!python\n"},
    )
    package = LayerPackage(
        wheel_record(wheel),
        omit=(f"{SITE}/__pycache__/b.cpython-311.pyc", f"{SITE}/a.py", "bin/run"),
        redirects=((f"{SITE}/lib64", f"{SITE}/lib"),),
    )
    layer = assemble_bytes(
        tmp_path,
        [(package, wheel_bytes(wheel))],
        compiler=Compiler(python_prefix, host_python, Sandbox("none")),
    )
    paths = [path for path in layer.below_prefix() if ".dist-info" not in path]
    assert paths == [f"{SITE}/b.py", f"{SITE}/lib/x.so"]
    # RECORD tells what was installed, as it would had the later one come afterwards.
    record = _record(layer, "demo-1.0")
    assert record["a.py"][0] == hash_of(b"")
    changed = b"#!/opt/conda/bin/python3.11\n"
    assert record["../../../bin/run"] == (hash_of(changed), str(len(changed)))


def test_what_only_installers_may_say_is_not_taken_from_the_wheel(tmp_path: Path) -> None:
    wheel = TinyWheel(
        "demo",
        info={
            "INSTALLER": b"evil\n",
            "REQUESTED": b"",
            "direct_url.json": b"{}",
        },
    )
    layer = assemble_wheels(tmp_path, wheel)
    info = f"{SITE}/demo-1.0.dist-info"
    assert sorted(layer.below_prefix()) == [
        f"{info}/{name}" for name in ("INSTALLER", "METADATA", "RECORD", "WHEEL")
    ]
    assert layer.text(f"{info}/INSTALLER") == "pullforge\n"


def test_pip_gets_a_command_for_the_python_it_is_installed_for(tmp_path: Path) -> None:
    points = "[console_scripts]\npip = pip:main\npip3 = pip:main\npip3.4 = pip:main\n"
    wheel = TinyWheel("pip", entry_points=points)
    layer = assemble_wheels(tmp_path, wheel)
    commands = {path for path in layer.below_prefix() if path.startswith("bin/")}
    assert commands == {"bin/pip", "bin/pip3", "bin/pip3.11"}
    data = wheel_bytes(wheel)
    contents = read_wheel_contents(store(tmp_path, data), wheel_record(wheel))
    paths = wheel_paths(contents, PYTHON)
    assert {path for path in paths if path.startswith("bin/")} == commands


def test_two_files_with_one_place_give_that_of_data_as_with_pip_and_uv(tmp_path: Path) -> None:
    wheel = TinyWheel("demo", files={"{data}/purelib/demo.py": b"x = 2", "demo.py": b"x = 1"})
    layer = assemble_wheels(tmp_path, wheel)
    assert layer.text(f"{SITE}/demo.py") == "x = 2"
    assert _record(layer, "demo-1.0")["demo.py"] == (hash_of(b"x = 2"), "5")


def test_wheels_need_a_python(tmp_path: Path) -> None:
    wheel = TinyWheel("demo")
    planned = [(LayerPackage(wheel_record(wheel)), wheel_bytes(wheel))]
    with pytest.raises(UnsupportedPackage, match="has no Python"):
        assemble_bytes(tmp_path, planned, python=None)


def test_directories_are_left_to_their_files_and_times_that_are_none_become_one(
    tmp_path: Path,
) -> None:
    wheel, out = TinyWheel("demo", files={"demo/a.py": b""}), io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(wheel_bytes(wheel))) as good,
        zipfile.ZipFile(out, "w") as odd,
    ):
        odd.mkdir("demo")
        for name in good.namelist():
            odd.writestr(zipfile.ZipInfo(name, (1980, 0, 0, 0, 0, 0)), good.read(name))
    data = out.getvalue()
    layer = assemble_bytes(tmp_path, [(LayerPackage(wheel_record(wheel, data)), data)])
    assert layer.members[f"opt/conda/{SITE}/demo/a.py"].mtime == GENERATED_MTIME
