import dataclasses
import io
import json
import os
import stat
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from builder.bytecode.compiler import Compiler
from builder.errors import CorruptPackage
from builder.install.portable import assemble_portable
from builder.layer import Encoding, LayerPackage, PythonTarget
from builder.sandbox.sandbox import Sandbox
from conformance.channel.writer import PLACEHOLDER, Entry, Package, package_bytes
from tests.builder.install.layers import PYTHON, WRITTEN, decompress, record_of, store
from tests.made_by_others import made_by_others

BINARY = b"\x7fELF\x00" + PLACEHOLDER.encode() + b"/lib\x00tail\x00\xff"
LIBRARY = Package(
    "library",
    "1.0",
    subdir="linux-64",
    noarch=None,
    entries=[
        Entry("bin/activate", b"not conda-pack's\n"),
        Entry("bin/hard", hardlink="bin/shell", prefix_mode="text", mode=0o755),
        Entry("bin/shell", f"#!{PLACEHOLDER}/bin/sh -e\necho shell\n".encode(), mode=0o755),
        Entry("bin/twice", f"#!{PLACEHOLDER}/bin/sh\n. {PLACEHOLDER}/x\n".encode(), mode=0o755),
        Entry("empty", directory=True),
        Entry("lib/absolute.so", link=f"{PLACEHOLDER}/lib/library.so"),
        Entry("lib/library.so", BINARY, mode=0o755),
        Entry("lib/relative.so", link="library.so"),
        Entry("share/settings.txt", f"prefix={PLACEHOLDER}\n".encode()),
        Entry("share/up", link=f"{PLACEHOLDER}/lib"),
    ],
)
MODULES = Package(
    "modules",
    "2.0",
    noarch="python",
    entries=[
        Entry("site-packages/modules/__init__.py", b"def main():\n    print('it runs')\n"),
        Entry("site-packages/modules/where.py", f"PREFIX = '{PLACEHOLDER}'\n".encode()),
    ],
    entry_points=("run-it = modules:main",),
)


def pack(
    directory: Path,
    packages: Sequence[Package] = (LIBRARY, MODULES),
    encoding: Encoding = "gzip",
    compiler: Compiler | None = None,
    python: PythonTarget | None = PYTHON,
    variables: dict[str, str] | None = None,
) -> bytes:
    directory.mkdir(exist_ok=True)
    planned, archives = [], {}
    for package in packages:
        data = package_bytes(package)
        record = record_of(package, data)
        planned.append(LayerPackage(record))
        archives[record.sha256] = store(directory, data)
    out = directory / "archive"
    out.unlink(missing_ok=True)
    assemble_portable(
        planned, python, variables or {}, archives, encoding, out, directory, compiler
    )
    return out.read_bytes()


def unpack(directory: Path, data: bytes, encoding: Encoding = "gzip") -> Path:
    with tarfile.open(fileobj=io.BytesIO(decompress(data, encoding))) as archive:
        # Debian 12's Python knows no argument for it.
        archive.extraction_filter = lambda member, _path: member
        archive.extractall(directory)
    return directory


def conda_unpack(prefix: Path) -> None:
    subprocess.run([sys.executable, prefix / "bin" / "conda-unpack"], check=True, timeout=30)


def test_conda_unpack_puts_the_new_prefix_into_texts_and_binaries(tmp_path: Path) -> None:
    prefix = unpack(tmp_path / "env", pack(tmp_path / "work"))
    conda_unpack(prefix)
    assert (prefix / "share/settings.txt").read_text() == f"prefix={prefix}\n"
    binary = (prefix / "lib/library.so").read_bytes()
    assert len(binary) == len(BINARY)
    assert binary.startswith(b"\x7fELF\x00" + str(prefix).encode() + b"/lib\x00")
    assert binary.endswith(b"\x00tail\x00\xff")
    assert (prefix / "bin/twice").read_text() == f"#!/usr/bin/env sh\n. {prefix}/x\n"


def test_nothing_tells_of_the_prefix_of_images_or_of_the_package_after_unpacking(
    tmp_path: Path,
) -> None:
    prefix = unpack(tmp_path / "env", pack(tmp_path / "work"))
    conda_unpack(prefix)
    skipped = {prefix / "bin/conda-unpack"}  # has the placeholders that it looks for
    for path in set(prefix.rglob("*")) - skipped:
        if path.is_file():
            content = path.read_bytes()
            assert b"/opt/conda" not in content, path
            if path.parent.name != "conda-meta":  # where they are noted, as conda does
                assert PLACEHOLDER.encode() not in content, path


def test_scripts_run_before_conda_unpack(tmp_path: Path) -> None:
    prefix = unpack(tmp_path / "env", pack(tmp_path / "work"))
    assert (prefix / "bin/shell").read_text().startswith("#!/usr/bin/env -S sh -e\n")
    assert (prefix / "bin/twice").read_text().startswith("#!/usr/bin/env sh\n")
    assert (prefix / "bin/run-it").read_text().startswith("#!/usr/bin/env python3.11\n")
    ran = subprocess.run([prefix / "bin/shell"], capture_output=True, check=True, timeout=30)
    assert ran.stdout == b"shell\n"
    assert (prefix / "bin/shell").stat().st_ino == (prefix / "bin/hard").stat().st_ino


def test_only_files_that_conda_unpack_opens_become_writable(tmp_path: Path) -> None:
    package = Package(
        "closed",
        "1.0",
        noarch="generic",
        entries=[
            Entry("bin/program", BINARY, mode=0o555),
            Entry("bin/script", f"#!{PLACEHOLDER}/bin/sh\n".encode(), mode=0o555),
            Entry("share/hard", hardlink="share/settings", prefix_mode="text"),
            Entry("share/other", b"other\n", mode=0o444),
            Entry("share/settings", f"prefix={PLACEHOLDER}\n".encode(), mode=0o444),
        ],
    )
    prefix = unpack(tmp_path / "env", pack(tmp_path / "work", [package]))
    paths = ("bin/program", "bin/script", "share/hard", "share/other", "share/settings")
    modes = {path: stat.S_IMODE((prefix / path).stat().st_mode) for path in paths}
    assert modes == {
        "bin/program": 0o755,
        "bin/script": 0o755,
        "share/hard": 0o644,
        "share/other": 0o444,
        "share/settings": 0o644,
    }


@pytest.mark.parametrize(
    ("path", "subdir", "name"),
    [
        ("cases/report-32/channel/linux-64/rofile-1.0-h0_0.conda", "linux-64", "rofile"),
        ("real/packages/zlib-1.2.11-h7b6447c_3.tar.bz2", "linux-64", "zlib"),
        (
            "real/packages/ros-jazzy-audio-tools-2.0-h48b7412_0.tar.bz2",
            "linux-64",
            "ros-jazzy-audio-tools",
        ),
        ("real/packages/xtensor-io-0.10.3-hb585cf6_0.tar.bz2", "linux-64", "xtensor-io"),
    ],
)
def test_an_ordinary_user_unpacks_what_others_made_below_a_link_and_twice(
    tmp_path: Path, path: str, subdir: str, name: str
) -> None:
    package = made_by_others(path)
    data = package.read_bytes()
    version, build = package.name.removeprefix(f"{name}-").partition(".conda")[0].split("-")
    build = build.partition(".")[0]
    record = dataclasses.replace(
        record_of(Package(name, version, build=build, noarch=None), data, subdir),
        url=f"https://channel.test/main/{subdir}/{package.name}",
    )
    out = tmp_path / "archive"
    archives = {record.sha256: store(tmp_path, data)}
    assemble_portable([LayerPackage(record)], PYTHON, {}, archives, "gzip", out, tmp_path, None)
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "a home").symlink_to(".")
        prefix = unpack(Path(directory) / "a home" / "env", out.read_bytes())
        user = None
        if os.getuid() == 0:  # for whom no file is read-only
            user = 65534
            for changed in (Path(directory), *Path(directory).rglob("*")):
                os.chown(changed, user, user, follow_symlinks=False)
        for _ in range(2):
            subprocess.run(
                ["/usr/bin/python3", prefix / "bin/conda-unpack"],
                check=True,
                timeout=30,
                user=user,
                env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
            )
        has_prefix = [
            found
            for found in prefix.rglob("*")
            if found.is_file() and str(prefix).encode() in found.read_bytes()
        ]
    assert has_prefix


def test_symlinks_into_the_prefix_stay_within_the_environment(tmp_path: Path) -> None:
    prefix = unpack(tmp_path / "env", pack(tmp_path / "work"))
    assert str((prefix / "lib/absolute.so").readlink()) == "library.so"
    assert str((prefix / "share/up").readlink()) == "../lib"
    assert str((prefix / "lib/relative.so").readlink()) == "library.so"


def test_files_of_conda_pack_win_over_those_of_packages(tmp_path: Path) -> None:
    prefix = unpack(tmp_path / "env", pack(tmp_path / "work"))
    assert "_conda_pack_activate" in (prefix / "bin/activate").read_text()
    assert (prefix / "bin/deactivate").is_file()
    assert os.access(prefix / "bin/conda-unpack", os.X_OK)


def test_modules_get_bytecode_unless_a_prefix_in_them_is_replaced_later(
    tmp_path: Path, python_prefix: Path, host_python: PythonTarget
) -> None:
    compiler = Compiler(python_prefix, host_python, Sandbox("none"))
    prefix = unpack(
        tmp_path / "env", pack(tmp_path / "work", compiler=compiler, python=host_python)
    )
    cache = prefix / host_python.site_packages / "modules" / "__pycache__"
    assert [path.name.partition(".")[0] for path in cache.iterdir()] == ["__init__"]


def test_an_entry_point_runs(
    tmp_path: Path, python_prefix: Path, host_python: PythonTarget
) -> None:
    compiler = Compiler(python_prefix, host_python, Sandbox("none"))
    prefix = unpack(
        tmp_path / "env", pack(tmp_path / "work", compiler=compiler, python=host_python)
    )
    conda_unpack(prefix)
    ran = subprocess.run(
        [sys.executable, prefix / "bin/run-it"],
        env={"PYTHONPATH": str(prefix / host_python.site_packages)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert ran.stdout == "it runs\n"


def test_records_list_what_is_there_and_where_it_came_from(tmp_path: Path) -> None:
    prefix = unpack(tmp_path / "env", pack(tmp_path / "work"))
    record = json.loads((prefix / "conda-meta/library-1.0-0.json").read_text())
    assert record["link"]["source"] == ""
    assert record["url"].endswith("library-1.0-0.conda")
    missing = [path for path in record["files"] if not os.path.lexists(prefix / path)]
    assert missing == []
    by_path = {entry["_path"]: entry for entry in record["paths_data"]["paths"]}
    assert by_path["lib/library.so"]["prefix_placeholder"] == PLACEHOLDER
    assert "sha256_in_prefix" not in by_path["lib/library.so"]


def test_variables_are_where_conda_looks_for_them(tmp_path: Path) -> None:
    prefix = unpack(tmp_path / "env", pack(tmp_path / "work", variables={"B": "2", "A": "1"}))
    state = json.loads((prefix / "conda-meta/state").read_text())
    assert state["env_vars"] == {"A": "1", "B": "2"}
    assert "_conda_pack_set A 1\n" in (prefix / "bin/activate").read_text()
    bare = unpack(tmp_path / "bare", pack(tmp_path / "work"))
    assert not (bare / "conda-meta/state").exists()


def test_variables_of_packages_are_set_too_and_those_of_the_environment_win(
    tmp_path: Path,
) -> None:
    package = Package(
        "variables",
        "1.0",
        noarch="generic",
        entries=[
            Entry("etc/conda/env_vars.d/variables.json", b'{"A": "package", "C": "3"}'),
            Entry("etc/conda/env_vars.d/where.json", b'{"WHERE": "%s/ssl"}' % PLACEHOLDER.encode()),
            Entry("etc/conda/env_vars.d/zz-damaged.json", b"{"),
        ],
    )
    data = pack(tmp_path / "work", [package], variables={"A": "environment"})
    prefix = unpack(tmp_path / "an env", data)
    told = 'printf "%s " "$A" "$C" "$WHERE"'
    shell = ["bash", "-c", f'set -eu; . "{prefix}/bin/activate"; {told}']
    printed = subprocess.run(shell, check=True, capture_output=True, text=True).stdout
    assert printed == f"environment 3 {prefix}/ssl "


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_the_same_packages_give_the_same_archive(tmp_path: Path, encoding: Encoding) -> None:
    one, other = tmp_path / "one", tmp_path / "another place"
    umask = os.umask(0o077)
    try:
        first = pack(one, encoding=encoding)
    finally:
        os.umask(umask)
    assert pack(other, encoding=encoding) == first
    assert unpack(tmp_path / "env", first, encoding).is_dir()


def test_files_keep_their_time_since_their_bytecode_depends_on_it(tmp_path: Path) -> None:
    prefix = unpack(tmp_path / "env", pack(tmp_path / "work"))
    assert (prefix / "share/settings.txt").stat().st_mtime == WRITTEN


def test_nothing_is_left_of_an_archive_that_cannot_be_made(tmp_path: Path) -> None:
    data = package_bytes(LIBRARY)
    record = record_of(LIBRARY, data)
    archive = store(tmp_path, data[: len(data) // 2])
    out = tmp_path / "archive"
    with pytest.raises(CorruptPackage):
        assemble_portable(
            [LayerPackage(record)], None, {}, {record.sha256: archive}, "gzip", out, tmp_path, None
        )
    assert not out.exists()
