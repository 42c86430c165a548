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
    try:
        read(found.read_bytes())
    except InputError as error:
        assert "\n" not in error.message
        assert 10 < len(error.message) < 600
    assert time.process_time() - started < 10
