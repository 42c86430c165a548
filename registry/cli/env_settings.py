"""``pullforge env set``: what holds for an environment, beside its versions."""

from typing import Annotated, Any

import typer

from registry.cli.api import Api, Document, ask
from registry.cli.output import OutputOption, plain, say, write_json
from registry.cli.places import EnvironmentArgument, ServerOption, host_of, untagged_place


def set_(
    name: EnvironmentArgument,
    test: Annotated[
        str | None,
        typer.Option(metavar="COMMAND", help="what proposals have to pass, for a shell; '': none"),
    ] = None,
    description: Annotated[str | None, typer.Option(help="what it is for")] = None,
    archived: Annotated[
        bool | None,
        typer.Option(
            "--archive/--unarchive", help="keep it as it is: it can be pulled, and is not changed"
        ),
    ] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Say what holds for an environment from now on; what is left out stays."""
    said: dict[str, Any] = {
        "test_command": test,
        "description": description,
        "archived": archived,
    }
    body = {field: value for field, value in said.items() if value is not None}
    if not body:
        raise typer.BadParameter("say --test, --description, --archive or --unarchive")
    place = untagged_place(name)

    async def work(api: Api) -> Document:
        return api.document(await api.send("PATCH", place.address, body=body))

    document = ask(host_of(place.host, server), work)
    if output == "json":
        write_json(document)
        return
    typer.echo(plain(document.word("path")))
    if test:
        say("its next proposals are tested so; 'pullforge proposal test' tests the one that waits")
