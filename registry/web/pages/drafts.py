"""A specification that somebody is writing: its text, and a form that changes the same text.

The text is the source. A page shows either the text, to be edited, or fields for its lists; a form
that is sent back has the text with it, to which what was changed in the fields is carried out
before anything else. So neither can be older than the other.

The names of fields: ``packages-3`` is the fourth package of the text, ``packages-new`` one that is
added. Buttons are called ``do``: ``remove:packages:3``, ``text``, ``form``, ``check``, ``save``.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from builder.errors import InputError
from builder.inputs.editing import PARTS, Change, Outline, edited, outline_of
from registry.web.api_client import ApiProblem
from registry.web.browser.forms import Fields
from registry.web.pages.fields import text_in

View = Literal["text", "form"]

#: No specification that is written by hand is larger; larger files are sent by programs.
MAX_BYTES: Final = 1024 * 1024
#: As a form it takes up to three times as much.
MAX_FORM_BYTES: Final = 3 * MAX_BYTES + 64 * 1024
#: A form has as many as a file has packages.
MAX_FIELDS: Final = 2500
#: So many lines around one that is at fault are shown.
_AROUND: Final = 2
#: A form shows no more of a list than one can look through.
_MOST_ITEMS: Final = 400

_START: Final = """\
channels:
  - {channel}
dependencies:
  - python
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a text."""

    number: int
    text: str
    is_meant: bool


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why something cannot be done, and where."""

    message: str
    line: int | None = None
    suggestions: Sequence[str] = ()
    #: The fields by which a waiver is asked for, if a policy refuses it and one can be given.
    waiver: Mapping[str, str] | None = None

    @classmethod
    def of(cls, problem: ApiProblem) -> "Trouble":
        """Return what the API says."""
        refusal, waiver = problem.refusal, None
        if refusal is not None and refusal.get("spec"):
            waiver = {name: refusal[name] for name in ("policy", "spec", "manager")}
        return cls(problem.message, problem.line, problem.error.get("suggestions", ()), waiver)


@dataclass(frozen=True, slots=True)
class Draft:
    """What is written so far."""

    text: str
    view: View = "text"

    @classmethod
    def of(cls, fields: Fields) -> "Draft":
        """Return what a form has sent, without what was changed in its fields."""
        view: View = "form" if fields.get("view") == "form" else "text"
        return cls(text_in(fields, "text").replace("\r", "\n"), view)

    async def applied(self, fields: Fields) -> "Draft":
        """Return it with what was changed in its fields.

        Raises:
            InputError: The text cannot be changed so.
        """
        if self.view == "text":
            return self

        def changed() -> str:
            return edited(self.text, _changes(fields, outline_of(self.text)))

        return replace(self, text=await asyncio.to_thread(changed))

    async def outline(self) -> Outline | None:
        """Return what a form shows of it; ``None``: it has no form.

        Raises:
            InputError: It has none, and its lines say why.
        """
        outline = await asyncio.to_thread(outline_of, self.text)
        if any(len(outline.parts[part]) > _MOST_ITEMS for part in PARTS):
            raise InputError(
                f"a form shows no lists of more than {_MOST_ITEMS} entries: edit it as text"
            )
        return outline

    def excerpt(self, line: int | None) -> Sequence[Line]:
        """Return a line with those around it."""
        if line is None:
            return ()
        lines = self.text.split("\n")
        first, last = max(1, line - _AROUND), min(len(lines), line + _AROUND)
        return [
            Line(number, lines[number - 1][:300], number == line)
            for number in range(first, last + 1)
        ]


def start_of(packages: Sequence[str], channel: str) -> str:
    """Return a text to begin with.

    >>> print(start_of(["numpy >=2"], "main"))
    channels:
      - main
    dependencies:
      - numpy >=2
    <BLANKLINE>
    """
    text = _START.format(channel=channel)
    if not packages:
        return text
    try:
        first, *others = packages
        changes = [Change("packages", 0, first)]
        return edited(text, [*changes, *(Change("packages", None, one) for one in others)])
    except InputError:
        return text


def _changes(fields: Fields, outline: Outline) -> list[Change]:
    """Return what the fields of a form have otherwise than the text."""
    found: list[Change] = []
    removed = fields.get("do", "")
    for part in PARTS:
        for number, item in enumerate(outline.parts[part]):
            text = fields.get(f"{part}-{number}", item.text).strip()
            is_removed = removed == f"remove:{part}:{number}"
            # What a field cannot show comes back otherwise, and was not changed.
            if is_removed or (item.is_plain and text != item.text.strip()):
                found.append(Change(part, number, "" if is_removed else text))
        added = [one.strip() for one in fields.getlist(f"{part}-new")]
        if removed.startswith(f"add:{part}:"):
            added.append(removed.removeprefix(f"add:{part}:").strip())
        found += [Change(part, None, one) for one in added if one]
    return found
