import pytest

from builder.install.prefix.shebang import replace_shebang

LONG = b"/" + b"x" * 120
BLANK = b"/my files"


@pytest.mark.parametrize(
    ("line", "prefix", "written"),
    [
        (b"#!/build/bin/perl -w", b"/opt", b"#!/opt/bin/perl -w"),
        (b"#! /build/bin/perl /build/x", b"/opt", b"#! /opt/bin/perl /opt/x"),
        (b"#!/bin/sh", LONG, b"#!/bin/sh"),
        (b"#!/bin/sh /build/x", BLANK, b"#!/bin/sh /my files/x"),
        (b"#!/build/bin/perl", LONG, b"#!/usr/bin/env perl"),
        (b"#!/build/bin/perl\r", LONG, b"#!/usr/bin/env perl\r"),
        (b"#!/build/bin/perl -w", BLANK, b"#!/usr/bin/env -S perl -w"),
        (b"#! /build/bin/ex\\ e", BLANK, b"#!/usr/bin/env ex\\ e"),
        (
            b"#!/build/bin/python3.12 -E",
            BLANK,
            b"#!/bin/sh\n'''exec' \"/my files/bin/python3.12\" -E \"$0\" \"$@\" #'''",
        ),
        (
            b"#!/build/bin/python",
            b'/a "$b"',
            b'#!/bin/sh\n\'\'\'exec\' "/a \\"\\$b\\"/bin/python" "$0" "$@" #\'\'\'',
        ),
        (b"#!/build/bin/python3.12d", LONG, b"#!/usr/bin/env python3.12d"),
        (b"#!/buildings/bin/perl", b"/opt", b"#!/optings/bin/perl"),
        (b"#!/buildings/bin/perl", BLANK, b"#!/my filesings/bin/perl"),
    ],
)
def test_the_interpreter_is_found_wherever_the_prefix_is(
    line: bytes, prefix: bytes, written: bytes
) -> None:
    assert replace_shebang(line, b"/build", prefix) == written


def test_a_line_may_have_127_bytes() -> None:
    line = b"#!/build/bin/perl"
    fits = b"/" + b"x" * (127 - len(b"#!/bin/perl") - 1)
    assert replace_shebang(line, b"/build", fits) == b"#!" + fits + b"/bin/perl"
    assert replace_shebang(line, b"/build", fits + b"x") == b"#!/usr/bin/env perl"
