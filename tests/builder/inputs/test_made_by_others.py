"""Every file in a directory that is given: read, or refused by one sentence, soon."""

import time

import pytest

from builder.errors import InputError
from tests.builder.inputs.reading import read
from tests.made_by_others import made_by_others, names


@pytest.mark.parametrize("path", names("files/**/*.*") or ["files"])
def test_a_file_of_others_is_read_or_refused_by_one_sentence(path: str) -> None:
    found = made_by_others(path)
    if found.is_dir():
        pytest.skip("it has no files")
    started = time.process_time()
    sentence = refusal_of(found.read_bytes())
    assert time.process_time() - started < 10
    assert sentence is None or (sentence.isprintable() and 10 < len(sentence) < 600)


def refusal_of(data: bytes) -> str | None:
    """Return the sentence that a file is refused with, if it is."""
    try:
        read(data)
    except InputError as error:
        return error.message
    return None
