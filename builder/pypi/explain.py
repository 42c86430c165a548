"""What uv says when it finds nothing, as an error with one readable sentence.

uv ends with the derivation of a contradiction, over several lines::

    error: No solution found when resolving dependencies
      cause: Because flask==2.0.0 depends on werkzeug>=2.0 and you require flask==2.0, we can
             conclude that you require werkzeug>=2.0.
             And because you require werkzeug<1, we can conclude that your requirements are
             unsatisfiable.

    hint: …
"""

import datetime
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from builder.errors import IndexUnavailable, NoWheel, SolveError, UnknownPackage, Unsatisfiable
from builder.network.forwarding import cause_of
from builder.pypi.target import Target

_MAX_LENGTH: Final = 500

_DERIVATION: Final = re.compile(
    r"No solution found[^\n]*\n\s*cause: (.*?)(?=\n\nhint:|\Z)", re.DOTALL
)
_UNKNOWN: Final = re.compile(r"(\S+) was not found in the package registry")
_REFUSED: Final = re.compile(r"\b(401 Unauthorized|403 Forbidden)\b")
_NO_TIME: Final = "is missing an upload date"
#: Nothing but that one project has no wheel.
_NO_WHEEL: Final = re.compile(
    r"Because (?:all versions of )?(?P<subject>\S+) (?:has|have) no "
    r"(?P<lack>usable wheels|wheels with a matching [^`]*\(e\.g\., `[^`]*`\)) and "
    r"(?:only \S+ is available, we can conclude that all versions of \S+ cannot be used\."
    r" And because )?"
    r"you require \S+, we can conclude that your requirements are unsatisfiable\."
)
_OTHER_WHEELS: Final = re.compile(r"(?:ABI tags?|platforms?): (`[^\n]*`)")
_MARKER: Final = re.compile(r"\{[^}]*\}")
_CONCLUSION: Final = ",? we can conclude that "
#: In this order: uv's phrases and shorter ones.
_WORDS: Final = (
    (re.compile(r"\. \([0-9]+\) Because "), "; "),
    (re.compile(r"we know from [()0-9 and]+ that "), ""),
    (re.compile(rf"{_CONCLUSION}your requirements are unsatisfiable"), ""),
    (re.compile(_CONCLUSION), ", so "),
    (re.compile(r"\. And because "), "; and "),
    (re.compile(r"^Because "), ""),
    (re.compile(r"[`]"), ""),
)


def explain(
    said: str,
    target: Target,
    provided: Mapping[str, str],
    until: datetime.date | None,
    index_url: str,
) -> SolveError:
    """Return the error that stands for uv's standard error.

    ``provided`` has conda's versions by normalized name; uploads after ``until`` do not count.
    """
    derivation = _DERIVATION.search(said)
    if derivation is None or _REFUSED.search(said):
        return _unavailable(said, index_url)
    text = " ".join(derivation[1].split())
    unknown = _UNKNOWN.search(text)
    if unknown is not None:
        return UnknownPackage(unknown[1], ["PyPI"], target.subdir)
    if until is not None and _NO_TIME in said:
        return Unsatisfiable(
            f"the index of PyPI packages at {urlsplit(index_url).netloc} does not say when its"
            f" files were uploaded, so that it has none until {until}: ask without a date"
        )
    day = f" until {until}" if until else ""
    no_wheel = _NO_WHEEL.fullmatch(text)
    if no_wheel is not None:
        return NoWheel(_missing(no_wheel["subject"], no_wheel["lack"], said, target, day))
    kind = NoWheel if "no usable wheels" in text or "no wheels" in text else Unsatisfiable
    sentence = f"no packages of PyPI{day} fit {target.subdir}: {_shorten(text, provided)}"
    return kind(sentence if len(sentence) <= _MAX_LENGTH else f"{sentence[: _MAX_LENGTH - 1]}…")


def _missing(subject: str, lack: str, said: str, target: Target, day: str) -> str:
    if lack == "usable wheels":
        return (
            f"'{subject}' is on PyPI{day} as source only, which is not built here: ask for a"
            f" version that has a wheel, or for a conda package"
        )
    others = ", ".join(_OTHER_WHEELS.findall(said)).replace("`", "")
    hint = f"; there are wheels for {others}" if others else ""
    return (
        f"no wheel of '{subject}' on PyPI{day} fits Python {target.python.short} on"
        f" {target.subdir}{hint}"
    )


def _shorten(text: str, provided: Mapping[str, str]) -> str:
    text = _MARKER.sub("", text)
    for name, version in provided.items():
        # uv says it as if the index had nothing else: ``only numpy<2 is available``.
        offer = rf"only (?:the following versions of )?{name}[<>=!]?\S* (?:is|are) available:?"
        versions = rf"(?: {name}[<>=!]\S+)*"
        nothing = rf"there is no version of {name}[<>=!]\S*"
        text = re.sub(rf"{offer}{versions}|{nothing}", f"conda provides {name} {version}", text)
    for pattern, words in _WORDS:
        text = pattern.sub(words, text)
    return text.removesuffix(".")


def _unavailable(said: str, index_url: str) -> IndexUnavailable:
    """Return that the index is down, with the last cause, which is the most exact one."""
    refused = _REFUSED.search(said)
    lines = said.partition("\n\n")[0].strip().splitlines() or ["uv ended without a word"]
    cause = refused[1] if refused else lines[-1].strip().removeprefix("cause: ")
    cause = cause_of(said) or cause.removeprefix("error: ")[:200]
    host = urlsplit(index_url).netloc
    return IndexUnavailable(f"the index of PyPI packages at {host} does not answer: {cause}")
