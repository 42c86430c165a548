"""``pullforge proposal``: versions that are built and wait for somebody to activate them."""

from typing import Annotated, Any, Final, Literal

import typer

from registry.cli.api import Api, Document, ask
from registry.cli.env_versions import show_diff
from registry.cli.output import (
    OutputFormat,
    OutputOption,
    RemoteGroup,
    plain,
    say,
    time_of,
    write_fields,
    write_json,
    write_page,
    write_table,
)
from registry.cli.places import (
    NamespacePlace,
    ServerOption,
    host_of,
    namespace_place,
    untagged_place,
)
from registry.cli.remote import RemoteError

proposal = typer.Typer(
    cls=RemoteGroup,
    help="See what waits to be activated, test it, and decide about it.",
    no_args_is_help=True,
)

_Which = Annotated[
    str,
    typer.Argument(
        metavar="ID|NAMESPACE/NAME", help="its number, or its environment: the one that waits there"
    ),
]
_Reason = Annotated[str, typer.Option(help="what others are told")]
_State = Literal["open", "activated", "rejected", "replaced"]
_FIELDS: Final = {
    "proposal": "id",
    "state": "state",
    "environment": "environment",
    "version": "version",
    "in place of": "base",
    "made for": "reason",
    "note": "note",
    "asked by": "requested_by",
    "decided by": "decided_by",
    "decision": "decision",
    "waits because": "held",
    "blocked": "blocked",
}
#: So many lines of what a test wrote are shown; all of what is kept is in the document.
_LINES: Final = 40


@proposal.command("list")
def list_(
    where: Annotated[
        str | None,
        typer.Argument(metavar="[[HOST/]NAMESPACE[/NAME]]", help="of its environments, or of it"),
    ] = None,
    state: Annotated[_State | None, typer.Option(help="only those in it")] = None,
    every: Annotated[bool, typer.Option("--all", help="also those that are decided")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many")] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """List the proposals that wait, the newest first; with --all, also those that do no more."""
    if every and state is not None:
        raise typer.BadParameter("--all and --state do not go together")
    place, environment = _place(where)
    query = {
        "namespace": place.namespace or None,
        "environment": environment,
        "state": None if every else state or "open",
    }

    async def work(api: Api) -> Document:
        return await api.all("proposals", query, limit)

    found = ask(host_of(place.host, server), work)
    if output == "json":
        write_json(found)
        return
    rows = [
        (
            one["id"],
            one["state"],
            one["environment"],
            f"v{one['version']}",
            f"v{one['base']}" if one["base"] is not None else None,
            one.part("test")["state"],
            time_of(one["created_at"]),
            one["blocked"] or one["held"] or one["decision"] or one["note"],
        )
        for one in found.objects("items")
    ]
    columns = ("id", "state", "environment", "version", "in place of", "test", "since", "note")
    write_page(found, columns, rows)


@proposal.command()
def show(which: _Which, server: ServerOption = None, output: OutputOption = "text") -> None:
    """Show a proposal: what it changes, and what its test wrote."""
    host = _host(which)

    async def work(api: Api) -> Document:
        return await api.get(f"proposals/{await _number(api, which)}")

    document = ask(host_of(host, server), work)
    if output == "json":
        write_json(document)
        return
    _write(document)
    if document["diff"] is not None:
        show_diff(document.part("diff"))
    _write_advisories(document)
    for one in document.objects("findings"):
        say(f"policy {plain(one.word('policy'))}: {plain(one.word('sentence'))}")
    for line in document.word("test_output").splitlines()[-_LINES:]:
        typer.echo("".join(filter(str.isprintable, line)))


@proposal.command()
def activate(
    which: _Which,
    reason: _Reason = "",
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Make a proposal the active version: ':latest' is that from now on, on every server."""
    document = _decided(which, server, {"activate": True, "reason": reason})
    if output == "json":
        write_json(document)
    else:
        say(f"version {document['version']} of {plain(document.word('environment'))} is active")


@proposal.command()
def reject(
    which: _Which,
    reason: _Reason = "",
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Reject a proposal; a schedule does not propose the same again until something changes."""
    document = _decided(which, server, {"activate": False, "reason": reason})
    if output == "json":
        write_json(document)
    else:
        place = plain(document.word("environment"))
        say(f"proposal {document['id']} of {place} is rejected; its version stays")


@proposal.command("test")
def run_test(which: _Which, server: ServerOption = None, output: OutputOption = "text") -> None:
    """Run the test of a proposal again, with the command that its environment has now."""

    async def work(api: Api) -> Document:
        number = await _number(api, which)
        return api.document(await api.send("POST", f"proposals/{number}/test"))

    _show(ask(host_of(_host(which), server), work), output)


def _decided(which: str, server: str | None, body: dict[str, Any]) -> Document:
    async def work(api: Api) -> Document:
        number = await _number(api, which)
        return api.document(await api.send("POST", f"proposals/{number}/decision", body=body))

    return ask(host_of(_host(which), server), work)


async def _number(api: Api, which: str) -> int:
    """Return the number of a proposal that was said by it, or by its environment.

    Raises:
        BadParameter: It is neither.
        RemoteError: None waits there.
    """
    if which.isascii() and which.isdecimal():
        return int(which)
    place = untagged_place(which)
    found = (await api.get(place.address))["proposal"]
    if not isinstance(found, int):
        raise RemoteError(
            f"no proposal waits in {place.path}: 'pullforge proposal list --all {place.written}'"
            " lists those that were decided"
        )
    return found


def _host(which: str) -> str | None:
    return None if which.isascii() and which.isdecimal() else untagged_place(which).host


def _place(where: str | None) -> tuple[NamespacePlace, str | None]:
    """Return the namespace that was said, if one was, and the environment of it, if one was."""
    if where is None:
        return NamespacePlace(None, ""), None
    try:
        return namespace_place(where), None
    except typer.BadParameter:
        place = untagged_place(where)
        return NamespacePlace(place.host, place.namespace), place.name


def _show(document: Document, output: OutputFormat) -> None:
    if output == "json":
        write_json(document)
    else:
        _write(document)


def _write(document: Document) -> None:
    fields = {name: document[field] for name, field in _FIELDS.items()}
    told, seconds = document.part("test"), document.part("test")["seconds"]
    took = f" after {seconds:g} s" if isinstance(seconds, int | float) else ""
    fields["test"] = f"{told['state']}{took}" if told["command"] else None
    fields["test command"] = told["command"] or None
    fields["test says"] = told["message"] or None
    fields["since"] = time_of(document["created_at"])
    fields["decided"] = time_of(document["decided_at"])
    write_fields(fields)


def _write_advisories(document: Document) -> None:
    if document["advisories"] is None:
        return
    told = document.part("advisories")
    rows = [
        (kind, one["id"], one["severity"], one["package"], one["version"], one["summary"])
        for kind in ("fixed", "new")
        for one in told.objects(kind)
    ]
    if rows:
        write_table(("", "advisory", "severity", "package", "version", "summary"), rows)
    for kind in ("fixed", "new"):
        more = told.number(f"{kind}_count") - len(told.objects(kind))
        if more:
            say(f"and {more} more are {kind}")
