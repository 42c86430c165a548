r"""The prefix a package was built in, replaced by the one it is installed to.

In a text every occurrence is replaced, and the file gets shorter or longer. In a binary nothing may
move: the C string that holds the prefix is shortened, and filled up with NULs at its end::

    /build/prefix/lib:/build/prefix/share\0more
    /opt/conda/lib:/opt/conda/share\0\0\0\0\0\0\0more

It is looked for in each encoding that conda knows: Windows and Java write strings of two bytes a
character, and Qt does so everywhere.

All this works on a stream and holds no more than a piece of it, however long the file or string.

Source: conda's ``conda/core/portability.py``, rattler's ``install/link.rs``.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from builder.errors import UnsupportedPackage
from builder.install.package_info import PackageInfo, Relocation
from builder.layer import PREFIX

_PREFIX: Final = PREFIX.encode()
_PADDING: Final = bytes(64 * 1024)
#: Bytes a character in conda's ``POPULAR_ENCODINGS``: UTF-8, and UTF-16 and UTF-32 in both orders.
_WIDTHS: Final = {1: "utf-8", 2: "utf-16-le", 4: "utf-32-le"}
#: What conda-build and rattler-build fill their prefix up with.
_BUILD_PREFIX: Final = re.compile(r"/(?:[^/]+/)*?[^/]*placehold_placehold_[^/]*(?=/|\Z)")


def relocate(
    chunks: Iterable[bytes | memoryview], relocation: Relocation, prefix: bytes = _PREFIX
) -> Iterator[bytes]:
    """Yield the content with the new prefix, however it is cut; a ``binary`` keeps its size."""
    replacements = dict(encodings(prefix))
    for width, placeholder in encodings(relocation.placeholder):
        replacement = replacements[width]
        if relocation.mode == "text":
            chunks = replace_text(chunks, placeholder, replacement)
        else:
            chunks = replace_binary(chunks, placeholder, replacement, bytes(width))
    yield from map(bytes, chunks)


def encodings(placeholder: bytes) -> list[tuple[int, bytes]]:
    """Return what is looked for and what is put in its place, by the bytes of a character."""
    # Between its first and its last character, both byte orders are the same. And what ends in no
    # NUL is found ten times as fast, among the many NULs of a binary.
    text = placeholder.decode()
    return [(width, text.encode(name).rstrip(b"\0")) for width, name in _WIDTHS.items()]


class PlaceholderSearch:
    """Tells whether :func:`relocate` would change what is fed to it, piece by piece."""

    def __init__(self, placeholder: bytes) -> None:
        self._wanted = [encoded for _, encoded in encodings(placeholder)]
        self._overlap = max(map(len, self._wanted)) - 1
        self._held = b""
        #: Whether it occurred.
        self.found = False

    def feed(self, chunk: bytes | memoryview) -> None:
        """Look at the next piece."""
        if self.found:
            return
        held = self._held + chunk
        self.found = any(wanted in held for wanted in self._wanted)
        self._held = held[-self._overlap :] if self._overlap else b""


def check_relocation(label: str, path: str, relocation: Relocation) -> None:
    """Refuse a relocation that cannot be done.

    Raises:
        UnsupportedPackage: The prefix does not fit into a binary.
    """
    if relocation.mode == "binary" and len(relocation.placeholder.decode()) < len(_PREFIX):
        raise UnsupportedPackage(
            f"path '{path}' of package '{label}' is a binary with too little room for the prefix"
            f" {PREFIX}: build the package with a longer placeholder"
        )


def relocate_target(target: str, info: PackageInfo) -> str:
    """Return a symlink's target, with the build prefix of the package replaced if it starts so."""
    for placeholder in info.placeholders:
        if target == placeholder or target.startswith(placeholder + "/"):
            return PREFIX + target[len(placeholder) :]
    # Packages do not say the placeholder of a symlink, but builders have agreed on how it looks.
    if (built := _BUILD_PREFIX.match(target)) is not None:
        return PREFIX + target[built.end() :]
    return target


def replace_text(
    chunks: Iterable[bytes | memoryview], placeholder: bytes, prefix: bytes
) -> Iterator[bytes]:
    """Yield the content with every ``placeholder`` replaced, as ``bytes.replace`` does.

    >>> b"".join(replace_text([b"#!/bu", b"ild/bin/sh"], b"/build", b"/opt/conda"))
    b'#!/opt/conda/bin/sh'
    """
    overlap = len(placeholder) - 1
    held = b""
    for chunk in chunks:
        held += chunk
        # Only what follows the last occurrence may begin another one that the next chunk ends.
        end = max(_after_occurrences(held, placeholder), len(held) - overlap)
        if end > 0:
            yield held[:end].replace(placeholder, prefix)
            held = held[end:]
    yield held


def _after_occurrences(data: bytes, placeholder: bytes) -> int:
    """Return where the last of the occurrences ends, found from left to right."""
    end = 0
    found = data.find(placeholder)
    while found >= 0:
        end = found + len(placeholder)
        found = data.find(placeholder, end)
    return end


def replace_binary(
    chunks: Iterable[bytes | memoryview], placeholder: bytes, prefix: bytes, nul: bytes = b"\0"
) -> Iterator[bytes]:
    r"""Yield the content, of the same size, with ``placeholder`` replaced within C strings.

    ``prefix`` is not longer than ``placeholder``; ``nul`` ends a string, wherever it lies.

    >>> b"".join(replace_binary([b"\x01/buildpath/lib\x00\x02"], b"/buildpath", b"/opt"))
    b'\x01/opt/lib\x00\x00\x00\x00\x00\x00\x00\x02'
    """
    shrink = len(placeholder) - len(prefix)
    overlap = len(placeholder) - 1
    held = b""
    #: By how much the C string that is being written has become shorter.
    missing = 0
    for chunk in chunks:
        held += chunk
        done = 0
        out: list[bytes] = []
        while True:
            found = held.find(placeholder, done)
            if missing:
                # The string may end before the next occurrence: fill it up there.
                end = held.find(nul, done, found if found >= 0 else len(held))
                if end >= 0:
                    yield b"".join([*out, held[done:end]])
                    yield from _zeros(missing)
                    out, done, missing = [], end, 0
            if found < 0:
                break
            out += [held[done:found], prefix]
            done = found + len(placeholder)
            missing += shrink
        keep = max(done, len(held) - overlap)
        out.append(held[done:keep])
        held = held[keep:]
        yield b"".join(out)
    end = held.find(nul)
    if missing and end >= 0:
        yield held[:end]
        yield from _zeros(missing)
        yield held[end:]
    else:
        yield held
        yield from _zeros(missing)


def _zeros(size: int) -> Iterator[bytes]:
    while size > 0:
        yield _PADDING[:size]
        size -= len(_PADDING)
