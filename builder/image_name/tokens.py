"""How tokens of an image name stand for names, operators and versions of conda."""

import re
from typing import Final

from builder.spec import Operator

#: The words for comparisons.
OPERATORS: Final[dict[str, Operator]] = {
    "eq": "==",
    "ge": ">=",
    "gt": ">",
    "le": "<=",
    "lt": "<",
    "ne": "!=",
}
#: The comparisons as words, except ``=``, which is written as no word at all.
WORDS: Final[dict[Operator, str]] = {operator: word for word, operator in OPERATORS.items()}

#: The channel name that stands for PyPI.
PYPI: Final = "pypi"

_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*")
_SUFFIX = re.compile(r"(?:a|alpha|b|beta|c|rc|pre|post|rev|dev)[0-9]{1,8}(?:\+[a-z0-9_]+)?")
#: Numbers longer than this do not fit what solvers compare versions with.
_VERSION = re.compile(
    r"(?:[0-9]{1,18}!)?[0-9][a-z0-9]*(?:[._][a-z0-9]+)*(?:\+[a-z0-9]+(?:[._][a-z0-9]+)*)?"
)
_LONG_NUMBER = re.compile(r"[0-9]{19}")


def is_component(text: str) -> bool:
    r"""Tell whether ``text`` may stand between two ``/`` of an OCI name.

    >>> is_component("ruamel.yaml"), is_component("a..b"), is_component("_a"), is_component("a\n")
    (True, False, False, False)
    """
    return _COMPONENT.fullmatch(text) is not None


def is_numeric(token: str) -> bool:
    """Tell whether ``token`` begins as a version does: with a digit."""
    return "0" <= token[:1] <= "9"


def is_suffix(token: str) -> bool:
    """Tell whether a decoded ``token`` can continue a version although it starts with a letter.

    >>> is_suffix("post1"), is_suffix("rc2"), is_suffix("dev"), is_suffix("numpy")
    (True, True, False, False)
    """
    return _SUFFIX.fullmatch(token) is not None


def is_version(text: str) -> bool:
    """Tell whether ``text`` is a version that a match spec may contain.

    >>> is_version("1!2.0.post1+cu12.4"), is_version("1-2"), is_version("1__2")
    (True, False, False)
    """
    return _VERSION.fullmatch(text) is not None and not _LONG_NUMBER.search(text)


def decode(token: str) -> str:
    """Return what a token stands for.

    >>> decode("zzz_libgcc_mutex"), decode("1__e__2"), decode("0__p__cu121")
    ('_libgcc_mutex', '1!2', '0+cu121')
    """
    if token.startswith("zzz_"):
        token = token.removeprefix("zzz")
    return token.replace("__p__", "+").replace("__e__", "!")


def encode(text: str) -> str:
    """Return ``text`` with what an OCI name forbids written otherwise.

    >>> encode("_libgcc_mutex"), encode("1!2+3")
    ('zzz_libgcc_mutex', '1__e__2__p__3')
    """
    if text.startswith("_"):
        text = f"zzz{text}"
    return text.replace("+", "__p__").replace("!", "__e__")


def quote(text: str) -> str:
    r"""Return ``text`` as messages show it: short, printable, in quotes.

    >>> quote("a\nb")
    "'a?b'"
    """
    shown = "".join(c if c.isprintable() else "?" for c in text[:60])
    return f"'{shown}{'…' if len(text) > 60 else ''}'"
