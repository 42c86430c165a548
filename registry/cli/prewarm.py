"""``pullforge prewarm``."""

import asyncio
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

import httpx
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from builder.oci.models import OCI_INDEX, OCI_MANIFEST
from registry.auth.authorities import trusted_authorities
from registry.cli.remote import RemoteError, address_of, client_headers, credentials, no_answer

#: How many are made at once, unless it is said otherwise.
_PARALLEL = 4
#: How often an image that is still being made is asked for, each time for minutes.
_ROUNDS: Final = 30
_RETRY_SECONDS: Final = 10
#: What most clients take.
_ACCEPT: Final = f"{OCI_INDEX}, {OCI_MANIFEST}"


def prewarm(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, help="a reference a line: env/numpy.pandas, build/KEY, …"
        ),
    ],
    to: Annotated[str, typer.Option("--to", metavar="HOST", help="HOST[:PORT], or an address")],
    parallel: Annotated[int, typer.Option(min=1, max=64, help="how many at once")] = _PARALLEL,
) -> None:
    """Have a server make images before anybody waits for them.

    Empty lines and what follows a # are left out. Exit code 1: some could not be made; each is
    named with the reason.
    """
    lines = [line.partition("#")[0].strip() for line in file.read_text("utf-8").splitlines()]
    failed = asyncio.run(_prewarm(to, [line for line in lines if line], parallel))
    for reference, why in failed.items():
        typer.echo(f"pullforge: {reference}: {why}", err=True)
    if failed:
        raise typer.Exit(1)


async def warm(http: httpx.AsyncClient, server: str, reference: str) -> None:
    """Return when the server has the image of ``reference``, e.g. ``env/numpy:py3.12``.

    Raises:
        RemoteError: It cannot make it, or does not answer.
    """
    repository, _, tag = reference.partition(":")
    url = f"{server}/v2/{quote(repository)}/manifests/{quote(tag or 'latest')}"
    try:
        # A build that takes longer than a client waits is asked for again.
        for _ in range(_ROUNDS):
            reply = await http.get(url, headers={"accept": _ACCEPT}, follow_redirects=True)
            if reply.status_code != 429:
                break
            await asyncio.sleep(_RETRY_SECONDS)
    except httpx.HTTPError as exc:
        raise RemoteError(no_answer(server, exc)) from exc
    if reply.is_success:
        return
    try:
        message = reply.json()["errors"][0]["message"]
    except (ValueError, LookupError, TypeError):
        message = f"the server answered {reply.status_code}: it is no pullforge server"
    raise RemoteError(message)


async def _prewarm(to: str, references: list[str], parallel: int) -> dict[str, str]:
    """Return what could not be made, and why, in the order of ``references``."""
    failed: dict[str, str] = {}
    slots = asyncio.Semaphore(parallel)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("making images", total=len(references))
        timeout, trusted = httpx.Timeout(30, read=60), trusted_authorities()
        async with httpx.AsyncClient(
            auth=credentials(), headers=client_headers(), timeout=timeout, verify=trusted
        ) as http:

            async def one(reference: str) -> None:
                async with slots:
                    try:
                        await warm(http, address_of(to), reference)
                    except RemoteError as exc:
                        failed[reference] = str(exc)
                    progress.update(bar, advance=1, description=reference)

            await asyncio.gather(*(one(reference) for reference in references))
    return {reference: failed[reference] for reference in references if reference in failed}
