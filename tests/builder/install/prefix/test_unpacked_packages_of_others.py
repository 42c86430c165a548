"""Packages of other people: unpacked, they are in the prefix of images what images have of them.

``PULLFORGE_TEST_PACKAGES`` names a directory (or several, by ``:``) of more of them.
"""

import hashlib
import json
import os
from pathlib import Path

import pytest
from packaging.utils import parse_wheel_filename

from builder.bytecode.compiler import Compiler
from builder.errors import PackageError
from builder.install.archive import PackageArchive
from builder.install.prefix.unpack import extract_bytecode
from builder.layer import LayerPackage, PythonTarget
from builder.records import ArchiveRecord, PackageRecord, WheelRecord
from builder.sandbox.sandbox import Sandbox
from tests.builder.install.layers import assemble_bytes
from tests.builder.install.prefix.unpacking import (
    bytecode_of,
    in_image,
    in_prefix,
    require_equal,
    tar_of,
    unpacked,
)
from tests.made_by_others import made_by_others, names

_OTHER = "/srv/environments/builds/0123456789abcdef"


def _of_others() -> list[str]:
    chosen = os.environ.get("PULLFORGE_TEST_PACKAGES", "")
    more = [path for folder in chosen.split(":") if folder for path in Path(folder).iterdir()]
    kinds = (".conda", ".tar.bz2", ".whl")
    return [
        *names("real/packages/*"),
        *names("cases/**/*.conda"),
        *names("cases/**/*.whl"),
        *sorted(str(path) for path in more if path.name.endswith(kinds)),
    ]


def _record(archive: Path, data: bytes) -> ArchiveRecord:
    sha256 = hashlib.sha256(data).hexdigest()
    if archive.suffix == ".whl":
        name, version, _, _ = parse_wheel_filename(archive.name)
        url = f"https://files.test/{archive.name}"
        return WheelRecord(name, str(version), url, sha256, len(data))
    info = PackageArchive(archive, archive.name).read_info()
    return PackageRecord(
        name=info.name.lower(),
        version=info.version,
        build=info.build,
        build_number=0,
        subdir="noarch" if info.noarch else "linux-64",
        url=f"https://channel.test/main/linux-64/{archive.name}",
        sha256=sha256,
        md5=hashlib.md5(data).hexdigest(),
        size_bytes=len(data),
        noarch=info.noarch,
    )


@pytest.mark.parametrize("path", _of_others() or ["real/packages"])
def test_a_package_of_others_is_what_it_is_in_an_image(
    tmp_path: Path, python_prefix: Path, host_python: PythonTarget, path: str
) -> None:
    archive = Path(path) if path.startswith("/") else made_by_others(path)
    data = archive.read_bytes()
    planned = LayerPackage(_record(archive, data))
    try:
        layer = assemble_bytes(
            *(tmp_path / "layer", [(planned, data)]),
            compiler=Compiler(python_prefix, host_python, Sandbox("none")),
            python=host_python,
        )
    except PackageError as exc:
        with pytest.raises(type(exc)):
            unpacked(tmp_path / "package", planned, data, python=host_python)
        return
    bytecode = tmp_path / "bytecode"
    extract_bytecode(tar_of(tmp_path / "tar", bytecode_of(layer)), bytecode)
    directory = unpacked(tmp_path / "package", planned, data, bytecode, host_python)
    require_equal(in_image(layer), in_prefix(directory))
    _check_records(directory)


def _check_records(directory: Path) -> None:
    """Fail if a record of another prefix names other hashes than its files have there."""
    nodes = in_prefix(directory, _OTHER)
    for path, node in nodes.items():
        if path.startswith("conda-meta/") and node.content is not None:
            for listed in json.loads(node.content)["paths_data"]["paths"]:
                content = nodes[listed["_path"]].content
                if said := listed.get("sha256_in_prefix"):
                    assert content is not None
                    assert hashlib.sha256(content).hexdigest() == said, listed["_path"]
