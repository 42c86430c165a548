import pytest

from builder.lock import Lock, to_explicit
from builder.records import WheelRecord
from tests.builder.inputs.reading import BIO, DEFAULTS, FORGE, packages, refused
from tests.builder.records_for_tests import record

HOME = "https://conda.anaconda.org/conda-forge"
FILES = "https://files.pythonhosted.org/packages/d9/5a"
WHEEL = f"{FILES}/six-1.16.0-py2.py3-none-any.whl"
TORCH = f"{FILES}/torch-2.6.0%2Bcpu-cp312-cp312-linux_x86_64.whl"
PLUSES = ("%2B", "+", "%2b")
LIST = f"""\
# This file may be used to create an environment using:
# $ conda create --name <env> --file <this file>
# platform: linux-64
@EXPLICIT
{HOME}/linux-64/x264-1!164.3095-h166bdaf_2.tar.bz2#6c99772d483f566d59e25037fea2c4b1
{HOME}/linux-64/zlib-1.3.1-h4ab18f5_1.conda#sha256:{"a" * 64}

https://conda.anaconda.org/bioconda/noarch/multiqc-1.22-pyhdfd78af_0.tar.bz2
"""


def test_what_conda_lists_is_read_with_its_checksums() -> None:
    found = packages(LIST)
    assert list(found.platforms) == ["linux-64"]
    x264, zlib, multiqc = found.platforms["linux-64"]
    assert x264.place.path == "linux-64/x264-1!164.3095-h166bdaf_2.tar.bz2"
    assert (x264.md5, x264.sha256) == ("6c99772d483f566d59e25037fea2c4b1", None)
    assert (zlib.md5, zlib.sha256) == (None, "a" * 64)
    assert (multiqc.md5, multiqc.sha256) == (None, None)
    assert multiqc.place.channel == BIO
    assert multiqc.line == 8
    assert found.channels == (FORGE, BIO)
    assert found.base == DEFAULTS.base


def test_a_list_has_no_more_packages_than_an_image_may_have() -> None:
    lines = [f"{HOME}/linux-64/p{number}-1-0.conda" for number in range(2001)]
    assert len(packages("\n".join(["@EXPLICIT", *lines[1:]])).platforms["linux-64"]) == 2000
    assert "2001 packages for linux-64" in refused("\n".join(["@EXPLICIT", *lines])).message


def test_an_escaped_version_is_the_same_package() -> None:
    assert packages(LIST.replace("1!164", "1%21164")) == packages(LIST)


def test_the_platform_follows_from_the_packages_too() -> None:
    assert packages(LIST.replace("# platform: linux-64", "#")) == packages(LIST)


@pytest.mark.parametrize("mark", ["#sha256=", "#sha256:"])
def test_a_comment_that_means_a_wheel_is_one(mark: str) -> None:
    """conda-lock renders them so; conda-lock and micromamba install them."""
    found = packages(f"{LIST}# pip six @ {WHEEL}{mark}{'c' * 64}\n")
    assert found.wheels == {"linux-64": (WheelRecord("six", "1.16.0", WHEEL, "c" * 64),)}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"# pip six @ {WHEEL}", "sha256 of six is missing"),
        ("# pip six === 1.16.0 --hash=sha256:12", "write '# pip NAME @ ADDRESS#sha256=DIGITS'"),
        ("# pip install six", "or take it out"),
        ("# pip six @ https://files.pythonhosted.org/a/six-1.tar.gz#sha256=1", "is not a wheel"),
        ("# pip six @ git+https://github.com/benjaminp/six@1", "is not a wheel"),
        (f"# pip six @ {WHEEL.replace('files', 'u:secret@files')}#sha256=1", "not lie on a host"),
    ],
)
def test_a_wheel_that_cannot_be_used_is_refused_with_its_line(line: str, words: str) -> None:
    error = refused(LIST + line)
    assert error.line == 9
    assert words in error.message
    assert "secret" not in error.message


def test_the_list_that_this_server_writes_can_be_sent_back() -> None:
    six = record("six", channel=FORGE.url)
    wheel = WheelRecord("torch", "2.6.0+cpu", TORCH, "c" * 64)
    lock = Lock({"linux-64": (six,)}, (FORGE,), (), None, wheels={"linux-64": (wheel,)})
    found = packages(to_explicit(lock, "linux-64"))
    assert [package.place.url for package in found.platforms["linux-64"]] == [six.url]
    assert found.platforms["linux-64"][0].md5 == six.md5
    assert found.wheels == {"linux-64": (wheel,)}


def test_an_escaped_wheel_is_the_same_wheel() -> None:
    texts = [LIST + f"# pip torch @ {TORCH.replace('%2B', w)}#sha256={'c' * 64}" for w in PLUSES]
    assert packages(texts[0]) == packages(texts[1]) == packages(texts[2])


def test_an_escaped_plus_is_the_same_package() -> None:
    line = f"{HOME}/noarch/a-1{{}}2-0.conda\n"
    first, *others = (packages(LIST + line.format(written)) for written in PLUSES)
    assert others == [first, first]


def test_addresses_alone_are_such_a_list_as_they_are_to_conda() -> None:
    assert packages(LIST.replace("@EXPLICIT\n", "\n")) == packages(LIST)


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm() -> None:
    assert packages("\ufeff" + LIST.replace("\n", "\r\n")) == packages(LIST)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "file:///conda-forge/linux-64/zlib-1-0.conda",
        "/tmp/linux-64/zlib-1-0.conda",
        "http://conda.anaconda.org/conda-forge/linux-64/zlib-1-0.conda",
        "https://169.254.169.254/conda-forge/linux-64/zlib-1-0.conda",
        "https://conda.anaconda.org:8443/conda-forge/linux-64/zlib-1-0.conda",
        "https://conda.anaconda.org/conda-forge/../evil/linux-64/zlib-1-0.conda",
        "https://conda.anaconda.org/conda-forge/%2e%2e/evil/zlib-1-0.conda",
        "https://conda.anaconda.org/conda-forge/linux-64/..%2f..%2fzlib-1-0.conda",
        "https://conda.anaconda.org/conda-forge/linux-64/zlib-1-0.conda?x=1",
        "https://conda.anaconda.org/conda-forge/linux-64/zlib-1-0.zip",
        "https://conda.anaconda.org/conda-forge/linux-64/zlib.conda",
        "https://conda.anaconda.org/conda-forge/linux-64/-1-0.conda",
        "https://conda.anaconda.org@evil.example/conda-forge/linux-64/zlib-1-0.conda",
        "https://me:secret@conda.anaconda.org/conda-forge/linux-64/zlib-1-0.conda",
        "https://conda.anaconda.org/t/tk-secret/conda-forge/linux-64/zlib-1-0.conda",
        "HTTPS://conda.anaconda.org/conda-forge/linux-64/zlib-1-0.conda",
        "https://conda.anaconda.org/conda-forge\\linux-64/zlib-1-0.conda",
        "https://conda.anaconda.org/conda-forge/linux-64/zlib-1-0\u2044x.conda",
        "numpy=1.26",
    ],
)
def test_a_package_from_elsewhere_is_refused_with_its_line(url: str) -> None:
    error = refused(f"# platform: linux-64\n@EXPLICIT\n{url}\n")
    assert error.line == 3
    assert "secret" not in error.message


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("@EXPLICIT\n", None, "no certain platform"),
        (f"@EXPLICIT\n{HOME}/noarch/a-1-0.conda", None, "no certain platform"),
        (f"# platform: osx-64\n@EXPLICIT\n{HOME}/linux-64/a-1-0.conda", None, "it must be for one"),
        (f"@EXPLICIT\n{HOME}/osx-64/a-1-0.conda", None, "it has packages for osx-64"),
        (f"@EXPLICIT\n{HOME}/linux-64/a-1-0.conda#12", 2, "md5 is not"),
        (f"@EXPLICIT\n{HOME}/linux-64/a-1-0.conda#sha256:12", 2, "sha256 is not"),
        (f"@EXPLICIT\n{HOME}/linux-64/a-1-0.conda\n{HOME}/noarch/a-2-0.conda", 3, "listed twice"),
        ("@EXPLICIT\n" + "x" * 1001, 2, "too long"),
        ("@EXPLICIT\na\0b", 2, "cannot be printed"),
        ("@EXPLICIT" + "\n" * 10_001, None, "10000 are allowed"),
        ("# platform: linux-64\n@EXPLICIT\n", None, "has no package for linux-64"),
    ],
)
def test_a_list_that_is_unclear_is_refused(text: str, line: int | None, words: str) -> None:
    error = refused(text)
    assert error.line == line
    assert words in error.message


@pytest.mark.parametrize("path", ["conda-forge-evil/linux-64", "conda-forge/linux-64/noarch"])
def test_what_lies_beside_a_channel_is_taken_for_no_package_of_it(path: str) -> None:
    """An index may say that packages lie there: the channels are asked, and nothing else."""
    url = f"https://conda.anaconda.org/{path}/zlib-1-0.conda"
    (found,) = packages(f"# platform: linux-64\n@EXPLICIT\n{url}\n").platforms["linux-64"]
    assert (found.place.channel, found.place.elsewhere, found.record) == (None, url, None)
