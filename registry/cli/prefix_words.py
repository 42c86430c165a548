"""What ``pullforge prefixes`` writes: a line for each change, and sentences for what goes wrong."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import typer
from rich.filesize import decimal

from registry.cli.output import OutputFormat, plain, say, write_fields, write_json
from registry.prefixes.status import Change, PassReport, Problem, Status, What

#: What would be done, in words.
_WOULD: Final[dict[What, str]] = {
    "made": "would make",
    "mended": "would mend",
    "linked": "would link",
    "unlinked": "would unlink",
    "unwanted": "would give up",
    "removed": "would remove",
}


class Told:
    """Writes what is done; nothing twice that has not changed."""

    def __init__(self, output: OutputFormat) -> None:
        self._is_json = output == "json"
        self._waits = ""
        self._problems: frozenset[Problem] = frozenset()
        self._unmatched: frozenset[str] = frozenset()

    def changed(self, change: Change) -> None:
        """Write what was done."""
        self._write(change, change.what, is_done=True)

    def would(self, change: Change) -> None:
        """Write what would be done."""
        self._write(change, _WOULD[change.what], is_done=False)

    def _write(self, change: Change, words: str, *, is_done: bool) -> None:
        if self._is_json:
            write_json(
                {
                    "change": change.what,
                    "done": is_done,
                    "path": change.path,
                    "about": change.about,
                    "size_bytes": change.size_bytes,
                }
            )
            return
        size = decimal(change.size_bytes) if change.size_bytes else ""
        named = plain(change.about) if change.about not in change.path else ""
        about = ", ".join(filter(None, (named, size)))
        typer.echo(f"{words} {plain(change.path)}{f' ({about})' if about else ''}")

    def passed(self, report: PassReport) -> None:
        """Write what a pass could not do, and for programs what it has come to."""
        found = frozenset(report.problems)
        for problem in report.problems:
            if problem not in self._problems:
                say(_line(problem))
        if report.is_cut_short:  # what it has not got to may go wrong as before
            found |= self._problems
        elif self._problems and not found:
            say("all that could not be done before is done")
        self._problems = found
        if self._is_json:
            write_json({"pass": _report_document(report)})

    def unmatched(self, globs: Sequence[str]) -> None:
        """Write which patterns stand for nothing: one may be misspelt."""
        for glob in globs:
            if glob not in self._unmatched:
                say(f"nothing that you may see fits --only '{plain(glob)}'")
        self._unmatched = frozenset(globs)

    def summary(self, report: PassReport) -> None:
        """Write for people what is there now."""
        if self._is_json:
            return
        there = f"{_number(report.prefixes, 'prefix', 'es')}, {_number(len(report.links), 'link')}"
        going = f", {report.unwanted} of which go later" if report.unwanted else ""
        end = "all as it is to be"
        if report.problems:
            count = _number(len(report.problems), "problem")
            end = f"{count}, told above: the next run tries again"
        say(f"{there}{going}, {decimal(report.bytes_on_disk)}; {end}")

    def note(self, sentence: str) -> None:
        """Write what is waited for, for people."""
        say(plain(sentence))

    def waits(self, sentence: str) -> None:
        """Write why nothing can be done, unless that is what was written last."""
        if sentence != self._waits:
            say(f"{plain(sentence)}; everything stays as it is, and it is tried again")
        self._waits = sentence

    def goes_on(self) -> None:
        """Write that something can be done again, if it could not."""
        if self._waits:
            say("it works again")
        self._waits = ""


def write_status(status: Status, now: float, output: OutputFormat) -> None:
    """Write how a root stands."""
    if output == "json":
        write_json(_status_document(status, now))
        return
    write_fields(
        {
            "last pass": f"{_moment(status.ended)}, {status.ended - status.began:.1f} s",
            "behind for": _behind(status, now),
            "server": f"away since {_moment(status.away_since)}: {status.away}"
            if status.away_since is not None
            else "answers",
            "environments": f"{status.environments}, in {status.versions} versions",
            "prefixes": f"{status.prefixes}, {status.unwanted} of which go later",
            "links": status.links,
            "packages": status.packages,
            "on disk": decimal(status.bytes_on_disk),
            "last written": decimal(status.bytes_written),
            "last freed": decimal(status.bytes_freed),
        }
    )
    for problem in status.problems:
        typer.echo(_line(problem))


def _behind(status: Status, now: float) -> str:
    span = _span(status.lag_seconds(now))
    if status.behind_since is None and status.away_since is not None:
        return f"perhaps {span or '0 s'}: the server does not say what is to be"
    return span or "nothing: all as it is to be"


def _report_document(report: PassReport) -> dict[str, Any]:
    return {
        "is_equal": report.is_equal,
        "is_cut_short": report.is_cut_short,
        "seconds": round(report.seconds, 3),
        "prefixes": report.prefixes,
        "unwanted": report.unwanted,
        "links": len(report.links),
        "packages": report.packages,
        "bytes_on_disk": report.bytes_on_disk,
        "bytes_written": report.bytes_written,
        "bytes_freed": report.bytes_freed,
        "problems": [_problem_document(one) for one in report.problems],
    }


def _status_document(status: Status, now: float) -> dict[str, Any]:
    return {
        "is_equal": status.behind_since is None,
        "lag_seconds": round(status.lag_seconds(now), 3),
        "began_at": _iso(status.began),
        "ended_at": _iso(status.ended),
        "away_since": _iso(status.away_since),
        "away": status.away,
        "environments": status.environments,
        "versions": status.versions,
        "links": status.links,
        "prefixes": status.prefixes,
        "unwanted": status.unwanted,
        "packages": status.packages,
        "bytes_on_disk": status.bytes_on_disk,
        "bytes_written": status.bytes_written,
        "bytes_freed": status.bytes_freed,
        "problems": [_problem_document(one) for one in status.problems],
    }


def _line(problem: Problem) -> str:
    about, sentence = plain(problem.about), plain(problem.sentence)
    return sentence if about in sentence else f"{about}: {sentence}"


def _problem_document(problem: Problem) -> dict[str, str]:
    return {"about": problem.about, "problem": problem.sentence}


def _number(count: int, noun: str, plural: str = "s") -> str:
    return f"{count} {noun}{'' if count == 1 else plural}"


def _iso(moment: float | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat()


def _moment(moment: float | None) -> str:
    return "" if moment is None else f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S}"


def _span(seconds: float) -> str:
    """Return a time for people.

    >>> _span(0), _span(42.4), _span(4000), _span(200_000)
    ('', '42 s', '1 h 6 min', '2 d 7 h')
    """
    whole = round(seconds)
    for large, small, of, count in ((86_400, 3600, "d", "h"), (3600, 60, "h", "min")):
        if whole >= large:
            return f"{whole // large} {of} {whole % large // small} {count}"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole} s" if whole else ""
