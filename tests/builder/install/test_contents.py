from pathlib import Path

import pytest

from builder.errors import CorruptPackage, UnsupportedPackage
from builder.install.contents import (
    PackageContents,
    dump_contents,
    installed_links,
    installed_paths,
    parse_contents,
    read_contents,
)
from conformance.channel.writer import PLACEHOLDER, Entry, Package, package_bytes
from tests.builder.install.layers import PYTHON, record_of, store


def _contents(directory: Path, package: Package) -> PackageContents:
    data = package_bytes(package)
    return read_contents(store(directory, data), record_of(package, data))


def test_contents_tell_what_planning_needs(tmp_path: Path) -> None:
    script = b"export DEMO=$CONDA_PREFIX/demo\n"
    variables = f'{{"CERTS": "{PLACEHOLDER}/ssl"}}\n'.encode()
    package = Package(
        "demo",
        "1.0",
        entries=[
            Entry("bin/.demo-post-link.sh", b"rm -rf /\n"),
            Entry("etc/conda/activate.d/demo.sh", script),
            Entry("etc/conda/env_vars.d/demo.json", variables),
            Entry("lib64", link="lib"),
            Entry("share/abs", link=f"{PLACEHOLDER}/lib"),
            Entry("share/empty", directory=True),
        ],
    )
    assert _contents(tmp_path, package) == PackageContents(
        label="demo-1.0-0",
        paths=(
            "bin/.demo-post-link.sh",
            "etc/conda/activate.d/demo.sh",
            "etc/conda/env_vars.d/demo.json",
            "lib64",
            "share/abs",
            "share/empty",
        ),
        links={"lib64": "lib", "share/abs": "/opt/conda/lib"},
        directories=("share/empty",),
        activation={
            "etc/conda/activate.d/demo.sh": {"DEMO": "/opt/conda/demo"},
            "etc/conda/env_vars.d/demo.json": {"CERTS": "/opt/conda/ssl"},
        },
        skipped_scripts=("bin/.demo-post-link.sh",),
        size_bytes=len(script + variables) + 9,
    )


def test_an_activation_script_that_is_too_long_is_skipped(tmp_path: Path) -> None:
    script = b"export A=1\n" * 10_000
    package = Package("demo", "1.0", entries=[Entry("etc/conda/activate.d/demo.sh", script)])
    contents = _contents(tmp_path, package)
    assert contents.activation == {}
    assert contents.skipped_scripts == ("etc/conda/activate.d/demo.sh",)


def test_modules_are_mapped_with_entry_points_and_bytecode(tmp_path: Path) -> None:
    package = Package(
        "demo",
        "1.0",
        noarch="python",
        entry_points=("demo = demo:main",),
        entries=[
            Entry("python-scripts/tool", b"#!python\n"),
            Entry("site-packages/demo.py", b"def main(): ...\n"),
            Entry("site-packages/demo/data.txt", b""),
            Entry("site-packages/link", link="demo"),
        ],
    )
    contents = _contents(tmp_path, package)
    assert contents.is_noarch_python
    site = "lib/python3.11/site-packages"
    assert installed_paths(contents, PYTHON) == (
        "bin/demo",
        "bin/tool",
        f"{site}/__pycache__/demo.cpython-311.pyc",
        f"{site}/demo.py",
        f"{site}/demo/data.txt",
        f"{site}/link",
    )
    assert installed_links(contents, PYTHON) == {f"{site}/link": "demo"}
    with pytest.raises(UnsupportedPackage):
        installed_paths(contents, None)


def test_contents_tell_the_distributions_inside_and_the_licence(tmp_path: Path) -> None:
    package = Package(
        "demo",
        "1.0",
        noarch="python",
        license="BSD-3-Clause",
        entries=[
            Entry("site-packages/Demo_Tools-1.0.0.dist-info/METADATA"),
            Entry("site-packages/Demo_Tools-1.0.0.dist-info/RECORD"),
            Entry("site-packages/old.style-2.0-py3.11.egg-info", b""),
            Entry("site-packages/vendor/hidden-1.0.dist-info/METADATA"),
            Entry("site-packages/broken-1.nonsense.dist-info/METADATA"),
        ],
    )
    contents = _contents(tmp_path, package)
    assert contents.distributions == (("demo-tools", "1.0.0"), ("old-style", "2.0"))
    assert contents.license == "BSD-3-Clause"
    assert parse_contents(dump_contents(contents)) == contents


def test_a_platforms_package_has_its_distributions_below_its_pythons_directory(
    tmp_path: Path,
) -> None:
    entry = Entry("lib/python3.11/site-packages/numpy-2.3.1.dist-info/METADATA")
    contents = _contents(tmp_path, Package("numpy", "2.3.1", entries=[entry]))
    assert contents.distributions == (("numpy", "2.3.1"),)


def test_other_packages_are_installed_as_they_are(tmp_path: Path) -> None:
    package = Package("demo", "1.0", entries=[Entry("site-packages/a.py"), Entry("x", link="y")])
    contents = _contents(tmp_path, package)
    assert installed_paths(contents, None) == ("site-packages/a.py", "x")
    assert installed_links(contents, PYTHON) == {"x": "y"}


def test_contents_survive_being_stored(tmp_path: Path) -> None:
    package = Package("demo", "1.0", entries=[Entry("a", b"x"), Entry("b", link="a")])
    contents = _contents(tmp_path, package)
    assert parse_contents(dump_contents(contents)) == contents
    assert dump_contents(parse_contents(dump_contents(contents))) == dump_contents(contents)


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"format": 0}'])
def test_stored_contents_of_another_format_are_not_misread(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_contents(data)


def test_an_archive_of_another_package_is_refused(tmp_path: Path) -> None:
    data = package_bytes(Package("openssl", "1.0"))
    record = record_of(Package("demo", "1.0"), data)
    with pytest.raises(CorruptPackage, match="its archive holds 'openssl"):
        read_contents(store(tmp_path, data), record)
