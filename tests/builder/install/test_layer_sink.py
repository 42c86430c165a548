import hashlib
import io
import threading
from typing import get_args

import pytest

from builder.install.encoder_check import differing_encoders
from builder.install.layer_sink import LayerSink
from builder.layer import Encoding
from tests.builder.install.layers import decompress

_DATA = b"".join(hashlib.sha256(b"%d" % n).digest() * 9 for n in range(40_000))
_ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)


@pytest.mark.parametrize("encoding", _ENCODINGS)
def test_digests_and_sizes_are_those_of_what_is_written(encoding: Encoding) -> None:
    out = io.BytesIO()
    sink = LayerSink(out, encoding, threads=2)
    sink.write(_DATA)
    blob = sink.finish()
    written = out.getvalue()
    assert blob.digest == "sha256:" + hashlib.sha256(written).hexdigest()
    assert blob.diff_id == "sha256:" + hashlib.sha256(_DATA).hexdigest()
    assert (blob.size_bytes, blob.tar_size_bytes) == (len(written), len(_DATA))
    assert decompress(written, encoding) == _DATA


@pytest.mark.parametrize("encoding", _ENCODINGS)
def test_neither_threads_nor_portions_change_the_bytes(encoding: Encoding) -> None:
    digests = set()
    for threads, portion in [(1, 4096), (2, 1_000_003), (4, len(_DATA)), (3, 4 * 1024 * 1024)]:
        sink = LayerSink(io.BytesIO(), encoding, threads)
        for start in range(0, len(_DATA), portion):
            sink.write(_DATA[start : start + portion])
        digests.add(sink.finish().digest)
    assert len(digests) == 1


def test_a_full_disk_is_reported_and_no_thread_stays_behind() -> None:
    class Full(io.BytesIO):
        def write(self, data: object, /) -> int:
            raise OSError(28, "No space left on device")

    before = threading.active_count()
    sink = LayerSink(Full(), "zstd", threads=2)
    with pytest.raises(OSError, match="No space left"):
        sink.write(_DATA * 5)
    sink.abort()
    assert threading.active_count() == before


def test_this_machine_compresses_as_all_others_do() -> None:
    assert differing_encoders() == ()
