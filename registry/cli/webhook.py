"""``pullforge webhook``: whom events are sent to, and what was sent."""

import asyncio
import sys
import time
from typing import Annotated, Any, Final, Literal

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
from registry.cli.places import ServerOption

webhook = typer.Typer(
    cls=RemoteGroup,
    help="Have what happens sent to programs, chat services and people.",
    no_args_is_help=True,
)

_Number = Annotated[int, typer.Argument(metavar="ID", help="as 'webhook list' has it", min=1)]
_Delivery = Annotated[
    int, typer.Argument(metavar="DELIVERY", help="as 'webhook deliveries' has it", min=1)
]
_Environment = Annotated[
    str | None, typer.Option(help="only events of these, e.g. 'forecast-*'; default: of all")
]
_Action = Annotated[
    list[str] | None, typer.Option("--action", help="only these, e.g. 'version.*'; several times")
]
_Format = Annotated[
    Literal["standard", "chat"] | None,
    typer.Option("--format", help="'chat' for Slack, Mattermost and their like"),
]
#: What is shown of one webhook.
_FIELDS: Final = {
    "webhook": "id",
    "state": "state",
    "problem": "problem",
    "namespace": "namespace",
    "environments": "environment",
    "to": "url",
    "kind": "kind",
    "format": "format",
    "made by": "created_by",
}
#: For how long the end of what is sent is waited for.
_PATIENCE_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.2


@webhook.command()
def create(
    to: Annotated[
        str,
        typer.Argument(
            metavar="URL|MAIL|-",
            help="https://example.org/hook, ada@example.org; '-': as standard input has it",
        ),
    ],
    namespace: Annotated[
        str | None, typer.Option(help="whose events; without it, of everything (administrators)")
    ] = None,
    environment: _Environment = None,
    action: _Action = None,
    format_: _Format = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Send events from now on, and print the secret by which they are signed: only here.

    Mail is not signed and has no secret. Without --action, people get what they want to read of,
    and programs get everything.
    """
    if to == "-":  # its token is in no list of processes
        to = sys.stdin.readline().strip()
    kind = "webhook" if "://" in to else "mail"
    body: dict[str, Any] = {"url": to, "namespace": namespace, "kind": kind, "actions": action}
    body |= {"environment": environment} if environment is not None else {}
    body |= {"format": format_} if format_ is not None else {}

    async def work(api: Api) -> Document:
        return api.document(await api.send("POST", "webhooks", body=body))

    document = ask(server, work)
    if output == "json":
        write_json(document)
        return
    if document["secret"]:
        typer.echo(document.word("secret"))
    number = document.number("id")
    say(f"events are sent there by webhook {number}: 'pullforge webhook ping {number}' tries it")


@webhook.command("list")
def list_(
    namespace: Annotated[
        str | None, typer.Argument(metavar="[NAMESPACE]", help="of its events alone")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many")] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """List the webhooks that you manage."""

    async def work(api: Api) -> Document:
        return await api.all("webhooks", {"namespace": namespace}, limit)

    found = ask(server, work)
    if output == "json":
        write_json(found)
        return
    rows = [
        (
            one["id"],
            one["state"],
            one["namespace"] or "everything",
            one["environment"],
            one["url"],
            one["format"] if one["kind"] == "webhook" else "mail",
            " ".join(one.words("actions")) if one["actions"] else "all",
            one["problem"],
        )
        for one in found.objects("items")
    ]
    columns = ("id", "state", "of", "environments", "to", "as", "events", "problem")
    write_page(found, columns, rows)


@webhook.command()
def show(number: _Number, server: ServerOption = None, output: OutputOption = "text") -> None:
    """Show a webhook."""

    async def work(api: Api) -> Document:
        return await api.get(f"webhooks/{number}")

    _show(ask(server, work), output)


@webhook.command()
def update(
    number: _Number,
    to: Annotated[str | None, typer.Option(help="another address")] = None,
    environment: _Environment = None,
    action: _Action = None,
    format_: _Format = None,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="it goes on where it was")
    ] = None,
    skip: Annotated[bool, typer.Option("--skip", help="forget what waits to be sent")] = False,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Change a webhook, or stop it and have it go on."""
    wanted = {
        "url": to,
        "environment": environment,
        "actions": action,
        "format": format_,
        "enabled": enabled,
        "skip": skip or None,
    }
    body = {name: value for name, value in wanted.items() if value is not None}

    async def work(api: Api) -> Document:
        return api.document(await api.send("PATCH", f"webhooks/{number}", body=body))

    _show(ask(server, work), output)


@webhook.command()
def rotate(number: _Number, server: ServerOption = None, output: OutputOption = "text") -> None:
    """Make a new secret and print it: only here. The one before signs as well for a day."""

    async def work(api: Api) -> Document:
        return api.document(await api.send("POST", f"webhooks/{number}/rotate"))

    document = ask(server, work)
    if output == "json":
        write_json(document)
        return
    typer.echo(document.word("secret"))
    until = time_of(document["old_secret_until"])
    say(f"what webhook {number} sends is signed with the secret before, too, until {until}")


@webhook.command()
def ping(number: _Number, server: ServerOption = None, output: OutputOption = "text") -> None:
    """Send an event that means nothing, and say what came of it."""
    _sent(server, f"webhooks/{number}/ping", number, output)


@webhook.command()
def resend(
    number: _Number,
    delivery: _Delivery,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Send once more what was sent, and say what came of it."""
    _sent(server, f"webhooks/{number}/deliveries/{delivery}/resend", number, output)


@webhook.command()
def deliveries(
    number: _Number,
    state: Annotated[
        Literal["waiting", "delivered", "failed"] | None, typer.Option(help="only those in it")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many")] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """List what was sent within thirty days, the newest first."""

    async def work(api: Api) -> Document:
        return await api.all(f"webhooks/{number}/deliveries", {"state": state}, limit)

    found = ask(server, work)
    if output == "json":
        write_json(found)
        return
    rows = [
        (
            one["id"],
            one["action"] or "(purged)",
            one["event"],
            one["state"],
            one["attempt"] or "again",
            time_of(one["ended_at"] or one["created_at"]),
            "" if one["duration_ms"] is None else f"{one['duration_ms']} ms",
            one["message"] or one["status"],
        )
        for one in found.objects("items")
    ]
    columns = ("id", "what", "event", "state", "attempt", "at", "took", "answer")
    write_page(found, columns, rows)


@webhook.command()
def delete(number: _Number, server: ServerOption = None, output: OutputOption = "text") -> None:
    """Delete a webhook; what waits to be sent there is forgotten."""

    async def work(api: Api) -> None:
        await api.send("DELETE", f"webhooks/{number}")

    ask(server, work)
    if output == "text":
        say(f"webhook {number} is deleted")


def _sent(server: str | None, path: str, number: int, output: OutputFormat) -> None:
    """Have something sent, and say what came of it; end with 1 if it was not taken."""

    async def work(api: Api) -> Document:
        document = api.document(await api.send("POST", path))
        where = f"webhooks/{number}/deliveries/{document.number('id')}"
        until = time.monotonic() + _PATIENCE_SECONDS
        while document["state"] == "waiting" and time.monotonic() < until:
            await asyncio.sleep(_PAUSE_SECONDS)
            document = await api.get(where)
        return document

    document = ask(server, work)
    if output == "json":
        write_json(document)
    elif document["state"] == "delivered":
        status = f", with {document['status']}" if document["status"] is not None else ""
        say(f"it was taken in {document['duration_ms']} ms{status}")
    else:
        waits = "it waits to be sent: see 'pullforge webhook deliveries'"
        say(plain(document.word("message")) or waits)
    if document["state"] != "delivered":
        raise typer.Exit(1)


def _show(document: Document, output: OutputFormat) -> None:
    if output == "json":
        write_json(document)
        return
    fields = {name: document[field] for name, field in _FIELDS.items()}
    fields["events"] = " ".join(document.words("actions")) if document["actions"] else "all"
    fields["made"] = time_of(document["created_at"])
    if document["failing_since"] is not None:
        fields["fails since"] = time_of(document["failing_since"])
        fields["tried again"] = time_of(document["next_at"])
    write_fields(fields)
