import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.install.package_info import FileMode
from builder.install.prefix.unpacked import PrefixedFile
from builder.install.prefix.writing import PrefixWriter

PREFIX = "/srv/envs/builds/1"
HOLDER = "/build/" + "placehold_" * 10
MTIME = 1_577_836_800


class Parts:
    """Contents that are to be written into a prefix."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.made = directory / "made"
        (directory / "parts").mkdir()
        self.made.mkdir()
        self._opened = [os.open(path, os.O_RDONLY) for path in (directory / "parts", self.made)]
        self.writer = PrefixWriter(self._opened[1], PREFIX)
        self.files: list[PrefixedFile] = []

    def add(self, path: str, content: bytes, placeholder: str, mode: FileMode = "text") -> None:
        number = len(self.files)
        (self.directory / "parts" / str(number)).write_bytes(content)
        self.files.append(PrefixedFile(path, number, 0o555, MTIME, placeholder, mode))

    def write(self, *, by_reflink: bool = False) -> None:
        self.writer.write_prefixed(self._opened[0], self.files, by_reflink=by_reflink)

    def close(self) -> None:
        for file in self._opened:
            os.close(file)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = Parts(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("by_reflink", [False, True])
@pytest.mark.parametrize("before", [0, 1 << 20, (1 << 20) - 20, (3 << 20) - 1])
def test_a_placeholder_is_found_wherever_a_large_file_is_cut(
    parts: Parts, before: int, by_reflink: bool
) -> None:
    holder = HOLDER.encode()
    content = b"x" * before + b"\0" + holder + b"/lib\0" + b"y" * (1 << 20)
    parts.add("text", content, HOLDER)
    parts.add("binary", content, HOLDER, "binary")
    parts.write(by_reflink=by_reflink)
    assert (parts.made / "text").read_bytes() == content.replace(holder, PREFIX.encode())
    padded = (PREFIX.encode() + b"/lib").ljust(len(holder) + 4, b"\0")
    binary = (parts.made / "binary").read_bytes()
    assert binary == content.replace(holder + b"/lib", padded)
    assert parts.writer.files == 2


def test_the_first_line_is_the_only_one_that_is_a_shebang(parts: Parts) -> None:
    parts.writer.prefix = "/a b"
    parts.add("run", f"#!{HOLDER}/bin/perl\n#!{HOLDER}/bin/perl\n".encode(), HOLDER)
    parts.add("one-line", f"#!{HOLDER}/bin/perl".encode(), HOLDER)
    parts.add("binary", f"#!{HOLDER}/bin/perl\n".encode(), HOLDER, "binary")
    parts.write()
    assert (parts.made / "run").read_text() == "#!/usr/bin/env perl\n#!/a b/bin/perl\n"
    assert (parts.made / "one-line").read_text() == "#!/usr/bin/env perl"
    assert (parts.made / "binary").read_bytes().startswith(b"#!/a b/bin/perl\n\0")


def test_a_first_line_of_many_pieces_is_text_like_any_other(parts: Parts) -> None:
    holder = HOLDER.encode()
    content = b"#!" + b"x" * ((1 << 20) - 20) + holder + b"y" * (1 << 20) + holder
    parts.add("run", content, HOLDER)
    parts.write()
    assert (parts.made / "run").read_bytes() == content.replace(holder, PREFIX.encode())


def test_a_template_names_hash_and_size_of_what_was_written_before(parts: Parts) -> None:
    parts.add("etc/x", HOLDER.encode(), HOLDER)
    parts.add("info", b'{"is":"\0sha256 etc/x\0","has":\0size etc/x\0}', "")
    (parts.made / "etc").mkdir()
    parts.write()
    digest = hashlib.sha256(PREFIX.encode()).hexdigest()
    assert (parts.made / "info").read_text() == (f'{{"is":"{digest}","has":{len(PREFIX)}}}')


def test_files_have_the_mode_and_time_that_they_are_given(parts: Parts) -> None:
    before = os.umask(0o077)
    try:
        parts.add("run", HOLDER.encode(), HOLDER)
        parts.write()
    finally:
        os.umask(before)
    status = (parts.made / "run").stat()
    assert (oct(status.st_mode & 0o7777), status.st_mtime) == ("0o555", MTIME)
