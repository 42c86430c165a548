import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import RangeInvalid
from registry.web.asgi.headers import headers_of
from registry.web.asgi.ranges import ByteRange, is_not_modified, parse_range, range_of

ETAG = '"sha256:abc"'


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-", (0, 10)),
        ("bytes=3-5", (3, 6)),
        ("bytes=9-9", (9, 10)),
        ("bytes=3-99", (3, 10)),
        ("bytes=3-" + "9" * 5000, (3, 10)),
        ("bytes=-1", (9, 10)),
        ("bytes=-10", (0, 10)),
        ("bytes=-11", (0, 10)),
        ("BYTES=1-2", (1, 3)),
        ("bytes = 1-2 ", (1, 3)),
        ("bytes=00000000000000000000001-2", (1, 3)),
    ],
)
def test_a_range_is_a_part(text: str, expected: tuple[int, int]) -> None:
    assert parse_range(text, 10) == ByteRange(*expected)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=0-1,3-4",
        "bytes=0 - 1",
        "bytes=--1",
        "bytes=٣-٤",
        "bytes=1-2\n",
        "lines=1-2",
    ],
)
def test_what_is_no_single_range_is_ignored(text: str | None) -> None:
    assert parse_range(text, 10) is None


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(RangeInvalid):
        parse_range("bytes=5-2", 10)


@pytest.mark.parametrize("text", ["bytes=10-", "bytes=10-11", "bytes=99999-", "bytes=-0"])
def test_a_range_outside_the_body_is_an_error(text: str) -> None:
    with pytest.raises(RangeInvalid) as caught:
        parse_range(text, 10)
    assert caught.value.size_bytes == 10


def test_an_empty_body_has_no_first_byte() -> None:
    with pytest.raises(RangeInvalid):
        parse_range("bytes=0-", 0)
    assert parse_range("bytes=-5", 0) is None


@given(st.integers(1, 50), st.integers(0, 60), st.integers(0, 60))
def test_a_range_means_what_slicing_means(size: int, start: int, length: int) -> None:
    data = bytes(range(size))
    text = f"bytes={start}-{start + length}"
    if start >= size:
        with pytest.raises(RangeInvalid):
            parse_range(text, size)
    else:
        part = parse_range(text, size)
        assert part is not None
        assert data[part.start : part.stop] == data[start : start + length + 1]


@pytest.mark.parametrize(
    ("condition", "is_partial"),
    [
        (ETAG, True),
        ('W/"sha256:abc"', False),
        ('"other"', False),
        ("Wed, 21 Oct 2015 07:28:00 GMT", False),
    ],
)
def test_if_range_lets_only_the_same_body_be_resumed(condition: str, *, is_partial: bool) -> None:
    headers = {"range": "bytes=1-", "if-range": condition}
    assert (range_of(headers, ETAG, 10) is not None) is is_partial


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], False),
        ([ETAG], True),
        ([f"W/{ETAG}"], True),
        (['"a", ' + ETAG], True),
        (['"a"', ETAG], True),
        (["*"], True),
        (['"a"'], False),
        (["sha256:abc"], False),
    ],
)
def test_a_client_that_has_it_need_not_get_it(lines: list[str], *, expected: bool) -> None:
    headers = headers_of({"headers": [(b"if-none-match", line.encode()) for line in lines]})
    assert is_not_modified(headers, ETAG) is expected
