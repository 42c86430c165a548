"""What an import has done, or would do: for people, and as a document."""

from dataclasses import dataclass, field
from typing import Any, Final, Literal

import typer

from registry.cli.conda_store_records import Remark
from registry.cli.output import plain, say, write_table

Kind = Literal["namespaces", "environments", "builds", "roles"]

_KINDS: Final[tuple[Kind, ...]] = ("namespaces", "environments", "builds", "roles")
#: The most lines of one sort that people are shown; the document has all.
_SHOWN: Final = 50


@dataclass(slots=True)
class Tally:
    """What became of all of one kind."""

    #: How many are new here.
    made: int = 0
    #: How many were here already.
    known: int = 0
    #: What cannot be taken, with the reason.
    refused: list[Remark] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        refused = [{"what": one.what, "why": one.why} for one in self.refused]
        return {"made": self.made, "known": self.known, "refused": refused}


@dataclass(slots=True)
class Report:
    """What an import has done."""

    source: str
    server: str
    #: Whether all this would only happen.
    is_dry_run: bool = False
    tallies: dict[Kind, Tally] = field(default_factory=lambda: {kind: Tally() for kind in _KINDS})
    #: Roles that have no equal here.
    no_equal: list[Remark] = field(default_factory=list)
    #: What else was not taken.
    not_taken: list[Remark] = field(default_factory=list)
    #: How many builds have another id than there.
    other_ids: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether nothing was refused."""
        return not any(tally.refused for tally in self.tallies.values())

    def refuse(self, kind: Kind, what: str, why: str) -> None:
        """Note that something cannot be taken."""
        self.tallies[kind].refused.append(Remark(what, why))

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "source": self.source,
            "server": self.server,
            "dry_run": self.is_dry_run,
            **{kind: tally.document() for kind, tally in self.tallies.items()},
            "no_equal": [{"what": one.what, "why": one.why} for one in self.no_equal],
            "not_taken": [{"what": one.what, "why": one.why} for one in self.not_taken],
            "other_ids": self.other_ids,
        }

    def write(self) -> None:
        """Write it for people."""
        made = "would be made" if self.is_dry_run else "made"
        write_table(
            ("", made, "known", "refused"),
            [
                (kind, tally.made, tally.known, len(tally.refused))
                for kind, tally in self.tallies.items()
            ],
        )
        for kind, tally in self.tallies.items():
            _write(f"{kind} that are refused", tally.refused)
        _write("roles that have no equal", self.no_equal)
        _write("not taken", self.not_taken)
        if self.other_ids:
            typer.echo(f"\n{self.other_ids} builds have another id here, as theirs was not free")
        if self.is_dry_run:
            say("nothing was changed: leave out --dry-run")


def _write(title: str, remarks: list[Remark]) -> None:
    if not remarks:
        return
    typer.echo(f"\n{title}:")
    for remark in remarks[:_SHOWN]:
        typer.echo(f"  {plain(remark.what)}: {plain(remark.why)}")
    if len(remarks) > _SHOWN:
        typer.echo(f"  … and {len(remarks) - _SHOWN} more: '-o json' has all")
