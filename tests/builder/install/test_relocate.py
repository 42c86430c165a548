import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from builder.errors import UnsupportedPackage
from builder.install.package_info import PackageInfo, Relocation
from builder.install.relocate import (
    check_relocation,
    relocate,
    relocate_target,
    replace_binary,
    replace_text,
)

#: Few letters, so that placeholders occur, overlap and are cut by chunks.
_contents = st.lists(st.text("ab\0", max_size=12).map(str.encode), max_size=8)
_placeholders = st.text("ab", min_size=1, max_size=4).map(str.encode)


def _reference_binary(data: bytes, placeholder: bytes, prefix: bytes) -> bytes:
    """Conda's ``binary_replace``, which also ends a string at the end of the file."""

    def padded(match: re.Match[bytes]) -> bytes:
        replaced = match[0].replace(placeholder, prefix)
        return replaced + bytes(len(match[0]) - len(replaced))

    return re.sub(re.escape(placeholder) + rb"[^\0]*", padded, data)


@given(_contents, _placeholders, st.text("abc", max_size=6).map(str.encode))
@example([b"aab", b"ab"], b"ab", b"")
def test_text_is_replaced_as_if_it_were_one_piece(
    chunks: list[bytes], placeholder: bytes, prefix: bytes
) -> None:
    replaced = b"".join(replace_text(chunks, placeholder, prefix))
    assert replaced == b"".join(chunks).replace(placeholder, prefix)


@given(_contents, _placeholders, st.integers(0, 4))
def test_binaries_are_replaced_string_by_string_and_keep_their_size(
    chunks: list[bytes], placeholder: bytes, length: int
) -> None:
    prefix = b"abcd"[: min(length, len(placeholder))]
    replaced = b"".join(replace_binary(chunks, placeholder, prefix))
    data = b"".join(chunks)
    assert len(replaced) == len(data)
    assert replaced == _reference_binary(data, placeholder, prefix)


def test_one_string_may_name_the_prefix_more_than_once() -> None:
    placeholder = b"/build" + b"_placehold" * 8
    data = b"\x7fELF" + placeholder + b"/lib:" + placeholder + b"/lib64\0next\0"
    replaced = b"".join(relocate([data], Relocation(placeholder, "binary")))
    assert replaced.startswith(b"\x7fELF/opt/conda/lib:/opt/conda/lib64\0\0")
    assert replaced.endswith(b"\0next\0")
    assert len(replaced) == len(data)


def test_a_long_string_of_nothing_but_placeholders_is_not_held_in_memory() -> None:
    chunks = (b"/buildbuildbuild" * 65536 for _ in range(20))
    pieces = list(replace_binary(chunks, b"/buildbuildbuild", b"/x"))
    assert sum(map(len, pieces)) == 20 * 16 * 65536
    assert max(map(len, pieces)) <= 1024 * 1024


def test_a_prefix_that_does_not_fit_into_a_binary_is_refused() -> None:
    with pytest.raises(UnsupportedPackage, match="'bin/x' of package 'p-1-0'"):
        check_relocation("p-1-0", "bin/x", Relocation(b"/short", "binary"))
    check_relocation("p-1-0", "bin/x", Relocation(b"/short", "text"))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/b/lib/x", "/opt/conda/lib/x"),
        ("/b", "/opt/conda"),
        ("/bin/x", "/bin/x"),
        ("../lib/x", "../lib/x"),
        ("/home/me/_h_env_placehold_placehold_plac/lib/x", "/opt/conda/lib/x"),
        ("/home/me/_h_env_placehold_placehold_plac", "/opt/conda"),
    ],
)
def test_an_absolute_symlink_into_the_build_prefix_is_replaced(target: str, expected: str) -> None:
    index = {"name": "p", "version": "1", "build": "0"}
    info = PackageInfo(index, {}, None, (), ("/b",), has_path_types=True)
    assert relocate_target(target, info) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_the_prefix_is_found_in_every_encoding_that_conda_knows(encoding: str, size: int) -> None:
    placeholder = "/build" + "_placehold" * 8
    text = f"{placeholder}/lib:{placeholder}/lib64\0"
    data = b"\x7fELF" + "é\0".encode(encoding) + text.encode(encoding) + "next\0".encode(encoding)
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    replaced = b"".join(relocate(chunks, Relocation(placeholder.encode(), "binary")))
    expected = "/opt/conda/lib:/opt/conda/lib64"
    padded = expected + "\0" * (len(text) - len(expected))
    assert replaced == data.replace(text.encode(encoding), padded.encode(encoding))
    replaced = b"".join(relocate(chunks, Relocation(placeholder.encode(), "text")))
    assert replaced == data.replace(text.encode(encoding), f"{expected}\0".encode(encoding))
