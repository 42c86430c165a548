import dataclasses
import json
import random

import pytest
import yaml

from builder.image_name import parse
from builder.spec import Constraint, Requirement
from tests.builder.inputs.reading import BIO, DEFAULTS, FORGE, read, refused, spec

#: As ``conda env export`` writes it.
EXPORTED = """\
name: analysis
channels:
  - bioconda
  - conda-forge
  - nodefaults
dependencies:
  - _libgcc_mutex=0.1=conda_forge
  - python=3.11.9=hb806964_0_cpython
  - samtools=1.20
  - pip:
      - Flask_Login==0.6.3
      - requests[socks]>=2.31 ; python_version >= "3.8"
variables:
  OMP_NUM_THREADS: 4
  GREETING: hello world
prefix: /home/me/miniforge3/envs/analysis
"""

WRITTEN = """\
channels: [conda-forge]
dependencies:
  - python=3.12
  - numpy >=1.26,<2
  - blas=*=*mkl
  - bioconda::samtools
  - conda-forge::pandas[version='>=2,<3', build=py*]
"""


def test_what_conda_exports_is_read_whole() -> None:
    found = spec(EXPORTED)
    assert [str(wanted) for wanted in found.requirements] == [
        "_libgcc_mutex ==0.1 conda_forge",
        "python ==3.11.9 hb806964_0_cpython",
        "samtools =1.20",
    ]
    assert found.channels == (BIO, FORGE)
    assert found.pip == (
        "flask-login==0.6.3",
        'requests[socks]>=2.31; python_version >= "3.8"',
    )
    assert found.variables == (("GREETING", "hello world"), ("OMP_NUM_THREADS", "4"))
    assert found.platforms == ("linux-64", "linux-aarch64")
    assert found.base == DEFAULTS.base
    assert not found.every_platform


def test_every_form_of_a_match_spec_is_read() -> None:
    found = spec(WRITTEN)
    assert found.requirements == (
        Requirement("blas", build="*mkl"),
        Requirement("numpy", (Constraint("<", "2"), Constraint(">=", "1.26"))),
        Requirement(
            "pandas", (Constraint("<", "3"), Constraint(">=", "2")), "conda-forge", "", "py*"
        ),
        Requirement("python", (Constraint("=", "3.12"),)),
        Requirement("samtools", (), "bioconda"),
    )
    # A channel that a package names comes after those that are listed.
    assert found.channels == (FORGE, BIO)


def test_a_file_and_an_image_name_that_mean_the_same_are_one_spec() -> None:
    known = {"conda-forge": {"numpy", "python"}}
    named = parse("env/python.3.12/numpy.ge.1.26", "latest", known, DEFAULTS)
    assert spec("dependencies: [numpy>=1.26, python 3.12.*]").digest == named.digest


@pytest.mark.parametrize("seed", range(10))
def test_the_order_of_a_file_does_not_matter(seed: int) -> None:
    content = yaml.safe_load(EXPORTED)
    shuffled = random.Random(seed)
    shuffled.shuffle(content["dependencies"])
    entries = list(content.items())
    shuffled.shuffle(entries)
    assert spec(yaml.safe_dump(dict(entries), sort_keys=False)) == spec(EXPORTED)


def test_repetition_does_not_matter() -> None:
    once = spec("dependencies: [zlib>=1, 'blas=*=*mkl']")
    assert spec("dependencies: [zlib, zlib>=1, zlib>=1, 'blas=*=*mkl', 'blas * *mkl']") == once


def test_the_digest_of_a_file_does_not_change_from_release_to_release() -> None:
    assert (
        spec(EXPORTED).digest == "59128a06c3e1d70bb43c9b8161367d1fe95b86ea0ce5ec399d72e47b2febf9d5"
    )


def test_channels_are_offered_by_name_or_address() -> None:
    text = "channels: [{}]\ndependencies: [zlib]"
    assert spec(text.format("https://conda.anaconda.org/bioconda/")).channels == (BIO,)
    assert spec(text.format("bioconda, bioconda")).channels == (BIO,)
    assert spec("dependencies: [https://conda.anaconda.org/bioconda::zlib]").channels == (
        FORGE,
        BIO,
    )
    error = refused(text.format("conda-forge, defaults"))
    assert error.message == (
        "channels[1] (line 1): channel 'defaults' is not allowed on this server, which offers"
        " conda-forge, bioconda"
    )
    assert "is not allowed" in refused(text.format("http://10.0.0.1/evil")).message
    assert "is not allowed" in refused("dependencies: [evil::zlib]").message
    assert "is not allowed" in refused('dependencies: ["zlib[channel=evil]"]').message


def test_one_colon_is_told_to_be_two() -> None:
    """To conda it is a namespace, which means nothing: the package comes from any channel."""
    error = refused("dependencies:\n- bioconda:samtools=1.2\n")
    assert (error.field, error.line) == ("dependencies[0]", 2)
    assert "write 'bioconda::samtools=1.2'" in error.message
    assert "write 'conda-forge::zlib'" in refused("dependencies: ['conda-forge:x:zlib']").message


def test_a_selector_takes_what_it_selects_for_linux() -> None:
    text = "dependencies:\n- zlib\n- sel({}): gdb >=12\n- pip: [six]\n"
    both = spec("dependencies: [zlib, 'gdb >=12', {pip: [six]}]")
    without = spec("dependencies: [zlib, {pip: [six]}]")
    for name, expected in {"linux": both, "unix": both, "osx": without, "win": without}.items():
        assert spec(text.format(name)) == expected
    assert spec("dependencies: [zlib, {sel(linux): ['gdb >=12'], pip: [six]}]") == both
    assert "write sel(unix), sel(linux), sel(osx), sel(win)" in refused(text.format("a")).message
    wrong = text.format("linux").replace("gdb >=12", "'==='")
    assert "is not a match spec" in refused(wrong).message


def test_a_hash_of_a_wheel_is_asked_for_with_it() -> None:
    """conda-lock renders an environment so."""
    line = "      - six === 1.16.0 --hash=sha256:{}\n"
    first, second = "A" * 64, "b" * 64
    text = "dependencies:\n  - pip:\n" + line.format(second) + line.format(first)
    found = spec(text)
    assert found.pip == ("six===1.16.0",)
    assert found.hashes == (("six", ("a" * 64, second)),)
    assert found.digest != spec("dependencies: [{pip: ['six === 1.16.0']}]").digest
    assert spec(json.dumps({"pip": [f"six===1.16.0 --hash=sha256:{second}"]})).hashes == (
        ("six", (second,)),
    )
    for wrong in ("sha256:12", "md5:" + "a" * 32, "sha256"):
        error = refused(f"dependencies: [{{pip: ['six --hash={wrong}']}}]")
        assert "is not 'sha256:' and 64 hex digits" in error.message


def test_the_address_of_a_package_is_that_package() -> None:
    url = f"{FORGE.url}/linux-64/zlib-1.3.1-hb9d3cd8_2.conda"
    assert spec(f"dependencies: [{url}]") == spec(
        "dependencies: [conda-forge::zlib==1.3.1=hb9d3cd8_2]"
    )
    assert "in an @EXPLICIT list" in refused(f"dependencies: ['{url}#{'a' * 32}']").message
    assert "is no package of a channel" in refused("dependencies: [https://x/a-1-0.conda]").message


def test_a_directory_of_a_channel_is_told_to_be_a_platform() -> None:
    error = refused("dependencies: [conda-forge/linux-64::zlib]")
    assert "write 'conda-forge::zlib', and the platform under 'platforms'" in error.message


def test_nulls_and_what_hardens_other_tools_mean_nothing() -> None:
    text = """\
name: null
prefix:
channels: null
platforms: null
variables: ~
category: null
description: "ours: the first"
allow-pypi-requests: false
dependencies: [zlib, {pip: null}]
"""
    assert spec(text) == spec("dependencies: [zlib]")
    assert spec(text.replace("\n", "\r\n")) == spec("dependencies: [zlib]")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_a_file_of_powershell_is_read(encoding: str) -> None:
    mark = "\ufeff" if encoding[-2:] in {"le", "be"} else ""
    assert read((mark + EXPORTED).encode(encoding)) == spec(EXPORTED)


def test_platforms_that_are_named_must_all_be_possible() -> None:
    found = spec("platforms: [osx-arm64, linux-64, win-64]\ndependencies: [zlib]")
    assert found.platforms == ("linux-64",)
    assert found.every_platform
    error = refused("dependencies: [zlib]\nplatforms:\n  - osx-64\n")
    assert error.line == 3
    assert "linux-64, linux-aarch64" in error.message


def test_what_an_environment_always_has_is_wanted_too() -> None:
    defaults = dataclasses.replace(DEFAULTS, builtin=(Requirement("tini"),))
    assert Requirement("tini") in spec("dependencies: [zlib]", defaults).requirements


@pytest.mark.parametrize(
    ("text", "field", "line", "words"),
    [
        ("dependencies: []", "dependencies", 1, "no package is asked for"),
        ("dependencies: zlib", "dependencies", 1, "text stands where a list"),
        ("a: 1\ndependencies: [zlib]", "a", 1, "'a' is not known here"),
        ("dependencies:\n- zlib\n- 7", "dependencies[1]", 3, "a number stands where text"),
        ("dependencies:\n- zlib\n- x ===1", "dependencies[1]", 3, "is not a match spec"),
        ("dependencies:\n- conda: [a]", "dependencies[0].conda", 2, "neither 'pip' nor a selector"),
        ("dependencies:\n- pip: [a]\n- pip: [b]", "dependencies[1].pip", 3, "section already"),
        ("dependencies:\n- pip:\n  - -e .", "dependencies[0].pip[0]", 3, "option of pip"),
        (
            "dependencies:\n- pip:\n  - git+https://x/y",
            "dependencies[0].pip[0]",
            3,
            "an address or a path",
        ),
        ("dependencies: [__glibc]", "dependencies[0]", 1, "is a virtual package"),
        ("dependencies: [{pip: ['a_']}]", "dependencies[0].pip[0]", 1, "is not a requirement"),
        ("dependencies: [{pip: ['a[b_]']}]", "dependencies[0].pip[0]", 1, "is not a requirement"),
        ("dependencies: [zlib]\ndependencies: [a]", "dependencies", 2, "the second time"),
        ("dependencies: [zlib]\nvariables: {PATH: /x}", "variables.PATH", 2, "set by the image"),
        ("dependencies: [zlib]\nvariables: {a-b: x}", "variables.a-b", 2, "letters, digits"),
        ("dependencies: [zlib]\nvariables: {A: yes}", "variables.A", 2, "put it in quotes"),
        ("dependencies: [zlib]\nvariables: {A: [1]}", "variables.A", 2, "put it in quotes"),
        ('dependencies: [zlib]\nvariables: {A: "\\e"}', "variables.A", 2, "cannot be printed"),
        (f"dependencies: [zlib]\nvariables: {{A: {'x' * 5000}}}", "variables.A", 2, "4096 are"),
        ('dependencies: ["z\\u202elib"]', "dependencies[0]", 1, "cannot be printed"),
        ('dependencies: [""]', "dependencies[0]", 1, "0 characters"),
        (f"dependencies: [{'x' * 3000}]", "dependencies[0]", 1, "3000 characters"),
        (f"dependencies: [{'x' * 600}]", "dependencies[0]", 1, "500 are allowed"),
        (f"dependencies: [{'x,' * 1001}]", "dependencies", 1, "1000 are allowed"),
        ("dependencies: [zlib]\nvariables: [A]", "variables", 2, "a list stands where a mapping"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(
    text: str, field: str, line: int, words: str
) -> None:
    error = refused(text)
    assert (error.field, error.line) == (field, line)
    assert words in error.message
    assert error.message.startswith(f"{field} (line {line}): ")


def test_too_many_variables_are_refused() -> None:
    lines = "\n".join(f"  A{number}: x" for number in range(201))
    assert "200 are allowed" in refused(f"dependencies: [zlib]\nvariables:\n{lines}").message
