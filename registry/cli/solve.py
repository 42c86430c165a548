"""``pullforge solve`` and ``pullforge search``: what a wish comes to, what may be wished for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.filesize import decimal

from registry.cli.api import Api, Document, Refused, ask
from registry.cli.completion import complete_environment
from registry.cli.output import (
    OutputOption,
    exit_on_remote_error,
    say,
    write_fields,
    write_json,
    write_table,
)
from registry.cli.places import ServerOption, environment_place, host_of, namespace_place

PlaceOption = Annotated[
    str | None,
    typer.Option(
        "--for",
        metavar="[HOST/]NAMESPACE[/NAME]",
        help="by the policies that hold there, not by those of everybody",
        autocompletion=complete_environment,
    ),
]


def solve(
    wanted: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE | PACKAGE...",
            help="a file (environment.yml, a lock), or packages such as 'numpy>=2' python=3.12",
        ),
    ],
    place: PlaceOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="list all packages, not those alone that are asked for")
    ] = False,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Show what a specification comes to today on the server; nothing is built."""
    host, query = _place(place)
    body: dict[str, Any] | bytes = {"specs": wanted}
    path = Path(wanted[0])
    is_file = len(wanted) == 1 and path.is_file()
    if is_file:
        body = path.read_bytes()

    async def work(api: Api) -> Document:
        try:
            return api.document(await api.send("POST", "solve", query=query, body=body))
        except Refused as refused:
            if is_file and refused.line is not None:
                where = f"{path}, line {refused.line}: {refused}"
                raise Refused(where, refused.status, refused.code) from refused
            raise

    with exit_on_remote_error():
        document = ask(host_of(host, server), work)
        if output == "json":
            write_json(document)
            return
        _show(document, everything=everything)


def search(
    name: Annotated[str, typer.Argument(help="a part of a package's name; or all of it")],
    versions: Annotated[
        bool, typer.Option("--versions", help="show the versions of the package of that name")
    ] = False,
    channel: Annotated[str | None, typer.Option(help="of one channel")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="how many at most")] = 20,
    place: PlaceOption = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Find packages by parts of their names, or the versions of one, in the server's channels."""
    host, query = _place(place)
    query = {"namespace": query["namespace"], "channel": channel, "limit": limit}

    async def work(api: Api) -> Document:
        if versions:
            return await api.get(f"packages/{quote(name.lower(), safe='')}/versions", query)
        return await api.get("packages", {**query, "search": name})

    with exit_on_remote_error():
        document = ask(host_of(host, server), work)
        if output == "json":
            write_json(document)
            return
        items = document.objects("items")
        if versions:
            _show_versions(items)
        else:
            rows = [(one["name"], ", ".join(one.words("channels"))) for one in items]
            write_table(("package", "channels"), rows)
            if document.number("count") > len(items):
                say(f"{document.number('count')} are there: say more of the name, or --limit")
        for one in document.words("unavailable"):
            say(f"channel '{one}' does not answer now")
        if not items:
            say(f"there is no package {'' if versions else 'with '}'{name}'")
            raise typer.Exit(1)


def _place(text: str | None) -> tuple[str | None, dict[str, Any]]:
    """Return the host that was said, and whose rules are to hold."""
    if text is None:
        return None, {"namespace": None, "environment": None}
    try:
        namespace = namespace_place(text)
    except typer.BadParameter:
        place = environment_place(text)
        return place.host, {"namespace": place.namespace, "environment": place.name}
    return namespace.host, {"namespace": namespace.namespace, "environment": None}


def _show(document: Document, *, everything: bool) -> None:
    policy = document.part("policy")
    for sentence in [s for kind in ("added", "left_out", "warnings") for s in policy.words(kind)]:
        say(f"policy: {sentence}")
    for platform, sentence in document.part("left_out").items():
        say(f"{platform}: left out: {sentence}")
    write_fields(
        {
            "image": document["image"],
            "key": document["key"],
            "built": "yes" if document["is_built"] else "when it is pulled or asked for",
            "channels": ", ".join(document.words("channels")),
            "base": document["base"],
        }
    )
    platforms = document.part("platforms")
    for name in platforms:
        found = platforms.part(name)
        count = found.number("packages") + found.number("wheels")
        size, layers = decimal(found.number("size_bytes")), len(found.objects("layers"))
        typer.echo(f"\n{name}: {count} packages, {size}, {layers} layers")
        packages = found.objects("installed")
        _show_packages([one for one in packages if everything or one["is_requested"]])


def _show_packages(packages: Sequence[Document]) -> None:
    rows = [
        (one["name"], one["version"], one["build"], one["channel"] or "PyPI") for one in packages
    ]
    write_table(("package", "version", "build", "from"), rows)


def _show_versions(items: Sequence[Document]) -> None:
    rows = [
        (
            one["version"],
            one["channel"],
            str(one["published_at"] or "")[:10],
            decimal(one.number("size_bytes")),
            ", ".join(one.words("platforms")),
            one["licence"],
        )
        for one in items
    ]
    write_table(("version", "channel", "published", "size", "platforms", "licence"), rows)
