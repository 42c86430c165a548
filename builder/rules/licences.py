"""Licences as SPDX writes them, and what channels write instead.

A rule names licences one by one, with ``*`` for any characters. An expression is held against it as
it is meant: of ``A OR B`` one may be chosen, ``A AND B`` are both kept. ``A WITH E`` is another
licence than ``A``: an exception only permits more, so that it is allowed where ``A`` is, and denied
where a rule names it with its exception. ``A+`` is ``A`` or a later one.

What SPDX does not know, and what nobody says, is *unknown*, which is neither allowed nor denied.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Final

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.licenses._spdx import EXCEPTIONS, LICENSES

from builder.rules.model import LicenceRule

#: No licence has a longer one, and the time to read it grows with it.
_MAX_LENGTH: Final = 1000
_MAX_DEPTH: Final = 20
#: What old recipes write, in lower case and with single spaces; from conda-forge's patches.
_OLD_NAMES: Final = {
    "apache": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "apache-2": "Apache-2.0",
    "apache2": "Apache-2.0",
    "bsd 2-clause": "BSD-2-Clause",
    "bsd 2 clause": "BSD-2-Clause",
    "bsd 3-clause": "BSD-3-Clause",
    "bsd 3 clause": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "bsd": "BSD-3-Clause",
    "bsd-2": "BSD-2-Clause",
    "bsd-3": "BSD-3-Clause",
    "bsd_2_clause": "BSD-2-Clause",
    "bsd_3_clause": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "new bsd license": "BSD-3-Clause",
    "boost": "BSL-1.0",
    "boost-1.0": "BSL-1.0",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "the mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "mpl": "MPL-2.0",
    "mpl 2.0": "MPL-2.0",
    "mpl2": "MPL-2.0",
    "psf": "PSF-2.0",
    "psf license": "PSF-2.0",
    "psfl": "PSF-2.0",
    "python software foundation license": "PSF-2.0",
    "public domain": "LicenseRef-Public-Domain",
    "public-domain": "LicenseRef-Public-Domain",
    "the unlicense (unlicense)": "Unlicense",
    "tcl/tk": "TCL",
    "zlib/libpng": "zlib-acknowledgement",
    "gnu affero general public license v3": "AGPL-3.0-only",
    "gnu affero general public license v3 or later (agplv3+)": "AGPL-3.0-or-later",
    "gnu general public license v2 (gplv2)": "GPL-2.0-only",
    "gnu general public license v2 or later (gplv2+)": "GPL-2.0-or-later",
    "gnu general public license v3 (gplv3)": "GPL-3.0-only",
    "gnu general public license v3 or later (gplv3+)": "GPL-3.0-or-later",
    "gnu lesser general public license v2 (lgplv2)": "LGPL-2.0-only",
    "gnu lesser general public license v2 or later (lgplv2+)": "LGPL-2.0-or-later",
    "gnu lesser general public license v3 (lgplv3)": "LGPL-3.0-only",
    "gnu lesser general public license v3 or later (lgplv3+)": "LGPL-3.0-or-later",
}
#: ``GPL-3``, ``GPLv3+``, ``LGPL 2.1``, and R's ``GPL (>= 2)``.
_GPL: Final = re.compile(
    r"(?:gnu )?([al]?gpl)[ -]?(?:\(\s*(>=)\s*([0-9.]+)\s*\)|v?\.?\s*([0-9](?:\.[0-9])?)(\+?))",
    re.IGNORECASE,
)
#: R's mention of a file beside the licence.
_R_FILE: Final = re.compile(r"\s*\+\s*file\s+LICEN[CS]E\b", re.IGNORECASE)
_GNU: Final = re.compile(r"([AL]?GPL|GFDL)-([0-9.]+)(\+?)")
_TOKEN: Final = re.compile(r"\(|\)|[^\s()]+")
_CUSTOM: Final = "LicenseRef-"


class Verdict(IntEnum):
    """What a rule says of a licence; of several in a choice the largest counts."""

    DENIED = 0
    UNKNOWN = 1
    ALLOWED = 2


def verdict(licence: str, rule: LicenceRule) -> tuple[Verdict, str]:
    """Return what a rule says of a package, and the licence as SPDX writes it.

    ``""`` stands for what SPDX does not know.

    >>> from builder.rules.model import Author, LicenceRule
    >>> rule = LicenceRule(Author("company"), denied=("GPL-3.0-*",))
    >>> verdict("MIT OR GPL-3.0-only", rule)
    (<Verdict.ALLOWED: 2>, 'MIT OR GPL-3.0-only')
    >>> verdict("GPL (>= 3)", rule)
    (<Verdict.DENIED: 0>, 'GPL-3.0-or-later')
    """
    expression = spdx(licence)
    if not expression:
        return Verdict.UNKNOWN, ""
    tokens = _TOKEN.findall(expression)
    return _Evaluation(tokens, lambda one, exception: _of_one(one, exception, rule)).result, (
        expression
    )


@lru_cache(maxsize=4096)
def spdx(licence: str) -> str:
    """Return a licence as an expression of SPDX; ``""``: it is none.

    >>> spdx("BSD 3-Clause"), spdx("gpl-3.0+"), spdx("MIT + file LICENSE"), spdx("see the web")
    ('BSD-3-Clause', 'GPL-3.0-or-later', 'MIT', '')
    """
    words = " ".join(licence.split())
    if not words or len(words) > _MAX_LENGTH:
        return ""
    try:
        return _current(canonicalize_license_expression(words))
    except InvalidLicenseExpression:
        pass
    parts = [
        [_old_name(one) for one in _split(choice, r"[;&]| and ")]
        for choice in _split(_R_FILE.sub("", words), r"\|| or (?!later|newer)")
    ]
    if not all(all(choice) for choice in parts):
        return ""
    written = [" AND ".join(choice) for choice in parts]
    joined = " OR ".join(
        f"({choice})" if " AND " in choice and len(written) > 1 else choice for choice in written
    )
    try:
        return _current(canonicalize_license_expression(joined))
    except InvalidLicenseExpression:
        return ""


def canonical_identifier(text: str) -> str:
    """Return an identifier of SPDX, with or without an exception, as packages are said to have it.

    >>> canonical_identifier("GPL-3.0"), canonical_identifier("mit")
    ('GPL-3.0-only', 'MIT')

    Raises:
        ValueError: SPDX has none such, and no package would have it. The message is a sentence.
    """
    try:
        return _current(canonicalize_license_expression(text))
    except InvalidLicenseExpression as exc:
        meant = spdx(text)
        instead = f"write {meant!r}" if meant else "write one such as 'MIT'"
        raise ValueError(
            f"{text[:60]!r} is not an identifier of SPDX: {instead}, or a pattern such as"
            " 'GPL-3.0-*'"
        ) from exc


def names_no_licence(pattern: str) -> bool:
    """Tell whether SPDX has nothing that a pattern with ``*`` names: it is perhaps misspelt.

    >>> names_no_licence("GPL-3.0-*"), names_no_licence("GPL-3.0-* WITH GCC-*")
    (False, False)
    >>> names_no_licence("GLP-*"), names_no_licence("GPL-3* WITH Font-*"), names_no_licence("MIT")
    (True, False, False)
    """
    if "*" not in pattern:
        return False
    licence, _, exception = pattern.partition(" WITH ")
    if not exception:
        return not _names_any(licence, (one["id"] for one in LICENSES.values()))
    exceptions = (one["id"] for one in EXCEPTIONS.values())
    return names_no_licence(licence) or not _names_any(exception, exceptions)


def _names_any(pattern: str, known: Iterable[str]) -> bool:
    # Names of one's own are SPDX's, too.
    if pattern.lower().startswith(_CUSTOM.lower()):
        return True
    return any(_pattern(pattern).fullmatch(_current(name)) for name in known)


def _split(text: str, separators: str) -> Sequence[str]:
    return [part.strip() for part in re.split(separators, text, flags=re.IGNORECASE)]


def _old_name(words: str) -> str:
    """Return what one old name means; ``""``: nobody knows."""
    known = _OLD_NAMES.get(words.lower())
    if known:
        return known
    gpl = _GPL.fullmatch(words)
    if gpl:
        number = gpl[3] or gpl[4]
        number = number if "." in number else f"{number}.0"
        return f"{gpl[1].upper()}-{number}-{'or-later' if gpl[2] or gpl[5] else 'only'}"
    try:
        return canonicalize_license_expression(words)
    except InvalidLicenseExpression:
        return ""


def _current(expression: str) -> str:
    """Return an expression without names of GNU's that SPDX has given up."""

    def renew(token: str) -> str:
        old = _GNU.fullmatch(token)
        return f"{old[1]}-{old[2]}-{'or-later' if old[3] else 'only'}" if old else token

    return re.sub(r"[^\s()]+", lambda match: renew(match[0]), expression)


def _of_one(licence: str, exception: str, rule: LicenceRule) -> Verdict:
    """Return what a rule says of one licence, with or without an exception."""
    names = [licence, licence.removesuffix("+")]
    whole = [f"{name} WITH {exception}" for name in names] if exception else names
    if any(_matches(pattern, name, exception) for pattern in rule.denied for name in whole):
        return Verdict.DENIED
    allowed = any(
        _pattern(pattern).fullmatch(name) for pattern in rule.allowed for name in {*names, *whole}
    )
    if allowed:
        return Verdict.ALLOWED
    if licence.startswith(_CUSTOM):
        return Verdict.UNKNOWN
    return Verdict.DENIED if rule.allowed else Verdict.ALLOWED


def _matches(pattern: str, name: str, exception: str) -> bool:
    """Tell whether a pattern names a licence; one without ``WITH`` names none with an exception."""
    if exception and " WITH " not in pattern.upper():
        return False
    return bool(_pattern(pattern).fullmatch(name))


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    """Return a pattern of licences, case aside; of names of GNU's also the old ones."""
    old = _GNU.fullmatch(text.upper())
    current = f"{text}-only" if old and not old[3] else text
    parts = (re.escape(part) for part in re.split(r"\*+", current))
    return re.compile(".*".join(parts), re.IGNORECASE)


class _Evaluation:
    """Reads an expression that is known to be one: ``or := and (OR and)*``, and so on."""

    def __init__(self, tokens: Sequence[str], of_one: Callable[[str, str], Verdict]) -> None:
        self._tokens = tokens
        self._at = 0
        self._of_one = of_one
        self.result = self._any(0) if self._depth() <= _MAX_DEPTH else Verdict.UNKNOWN

    def _depth(self) -> int:
        steps: Iterator[int] = (
            1 if token == "(" else -1 if token == ")" else 0  # noqa: S105 - no password
            for token in self._tokens
        )
        deepest = depth = 0
        for step in steps:
            depth += step
            deepest = max(deepest, depth)
        return deepest

    def _any(self, depth: int) -> Verdict:
        found = self._all(depth)
        while self._takes("OR"):
            found = max(found, self._all(depth))
        return found

    def _all(self, depth: int) -> Verdict:
        found = self._one(depth)
        while self._takes("AND"):
            found = min(found, self._one(depth))
        return found

    def _one(self, depth: int) -> Verdict:
        if self._takes("("):
            found = self._any(depth + 1)
            self._takes(")")
            return found
        licence = self._tokens[self._at]
        self._at += 1
        exception = ""
        if self._takes("WITH"):
            exception = self._tokens[self._at]
            self._at += 1
        return self._of_one(licence, exception)

    def _takes(self, token: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == token:
            self._at += 1
            return True
        return False
