from typing import Any

import pytest

from builder.errors import NoWheel, UnsafePackage
from builder.layer import PythonTarget
from builder.pypi import Target
from builder.pypi.pylock import read_needs, read_pylock
from builder.records import WheelRecord

TARGET = Target("linux-64", PythonTarget("3.11.9", "lib/python3.11/site-packages"), "2.36")
SHA256 = "0" * 64


def pylock(*file_names: str, name: str = "demo", version: str = "1.0", **more: Any) -> str:
    wheels = "".join(
        f'{{ url = "{more.get("host", "https://files.test")}/p/{file_name}", size = 7, '
        f'hashes = {{ {more.get("hash", "sha256")} = "{SHA256}" }} }},'
        for file_name in file_names
    )
    return f'[[packages]]\nname = "{name}"\nversion = "{version}"\nwheels = [{wheels}]\n'


def read(text: str) -> tuple[WheelRecord, ...]:
    return read_pylock(text, TARGET, {"numpy"}, {"files.test"})


@pytest.mark.parametrize(
    ("file_names", "best"),
    [
        (["demo-1.0-py3-none-any.whl", "demo-1.0-cp311-abi3-manylinux1_x86_64.whl"], 1),
        (["demo-1.0-cp39-abi3-linux_x86_64.whl", "demo-1.0-cp311-cp311-linux_x86_64.whl"], 1),
        (["demo-1.0-cp311-cp311-manylinux_2_99_x86_64.whl", "demo-1.0-py3-none-any.whl"], 1),
        (["demo-1.0-1-py3-none-any.whl", "demo-1.0-2-py3-none-any.whl"], 1),
        (["demo-1.0-py3-none-any.whl", "demo-1.0-9-py3-none-any.whl"], 1),
        (["demo-1.0-py2.py3-none-any.whl", "other-1.0-cp311-cp311-linux_x86_64.whl"], 0),
        (["demo-1.0-py3-none-any.whl", "demo-1.1-cp311-cp311-linux_x86_64.whl"], 0),
        (["no wheel.whl", "nonsense.whl", "demo-1.0-py3-none-any.whl"], 2),
    ],
)
def test_the_best_wheel_is_taken_in_whatever_order_they_come(
    file_names: list[str], best: int
) -> None:
    for names in (file_names, file_names[::-1]):
        (wheel,) = read(pylock(*names))
        assert wheel.file_name == file_names[best]
        assert (wheel.sha256, wheel.size_bytes) == (SHA256, 7)


def test_an_answer_without_packages_is_no_wheels() -> None:
    assert read('lock-version = "1.0"') == ()


def test_only_a_wheel_that_has_the_hash_that_was_asked_for_is_taken() -> None:
    text = pylock("demo-1.0-cp311-abi3-manylinux1_x86_64.whl", "demo-1.0-py3-none-any.whl")
    text = text.replace(SHA256, "1" * 64, 1)
    first, other = read(text), read_pylock(text, TARGET, (), {"files.test"}, {"demo": [SHA256]})
    assert first[0].sha256 == "1" * 64
    assert other[0].file_name == "demo-1.0-py3-none-any.whl"
    with pytest.raises(NoWheel, match="has the sha256 that was asked for"):
        read_pylock(text, TARGET, (), {"files.test"}, {"demo": ["2" * 64]})


def test_an_escaped_version_is_the_same_address() -> None:
    for written in ("+", "%2B", "%2b"):
        (wheel,) = read(pylock(f"demo-1.0{written}cpu-py3-none-any.whl", version="1.0+cpu"))
        assert wheel.url == "https://files.test/p/demo-1.0%2Bcpu-py3-none-any.whl"


def test_what_conda_provides_is_left_out() -> None:
    text = '[[packages]]\nname = "numpy"\nversion = "1"\narchive = { path = "/tmp/numpy.whl" }\n'
    assert read(text + pylock("demo-1.0-py3-none-any.whl"))[0].name == "demo"


def test_an_address_keeps_no_credentials() -> None:
    text = pylock("demo-1.0-py3-none-any.whl", host="https://files.test").replace("//", "//a:b@")
    (wheel,) = read(text)
    assert wheel.url == "https://files.test/p/demo-1.0-py3-none-any.whl"


@pytest.mark.parametrize(
    "text",
    [
        pylock(),
        pylock("demo-1.0-py3-none-win_amd64.whl"),
        pylock("demo-1.0-py3-none-any.whl?x=1"),
        pylock("demo-1.0-py3-none-any.whl", host="file://files.test"),
        pylock("demo-1.0-py3-none-any.whl", hash="md5"),
    ],
)
def test_what_cannot_be_locked_is_refused(text: str) -> None:
    with pytest.raises(NoWheel):
        read(text)


def test_a_host_that_is_not_allowed_is_refused() -> None:
    for host in ("https://evil.test", "https://files.test:444", "https://files.test@evil.test"):
        with pytest.raises(UnsafePackage, match="from which this server takes no wheels"):
            read(pylock("demo-1.0-py3-none-any.whl", host=host))


def test_annotations_tell_what_needs_what() -> None:
    text = """
idna==3.10  # via -r wanted.in, requests
numpy @ file:///s/numpy-1.0-py3-none-any.whl  # via -c provided.txt, contourpy, patsy
requests==2.0  # via -r wanted.in
"""
    assert read_needs(text) == {
        "contourpy": ("numpy",),
        "patsy": ("numpy",),
        "requests": ("idna",),
    }
