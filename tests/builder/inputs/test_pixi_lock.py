import dataclasses

import pytest

from builder.records import WheelRecord
from builder.spec import Channel
from tests.builder.inputs.reading import DEFAULTS, FORGE, packages, refused
from tests.made_by_others import made_by_others, names

HOME = "https://conda.anaconda.org/conda-forge"
FILES = "https://files.pythonhosted.org/packages/d9/5a"
WHEEL = f"{FILES}/six-1.16.0-py2.py3-none-any.whl"
TZ = f"{{conda: {HOME}/noarch/tzdata-2024b-hc8b5060_0.conda}}"
A, B, C = "a" * 64, "b" * 32, "c" * 64

#: As pixi 0.40 and later write it; version 7 differs in what stands besides.
V6 = f"""\
version: 6
environments:
  default:
    channels:
    - url: {HOME}/
    indexes:
    - https://pypi.org/simple
    packages:
      linux-64:
      - conda: {HOME}/linux-64/python-3.13.0-hbbac1ca_101_cp313.conda
      - conda: {HOME}/noarch/tzdata-2024b-hc8b5060_0.conda
      - pypi: {WHEEL}
      osx-arm64:
      - conda: {HOME}/osx-arm64/bzip2-1.0.8-h99b78c6_7.conda
packages:
- conda: {HOME}/osx-arm64/bzip2-1.0.8-h99b78c6_7.conda
  sha256: {A}
- conda: {HOME}/linux-64/python-3.13.0-hbbac1ca_101_cp313.conda
  build_number: 101
  sha256: {A}
  md5: {B}
  depends:
  - bzip2 >=1.0.8,<2.0a0
  - tzdata
  license: Python-2.0
  purls: []
  size: 12806496
  timestamp: 1732735488999
  python_site_packages_path: lib/python3.13/site-packages
- conda: {HOME}/noarch/tzdata-2024b-hc8b5060_0.conda
  sha256: {A}
  noarch: generic
- pypi: {WHEEL}
  name: six
  version: 1.16.0
  sha256: {C}
  requires_python: '>=2.7'
"""

#: As pixi wrote it up to 0.39.
V5 = f"""\
version: 5
environments:
  default:
    channels:
    - url: {HOME}/
    packages:
      linux-64:
      - conda: {HOME}/noarch/tzdata-2024b-hc8b5060_0.conda
      - pypi: {WHEEL}
packages:
- kind: conda
  name: tzdata
  version: 2024b
  build: hc8b5060_0
  subdir: noarch
  noarch: generic
  url: {HOME}/noarch/tzdata-2024b-hc8b5060_0.conda
  sha256: {A}
  md5: {B}
  size: 122354
  timestamp: 1728047496079
- kind: pypi
  name: six
  version: 1.16.0
  url: {WHEEL}
  sha256: {C}
"""


@pytest.mark.parametrize(
    "text", [V6, V6.replace("version: 6", "version: 7\nplatforms: [{name: x}]")]
)
def test_conda_packages_and_wheels_of_this_servers_platforms_are_read(text: str) -> None:
    found = packages(text)
    assert list(found.platforms) == ["linux-64"]
    python, tzdata = found.platforms["linux-64"]
    assert python.record is not None
    assert python.record.size_bytes == 12806496
    assert python.record.build_number == 101
    assert python.record.depends == ("bzip2 >=1.0.8,<2.0a0", "tzdata")
    assert python.record.timestamp_ms == 1732735488999
    assert python.record.python_site_packages_path == "lib/python3.13/site-packages"
    assert (tzdata.sha256, tzdata.md5) == (A, None)
    assert tzdata.record is not None
    assert (tzdata.record.sha256, tzdata.record.md5) == (A, "")
    assert found.wheels == {"linux-64": (WheelRecord("six", "1.16.0", WHEEL, C),)}
    assert found.channels == (FORGE,)


@pytest.mark.parametrize("version", [4, 5])
def test_older_files_are_read(version: int) -> None:
    found = packages(V5.replace("version: 5", f"version: {version}"))
    (tzdata,) = found.platforms["linux-64"]
    assert tzdata.record is not None
    assert tzdata.record.noarch == "generic"
    assert tzdata.record.subdir == "noarch"
    assert found.wheels["linux-64"][0].url == WHEEL


#: As pixi writes version 7: platforms have names, and sources a word of their own.
V7 = f"""\
version: 7
platforms:
- name: cluster
  subdir: linux-64
  virtual-packages:
  - __cuda=12.0
- name: linux-aarch64
- name: osx-arm64
environments:
  default:
    channels:
    - url: {HOME}/
    packages:
      cluster:
      - conda: {HOME}/noarch/tzdata-2024b-hc8b5060_0.conda
  dev:
    channels:
    - url: {HOME}/
    packages:
      cluster:
      - conda_source: mine[1234abcd] @ ./mine
packages:
- conda_source: mine[1234abcd] @ ./mine
  version: null
- conda: {HOME}/noarch/tzdata-2024b-hc8b5060_0.conda
  sha256: {A}
  md5: null
  size: null
  depends: null
  noarch: null
"""


def places(text: str) -> list[str]:
    """Return where the packages for linux-64 lie."""
    return [package.place.path for package in packages(text).platforms["linux-64"]]


def test_a_platform_with_a_name_of_its_own_is_its_subdir() -> None:
    found = packages(V7)
    assert list(found.platforms) == ["linux-64"]
    assert found.platforms["linux-64"][0].sha256 == A


@pytest.mark.parametrize("path", names("cases/real-05-*/*.lock"))
def test_the_locks_of_pixis_own_tests_are_read(path: str) -> None:
    text = made_by_others(path).read_text()
    urls = ("https://conda.anaconda.org/cond-test", "https://prefix.dev/conda-forge")
    channels = tuple(Channel(url.rpartition("/")[2], url) for url in urls)
    found = packages(text, dataclasses.replace(DEFAULTS, channels=channels))
    assert [len(listed) for listed in found.platforms.values()] == [1]


@pytest.mark.parametrize(
    "source",
    [
        "conda_source: mine[1234abcd] @ git+https://github.com/me/mine.git#abc",
        "conda_source: mine[1234abcd] @ ./mine",
        "conda: ./mine",
        "conda: git+https://github.com/me/mine.git#abc",
        "pypi: .",
        "pypi: git+https://github.com/me/mine.git@1#abc",
    ],
)
def test_what_is_built_from_source_is_refused_where_it_is_asked_for(source: str) -> None:
    other = V7.replace("conda_source: mine[1234abcd] @ ./mine", source)
    assert packages(other) == packages(V7)
    error = refused(other.replace("  default:", "  prod:").replace("  dev:", "  default:"))
    assert error.field == "packages[0]"
    assert "is built from source" in error.message
    assert "channel of this server" in error.message


def test_a_wheel_that_was_asked_for_by_its_address_is_a_wheel() -> None:
    assert packages(V5.replace(WHEEL, f"direct+{WHEEL}")) == packages(V5)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("linux-aarch64\n", "other\n  subdir: linux-64\n", ""),
        ("linux-aarch64\n", "linux-64\n", ""),
        ("  subdir: linux-64", "  subdir: win-64", "it has packages for win-64, and"),
        (
            "    packages:\n      cluster:",
            "    packages: {}\n    x:\n      cluster:",
            "no packages",
        ),
        ("    packages:\n      cluster:", "    packages: null\n    x:\n      cl:", "no packages"),
        ("  default:", "  prod:", "no environment 'default', and not one other alone, but prod"),
    ],
)
def test_a_platform_must_be_certain(old: str, new: str, words: str) -> None:
    changed = V7.replace(old, new)
    assert changed != V7
    if words:
        assert words in refused(changed).message
    else:
        assert places(changed) == places(V7)


def test_two_platforms_of_one_subdir_are_told_apart_by_its_name_alone() -> None:
    text = V7.replace("- name: linux-aarch64", "- name: other\n  subdir: linux-64")
    two = text.replace("  dev:", "      other: []\n  dev:")
    assert "packages for cluster, other, which are all linux-64" in refused(two).message
    assert places(two.replace("other", "linux-64").replace(": []", f": [{TZ}]")) == places(V7)


def test_an_only_environment_need_not_be_the_default() -> None:
    assert packages(V5.replace("  default:", "  prod:")) == packages(V5)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("version: 6", "version: 3", "of version 4, 5, 6, 7 can be read"),
        ("version: 6\n", "", "of version 4, 5, 6, 7 can be read"),
        ("  default:", "  prod: {}\n  test:", "not one other alone"),
        ("linux-64:\n", "win-64:\n", "it has packages for win-64, osx-arm64"),
        (
            f"64:\n      - conda: {HOME}/linux-64/py",
            f"64:\n      - conda: {HOME}/linux-64/x",
            "under",
        ),
        ("- conda: https://conda.ana", "- conda: https://evil.ana", "is no package of a channel"),
        ("files.pythonhosted.org", "10.0.0.1", "does not lie on a host that wheels may come from"),
        (WHEEL, "./six", "is built from source"),
        (WHEEL, f"{FILES}/six-1.16.0.tar.gz", "is not a wheel"),
        (WHEEL, f"{FILES}/..%2Fsix-1.16.0-py2.py3-none-any.whl", "is not a wheel"),
        (WHEEL, f"{FILES}/six.whl", "is not the name of a wheel"),
        (WHEEL, "https://[::1/six-1-py3-none-any.whl", "is not an address"),
        (f"sha256: {C}", "x: y", "sha256 of six is missing"),
        (f"sha256: {A}\n  md5", "sha256: 12\n  md5", "its sha256 is not"),
        ("size: 12806496", "size: -1", "a whole number is expected"),
        ("depends:\n  - bzip2", "noarch: yes\n  depends:\n  - bzip2", "malformed noarch"),
        ("depends:\n  - bzip2", "noarch: all\n  depends:\n  - bzip2", "malformed noarch"),
        ("      - pypi:", "      - git:", "is written as 'conda: ADDRESS'"),
        (f"- pypi: {WHEEL}\n  n", "- n", "does not stand under 'packages'"),
    ],
)
def test_what_cannot_be_used_is_refused(old: str, new: str, words: str) -> None:
    assert old in V6
    error = refused(V6.replace(old, new))
    assert error.line or error.field
    assert words in error.message
