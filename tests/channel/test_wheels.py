import zipfile
from pathlib import Path

import pytest

from conformance.channel.libraries import upstream_version
from conformance.channel.requirement import Translation
from conformance.channel.wheel_lock import TIERS, Wheel, read_lock
from conformance.channel.wheels import WheelJob, extra_packages, read_metadata, wheel_package
from conformance.channel.writer import PLACEHOLDER, package_bytes

METADATA = """\
Metadata-Version: 2.1
Name: Tiny_Tool
Version: 1.0
Requires-Python: >=3.9, <4
Requires-Dist: click>=8
Requires-Dist: rich; extra == "pretty"
Provides-Extra: pretty
"""
FILES = {
    "tiny_tool/__init__.py": "def main() -> None: ...\n",
    "tiny_tool/__pycache__/stale.cpython-311.pyc": "stale",
    "tiny_tool-1.0.dist-info/METADATA": METADATA,
    "tiny_tool-1.0.dist-info/RECORD": "",
    "tiny_tool-1.0.dist-info/entry_points.txt": (
        "[console_scripts]\ntiny = tiny_tool:main [pretty]\n"
    ),
    "tiny_tool-1.0.data/scripts/old-script": "#!python\n",
    "tiny_tool-1.0.data/data/share/tiny.txt": "data\n",
}
TRANSLATION = Translation({})


def make_job(folder: Path, tag: str, python: str | None) -> WheelJob:
    filename = f"tiny_tool-1.0-{tag}.whl"
    with zipfile.ZipFile(folder / filename, "w") as archive:
        for name, text in FILES.items():
            archive.writestr(name, text)
    wheel = Wheel("tiny-tool", "1.0", filename, "", "2024-01-01T00:00:00Z", ("full",))
    subdir = wheel.subdir
    return WheelJob(wheel, folder / filename, python, None, ("3.11", "3.12"), subdir)


def test_a_pure_wheel_becomes_a_noarch_python_package(tmp_path: Path) -> None:
    package = wheel_package(make_job(tmp_path, "py3-none-any", None), TRANSLATION)
    assert (package.name, package.subdir, package.noarch) == ("tiny-tool", "noarch", "python")
    assert package.depends == ("click >=8", "python >=3.9,<4")
    assert package.entry_points == ("tiny = tiny_tool:main",)
    assert package.timestamp_ms == 1_704_067_200_000
    assert sorted(entry.path for entry in package.entries) == [
        "python-scripts/old-script",
        "share/tiny.txt",
        "site-packages/tiny_tool-1.0.dist-info/INSTALLER",
        "site-packages/tiny_tool-1.0.dist-info/METADATA",
        "site-packages/tiny_tool-1.0.dist-info/entry_points.txt",
        "site-packages/tiny_tool/__init__.py",
    ]


def test_a_wheel_of_one_python_becomes_an_arch_package_with_scripts(tmp_path: Path) -> None:
    job = make_job(tmp_path, "cp311-cp311-manylinux_2_17_x86_64", "3.11")
    package = wheel_package(job, TRANSLATION)
    entries = {entry.path: entry for entry in package.entries}
    assert (package.subdir, package.noarch, package.entry_points) == ("linux-64", None, ())
    assert package.build.startswith("py311h")
    assert "python_abi 3.11.* *_cp311" in package.depends
    assert "lib/python3.11/site-packages/tiny_tool/__init__.py" in entries
    for script in ("bin/tiny", "bin/old-script"):
        assert entries[script].mode == 0o755
        assert entries[script].data.startswith(f"#!{PLACEHOLDER}/bin/python".encode())


def test_the_same_wheel_gives_the_same_bytes(tmp_path: Path) -> None:
    job = make_job(tmp_path, "py3-none-any", None)
    packages = [wheel_package(job, TRANSLATION) for _ in range(2)]
    assert package_bytes(packages[0]) == package_bytes(packages[1])


def test_extras_that_something_requires_become_packages(tmp_path: Path) -> None:
    job = make_job(tmp_path, "py3-none-any", None)
    metadata = read_metadata(job.path)
    user = read_metadata(job.path)
    user["Requires-Dist"] = "tiny-tool[pretty]"
    other = Wheel("user", "1.0", "user-1.0-py3-none-any.whl", "", job.wheel.uploaded, ())
    packages = extra_packages([(job.wheel, metadata), (other, user)], TRANSLATION, job.pythons)
    assert [(p.name, p.depends) for p in packages] == [
        ("tiny-tool-with-pretty", ("tiny-tool ==1.0", "rich"))
    ]


@pytest.mark.parametrize("tier", TIERS)
def test_the_lock_has_what_tests_rely_on(tier: str) -> None:
    wheels = read_lock("small" if tier == "small" else "full")
    versions: dict[str, set[str]] = {}
    for wheel in wheels:
        versions.setdefault(wheel.name, set()).add(wheel.version)
    assert all(len(versions[name]) > 1 for name in ("numpy", "pandas", "click"))
    assert {"ruamel-yaml", "zope-interface", "backports-tarfile"} <= versions.keys()
    assert len({wheel.filename for wheel in wheels}) == len(wheels)


@pytest.mark.parametrize(
    ("filename", "subdir", "python", "least"),
    [
        ("a-1-py3-none-any.whl", "noarch", None, "3.0"),
        ("a-1-cp311-cp311-manylinux_2_17_x86_64.whl", "linux-64", "3.11", "3.11"),
        ("a-1-cp312-abi3-manylinux_2_28_aarch64.whl", "linux-aarch64", None, "3.12"),
    ],
)
def test_a_wheel_says_what_it_is_for(
    filename: str, subdir: str, python: str | None, least: str
) -> None:
    wheel = Wheel("a", "1", filename, "", "", ())
    assert (wheel.subdir, wheel.python, wheel.least_python) == (subdir, python, least)


@pytest.mark.parametrize(
    ("debian", "upstream"),
    [
        ("1:1.2.13.dfsg-1", "1.2.13"),
        ("3.0.17-1~deb12u2", "3.0.17"),
        ("6.4-4", "6.4"),
        ("12.2.0-14+deb12u1", "12.2.0"),
        ("1.0.8-5+b1", "1.0.8"),
    ],
)
def test_debian_versions_lose_what_conda_cannot_order(debian: str, upstream: str) -> None:
    assert upstream_version(debian) == upstream
