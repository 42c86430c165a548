import pytest

from builder.records import WheelRecord
from tests.builder.inputs.reading import FORGE, packages, refused

HOME = "https://conda.anaconda.org/conda-forge"
FILES = "https://files.pythonhosted.org/packages/d9/5a"
WHEEL = f"{FILES}/six-1.16.0-py2.py3-none-any.whl"
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
    assert (tzdata.sha256, tzdata.md5, tzdata.record) == (A, None, None)
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


def test_an_only_environment_need_not_be_the_default() -> None:
    assert packages(V5.replace("  default:", "  prod:")) == packages(V5)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("version: 6", "version: 3", "of version 4, 5, 6, 7 can be read"),
        ("version: 6\n", "", "of version 4, 5, 6, 7 can be read"),
        ("  default:", "  prod: {}\n  test:", "more than one other"),
        ("linux-64:\n", "win-64:\n", "it has packages for win-64, osx-arm64"),
        (
            f"64:\n      - conda: {HOME}/linux-64/py",
            f"64:\n      - conda: {HOME}/linux-64/x",
            "under",
        ),
        ("- conda: https://conda.ana", "- conda: https://evil.ana", "is no package of a channel"),
        ("files.pythonhosted.org", "10.0.0.1", "does not lie on a host that wheels may come from"),
        (WHEEL, "./six", "does not lie on a host"),
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
        (f"- pypi: {WHEEL}\n  n", "- n", "it has no address"),
    ],
)
def test_what_cannot_be_used_is_refused(old: str, new: str, words: str) -> None:
    assert old in V6
    error = refused(V6.replace(old, new))
    assert error.line or error.field
    assert words in error.message
