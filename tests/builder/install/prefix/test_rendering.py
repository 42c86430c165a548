import csv
import hashlib
import io
import json

import pytest

from builder.install.prefix.rendering import TemplateMarks, render

_DIGEST = hashlib.sha256(b"written").digest()


def test_a_record_names_hashes_of_what_was_written() -> None:
    marks = TemplateMarks("5eed")
    record = {"sha256": marks.sha256("bin/ü"), "n": "5eed"}
    template = marks.template(json.dumps(record).encode())
    rendered = json.loads(render(template, {"bin/ü": (_DIGEST, 7)}))
    assert rendered == {"sha256": _DIGEST.hex(), "n": "5eed"}


def test_a_list_of_a_wheel_names_hashes_and_sizes_as_pip_does() -> None:
    marks = TemplateMarks("5eed")
    text = io.StringIO()
    row = ["a,b", f"sha256={marks.record('a,b')}", marks.size("a,b")]
    csv.writer(text).writerow(row)
    template = marks.template(text.getvalue().encode())
    rendered = render(template, {"a,b": (_DIGEST, 7)})
    assert rendered.strip() == b'"a,b",sha256=zMDo2muA4I6A11qJr-Eejy1c0PKaEPeCEEyl8mSOiQM,7'


def test_the_same_mark_may_stand_in_many_places() -> None:
    marks = TemplateMarks("5eed")
    mark = marks.size("a")
    template = marks.template(f"{mark}{mark} {mark}".encode())
    assert render(template, {"a": (_DIGEST, 7)}) == b"77 7"


def test_content_without_marks_is_its_own_template() -> None:
    assert TemplateMarks("5eed").template(b"text; 5ee") == b"text; 5ee"
    assert render(b"text", {}) == b"text"


@pytest.mark.parametrize("template", [b"\0sha256 bin/a\0", b"\0other bin/a\0", b"\0\0"])
def test_a_template_that_names_what_is_not_there_is_refused(template: bytes) -> None:
    with pytest.raises(ValueError, match="which is not there"):
        render(template, {})
