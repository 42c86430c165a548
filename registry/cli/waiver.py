"""``pullforge waiver``: exceptions from policies, asked for by users, decided by IT."""

from typing import Annotated, Any, Literal

import typer

from registry.cli.api import Api, Document, ask
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
)
from registry.cli.places import ServerOption, environment_place, host_of, version_number
from registry.cli.rights import DaysOption, expiry

waiver = typer.Typer(
    cls=RemoteGroup,
    help="Ask for exceptions from policies, and decide about them.",
    no_args_is_help=True,
)

_Number = Annotated[int, typer.Argument(metavar="ID", help="as 'waiver list' has it", min=1)]
_State = Literal["waiting", "granted", "refused", "ended", "withdrawn"]
#: What a line of a list is, and what is shown of one waiver.
_FIELDS = {
    "waiver": "id",
    "state": "state",
    "policy": "policy",
    "refused because": "refused",
    "lets pass": "spec",
    "holds for": "holds_for",
    "asked for": "environment",
    "reason": "reason",
    "asked by": "requested_by",
    "decided by": "decided_by",
    "decision": "decision",
}


@waiver.command()
def request(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[[HOST/]NAMESPACE/NAME[:VERSION]]",
            help="what was refused; without it, ask for everybody, with --policy and --spec",
        ),
    ] = None,
    *,
    reason: Annotated[str, typer.Option(help="why it is needed: who decides reads it")],
    policy: Annotated[str | None, typer.Option(help="which refuses; default: as it says")] = None,
    spec: Annotated[
        str | None, typer.Option(help="of one package, e.g. 'numpy ==2.3.1'; default: as it says")
    ] = None,
    manager: Annotated[Literal["conda", "pypi"], typer.Option(help="who installs it")] = "conda",
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Ask that a policy lets a package pass, and print the number of the waiver.

    Of an environment it is what its newest version that failed was refused for. When it is
    granted, that version is made by itself.
    """
    body: dict[str, Any] = {"reason": reason, "policy": policy, "spec": spec, "manager": manager}
    host = None
    if name is not None:
        place = environment_place(name)
        if place.namespace == "env":
            raise typer.BadParameter(
                f"{name!r} is nobody's environment: ask for everybody, with --policy and --spec as"
                " the refusal says them"
            )
        host, body["environment"] = place.host, place.path
        if place.tag is not None and place.tag != "latest":
            body["version"] = version_number(place.tag)
    elif policy is None or spec is None:
        raise typer.BadParameter("say an environment, or --policy and --spec")

    async def work(api: Api) -> Document:
        return api.document(await api.send("POST", "waivers", body=body))

    document = ask(host_of(host, server), work)
    if output == "json":
        write_json(document)
        return
    for one in document.objects("items"):
        typer.echo(str(one.number("id")))
        _tell(one)


@waiver.command("list")
def list_(
    namespace: Annotated[
        str | None, typer.Argument(metavar="[NAMESPACE]", help="of its environments alone")
    ] = None,
    state: Annotated[_State | None, typer.Option(help="only those in it")] = None,
    mine: Annotated[bool, typer.Option("--mine", help="only those that you asked for")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many")] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """List the waivers that you may see, the newest first."""
    query = {"namespace": namespace, "state": state, "mine": "true" if mine else None}

    async def work(api: Api) -> Document:
        return await api.all("waivers", query, limit)

    found = ask(server, work)
    if output == "json":
        write_json(found)
        return
    rows = [
        (
            one["id"],
            one["state"],
            one["policy"],
            one["spec"],
            one["environment"] if one["scope"] == "environment" else one["holds_for"],
            one["requested_by"],
            time_of(one["requested_at"]),
            time_of(one["expires_at"]),
            one["refused"] or " ".join(one.words("rule")),
            one["decision"] or one["reason"],
        )
        for one in found.objects("items")
    ]
    columns = (
        *("id", "state", "policy", "lets pass", "for", "asked by", "asked", "ends"),
        *("refused because", "reason"),
    )
    write_page(found, columns, rows)


@waiver.command()
def show(number: _Number, server: ServerOption = None, output: OutputOption = "text") -> None:
    """Show a waiver: what it lets pass, for whom, and what was decided."""

    async def work(api: Api) -> Document:
        return await api.get(f"waivers/{number}")

    _show(ask(server, work), output)


@waiver.command()
def grant(
    number: _Number,
    days: DaysOption = None,
    scope: Annotated[
        Literal["environment", "namespace", "everything"] | None,
        typer.Option("--for", help="where it holds; default: as it was asked for"),
    ] = None,
    spec: Annotated[
        str | None, typer.Option(help="what it lets pass of the same package, if not what is asked")
    ] = None,
    reason: Annotated[str, typer.Option(help="what whoever asked is told")] = "",
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Grant a waiver; what was refused is made by itself. One that holds gets another end."""
    ends = expiry(days)
    body: dict[str, Any] = {"grant": True, "reason": reason, "scope": scope, "spec": spec}
    body["expires_at"] = ends.isoformat() if ends is not None else None
    _show(_decided(server, number, body), output)


@waiver.command()
def refuse(
    number: _Number,
    reason: Annotated[str, typer.Option(help="what whoever asked is told")],
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Refuse a waiver; one that holds is ended. What was built with it stays."""
    _show(_decided(server, number, {"grant": False, "reason": reason}), output)


@waiver.command()
def withdraw(number: _Number, server: ServerOption = None, output: OutputOption = "text") -> None:
    """Withdraw a waiver that you asked for, and that is not decided yet."""

    async def work(api: Api) -> None:
        await api.send("DELETE", f"waivers/{number}")

    ask(server, work)
    if output == "text":
        say(f"waiver {number} is withdrawn")


def _decided(server: str | None, number: int, body: dict[str, Any]) -> Document:
    async def work(api: Api) -> Document:
        return api.document(await api.send("POST", f"waivers/{number}/decision", body=body))

    return ask(server, work)


def _show(document: Document, output: OutputFormat) -> None:
    if output == "json":
        write_json(document)
        return
    fields = {name: document[field] for name, field in _FIELDS.items()}
    fields["rule"] = " ".join(document.words("rule"))
    fields["asked"] = time_of(document["requested_at"])
    fields["ends"] = time_of(document["expires_at"])
    write_fields(fields)
    # An answer to a decision has none: it is made by now.
    for one in document.objects("advisories") if "advisories" in document else ():
        fixed = f", fixed in {plain(one.word('fixed_in'))}" if one["fixed_in"] else ""
        severity = plain(one.word("severity")) or "of no known severity"
        say(f"{plain(one.word('id'))} ({severity}{fixed}): {plain(one.word('summary'))}")


def _tell(document: Document) -> None:
    """Say what a waiver that was asked for lets pass, and for whom: it may be everybody."""
    number, what = document.number("id"), plain(document.word("spec"))
    whom, state = plain(document.word("holds_for")), plain(document.word("state"))
    if state == "granted":
        say(f"waiver {number} lets {what} pass for {whom} already: ask for the version again")
    else:
        say(f"waiver {number} is to let {what} pass for {whom}: 'pullforge waiver show {number}'")
