"""Fields of forms, as the API takes them; what makes no sense is said beside the field."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from registry.web.api_client import ApiProblem

#: For how many days a role, a token or a waiver can be given.
MAX_DAYS: Final = 3660


def whole(text: str) -> int | None:
    """Return a whole number that was typed or sent; ``None``: it is none, or a huge one.

    >>> whole("12"), whole("-1"), whole("")
    (12, None, None)
    """
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def text_in(form: Mapping[str, str], name: str) -> str:
    """Return a text with the line breaks of files: browsers send those of forms."""
    return form.get(name, "").replace("\r\n", "\n")


def version_in(form: Mapping[str, str]) -> int:
    """Return the version of the text that was read before it was changed; 0: there was none."""
    return whole(form.get("version", "")) or 0


def unless_changed(form: Mapping[str, str], name: str = "revision") -> dict[str, str]:
    """Return the header by which nothing is overwritten that others have changed since."""
    revision = form.get(name, "")
    is_one = revision.isascii() and revision.isdecimal()
    return {"if-match": f'"{revision}"'} if is_one else {}


def required(form: Mapping[str, str], name: str, sentence: str) -> str:
    """Return what was typed into a field.

    Raises:
        ApiProblem: Nothing was: ``sentence`` says what is wanted.
    """
    text = form.get(name, "").strip()
    if not text:
        raise ApiProblem(400, {"message": sentence, "field": name})
    return text


def end_of(form: Mapping[str, str], name: str = "days") -> str | None:
    """Return when something ends that is good for so many days; ``None``: never.

    Raises:
        ApiProblem: It is no number of days.
    """
    days = form.get(name, "").strip()
    if not days:
        return None
    count = whole(days)
    if not count or count > MAX_DAYS:
        message = f"Say for how many days: 1 to {MAX_DAYS}, or nothing for always."
        raise ApiProblem(400, {"message": message, "field": name})
    return (datetime.now(UTC) + timedelta(days=count)).isoformat()


def unknown_form() -> ApiProblem:
    """Return what is said of a form that none of ours is."""
    return ApiProblem(400, {"message": "This form means nothing here: open the page again."})
