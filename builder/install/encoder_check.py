"""Whether this machine compresses as all others do.

An image's digest includes its compressed layers. Both encoders are pinned, but ISA-L chooses its
code by the CPU. The bytes agree on everything with SSE 4.2 (x86-64-v2: all since 2009); a machine
where they do not must not fill a store that others share.
"""

import hashlib
from typing import Final

from builder.install.layer_sink import compress_piece
from builder.layer import Encoding

#: sha256 of the compressed :func:`_sample`, by encoding.
EXPECTED: Final[dict[Encoding, str]] = {
    "zstd": "19cb67caf971c1536bd1ed459aac51b3a6b052fe9b2326fd7e6115f1d75c29fb",
    "gzip": "56a34d5f1156544a3dc3b5f7e7a39cc282a949a9acd3166b079fefd0114df38e",
}


def _sample() -> bytes:
    """Return 256 KiB with long and short repetitions and with noise, always the same."""
    noise = [hashlib.sha256(b"%d" % number).digest() for number in range(512)]
    words = [block.hex().encode() * (1 + block[0] % 5) + block for block in noise]
    return b"".join(words + words[100:300] + [bytes(65536)] + words[::-1])[: 256 * 1024]


def differing_encoders() -> tuple[Encoding, ...]:
    """Return the encodings in which this machine would write other bytes than the rest; or none."""
    sample = _sample()
    return tuple(
        encoding
        for encoding, expected in EXPECTED.items()
        if hashlib.sha256(compress_piece(sample, encoding)).hexdigest() != expected
    )
