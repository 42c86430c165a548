"""First lines of scripts that name an interpreter in the prefix.

Linux cuts such a line (before 5.1 at 127 bytes), and ends the interpreter's path at a blank.
Where a prefix is too long for that, or has a blank, scripts are written as conda and rattler do::

    #!/bin/sh
    '''exec' "/a long prefix/bin/python3.12" "$0" "$@" #'''     Python takes it for a string

    #!/usr/bin/env -S perl -w                                   all others, found on the path

Source: rattler's ``install/link.rs`` (``replace_shebang``), conda's ``conda/core/portability.py``.
Unlike there, ``env`` gets options as such (``-S``), and lines without the prefix stay as they are.
"""

import re
from typing import Final

#: Of a whole line, without its end.
_MAX_BYTES: Final = 127
_PYTHON: Final = re.compile(rb"python(?:\d+(?:\.\d+)?)?")
#: What follows the prefix: the rest of a path, options, and the end of a line as Windows has it.
_REST: Final = re.compile(rb"(/(?:\\ |[^ \t\r])*)[ \t]*(.*?)(\r?)")
_START: Final = re.compile(rb"#![ \t]*")
#: What a shell reads within double quotes.
_SPECIAL: Final = re.compile(rb'["$`\\]')


def has_shebang(content: bytes) -> bool:
    """Tell whether the content of a file begins with the name of an interpreter."""
    return content.startswith(b"#!")


def replace_shebang(line: bytes, placeholder: bytes, prefix: bytes) -> bytes:
    r"""Return the first line of a script, without its end, with the prefix put in.

    >>> replace_shebang(b"#!/build/bin/perl -w", b"/build", b"/opt/conda")
    b'#!/opt/conda/bin/perl -w'
    >>> replace_shebang(b"#!/build/bin/perl -w", b"/build", b"/my files")
    b'#!/usr/bin/env -S perl -w'
    """
    plain = line.replace(placeholder, prefix)
    start = _START.match(line)
    if start is None or not line.startswith(placeholder, start.end()):
        return plain
    if len(plain) <= _MAX_BYTES and b" " not in prefix and b"\t" not in prefix:
        return plain
    rest = _REST.fullmatch(line, start.end() + len(placeholder))
    if rest is None:
        return plain
    inside, options, end = rest[1], rest[2].replace(placeholder, prefix), rest[3]
    program = inside.rpartition(b"/")[2]
    if _PYTHON.fullmatch(program):
        quoted = _SPECIAL.sub(rb"\\\g<0>", prefix + inside)
        words = [b"'''exec' \"" + quoted + b'"', options, b'"$0" "$@" #\'\'\'']
        return b"#!/bin/sh" + end + b"\n" + b" ".join(filter(None, words)) + end
    words = [b"#!/usr/bin/env", b"-S" if options else b"", program, options]
    return b" ".join(filter(None, words)) + end
