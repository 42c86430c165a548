r"""Files that name hashes and sizes of files with the prefix in them, written for one prefix.

A template is text and instructions in turn, with a NUL between them, which no such file has::

    …"path_type":"hardlink","sha256_in_prefix":"\0sha256 bin/f\0","size_in_bytes":12},…

    sha256 <path>    hash of a prefixed file of the package: 64 hex digits
    record <path>    the same as RECORD has it: URL-safe base64 without padding
    size <path>      its size
"""

from collections.abc import Callable, Mapping
from typing import Final

from builder.install.wheel.archive import record_digest

#: How hash and size of a file are written.
_KINDS: Final[dict[bytes, Callable[[bytes, int], bytes]]] = {
    b"sha256": lambda digest, _size: digest.hex().encode(),
    b"record": lambda digest, _size: record_digest(digest).encode(),
    b"size": lambda _digest, size: b"%d" % size,
}


class TemplateMarks:
    """Stand for what is not known yet while the content of a file is put together.

    They are text that needs no escape in JSON and CSV.
    """

    def __init__(self, seed: str) -> None:
        """Make marks that no file of a package has, as ``seed`` is made of the hash of it all."""
        #: Does not occur in the package.
        self.seed = seed
        self._start = f"{seed}-"
        self._instructions: list[bytes] = []

    def sha256(self, path: str) -> str:
        """Return what stands for the hash of a prefixed file, as 64 hex digits."""
        return self._mark(b"sha256 " + path.encode())

    def record(self, path: str) -> str:
        """Return what stands for the hash of a prefixed file, as RECORD has it."""
        return self._mark(b"record " + path.encode())

    def size(self, path: str) -> str:
        """Return what stands for the size of a prefixed file."""
        return self._mark(b"size " + path.encode())

    def template(self, content: bytes) -> bytes:
        """Return ``content`` as a template, its marks replaced by instructions."""
        first, *rest = content.split(self._start.encode())
        parts = [first]
        for piece in rest:
            number, _, text = piece.partition(b";")
            parts += [self._instructions[int(number)], text]
        return b"\0".join(parts)

    def _mark(self, instruction: bytes) -> str:
        self._instructions.append(instruction)
        return f"{self._start}{len(self._instructions) - 1};"


def render(template: bytes, written: Mapping[str, tuple[bytes, int]]) -> bytes:
    r"""Return the content that a template has in a prefix.

    >>> render(b'{"size": \0size bin/f\0}', {"bin/f": (bytes(32), 7)})
    b'{"size": 7}'

    Args:
        template: The content of a part whose placeholder is empty.
        written: The sha256 (32 bytes) and the size of every prefixed file of the package that was
            written before, as it was written, by its path.

    Raises:
        ValueError: It is no template, or names a file that is not among ``written``.
    """
    parts = template.split(b"\0")
    for position in range(1, len(parts), 2):
        kind, _, path = parts[position].partition(b" ")
        try:
            parts[position] = _KINDS[kind](*written[path.decode()])
        except KeyError as exc:
            raise ValueError(f"a template names {exc}, which is not there") from exc
    return b"".join(parts)
