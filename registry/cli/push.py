"""``pullforge push``."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console

from registry.auth.authorities import trusted_authorities
from registry.cli.remote import RemoteError, client_headers, credentials, push_file


def push(
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="environment.yml, a lock, a list")
    ],
    to: Annotated[str, typer.Option("--to", metavar="HOST", help="HOST[:PORT], or an address")],
    renew: Annotated[
        bool, typer.Option(help="solve anew although the server knows the file")
    ] = False,
    user: Annotated[
        str | None, typer.Option(help="log in by this name; else as ~/.netrc says, if it does")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="write what the server answers")] = False,
) -> None:
    """Send a file to a server, wait for its build, and print its key and image.

    Exit code 1: the server cannot build it, or does not answer.
    """
    password = typer.prompt("password", hide_input=True, err=True) if user is not None else ""
    auth = httpx.BasicAuth(user, password) if user is not None else credentials()
    console = Console(stderr=True)

    async def work() -> dict[str, object]:
        # An event comes at least every 15 s.
        timeout, trusted = httpx.Timeout(30, read=60), trusted_authorities()
        async with httpx.AsyncClient(
            auth=auth, headers=client_headers(), timeout=timeout, verify=trusted
        ) as http:
            with console.status(f"sending {file.name}") as status:
                return await push_file(http, to, file.read_bytes(), status.update, renew=renew)

    try:
        document = asyncio.run(work())
    except RemoteError as exc:
        typer.echo(f"pullforge: {exc}", err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(document))
    else:
        typer.echo(f"{document['key']}\n{document['image']}")
