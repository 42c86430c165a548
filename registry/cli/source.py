"""``pullforge source``: where files are that define environments."""

from typing import Annotated, Any, Final, Literal

import typer

from registry.cli.api import Api, Document, ask
from registry.cli.output import (
    OutputFormat,
    OutputOption,
    RemoteGroup,
    say,
    time_of,
    write_fields,
    write_json,
    write_page,
)
from registry.cli.places import ServerOption

source = typer.Typer(
    cls=RemoteGroup,
    help="Have files define environments: those of a directory, or of a repository.",
    no_args_is_help=True,
)

_Number = Annotated[int, typer.Argument(metavar="ID", help="as 'source list' has it", min=1)]
_Problems = Annotated[
    bool, typer.Option("--problems", help="only those of which something cannot be used")
]
_Limit = Annotated[int | None, typer.Option(min=1, help="at most so many")]
_Branch = Annotated[str | None, typer.Option(help="of a repository; default: its own default")]
_Folder = Annotated[str | None, typer.Option(help="of a repository; default: all of it")]
_Pattern = Annotated[
    list[str] | None,
    typer.Option(
        help="which path is which environment, e.g. '{environment}/environment.yml'; may be said"
        " several times"
    ),
]
_Removed = Annotated[
    Literal["keep", "archive", "delete"] | None,
    typer.Option(help="what becomes of an environment whose file is gone; at first keep"),
]
_Edits = Annotated[
    Literal["refuse", "propose"] | None,
    typer.Option(help="what becomes of edits elsewhere; at first they are refused"),
]
_Activate = Annotated[
    bool | None,
    typer.Option(
        "--activate/--propose", help="whether new versions become active; at first they do"
    ),
]
#: What is shown of one source.
_FIELDS: Final = {
    "source": "id",
    "name": "name",
    "namespace": "namespace",
    "kind": "kind",
    "location": "location",
    "branch": "branch",
    "folder": "folder",
    "when a file is gone": "removed",
    "edits elsewhere": "edits",
    "problem": "problem",
    "commit": "commit",
    "files": "files",
    "that cannot be used": "problems",
}


@source.command("list")
def list_(
    namespace: Annotated[
        str | None, typer.Argument(metavar="[NAMESPACE]", help="of its environments alone")
    ] = None,
    problems: _Problems = False,
    limit: _Limit = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """List the sources that you may see, the oldest first."""
    query = {"namespace": namespace, "problems": "true" if problems else None}

    async def work(api: Api) -> Document:
        return await api.all("sources", query, limit)

    found = ask(server, work)
    if output == "json":
        write_json(found)
        return
    rows = [
        (
            one["id"],
            one["name"],
            one["namespace"],
            one["kind"],
            one["location"],
            one["files"],
            one["problems"],
            time_of(one["looked_at"]),
            one["problem"],
        )
        for one in found.objects("items")
    ]
    columns = ("id", "name", "namespace", "kind", "location", "files", "bad", "looked", "problem")
    write_page(found, columns, rows)


@source.command()
def show(number: _Number, server: ServerOption = None, output: OutputOption = "text") -> None:
    """Show a source, and why it cannot be looked at, if that is so."""

    async def work(api: Api) -> Document:
        return await api.get(f"sources/{number}")

    _show(ask(server, work), output)


@source.command()
def files(
    number: _Number,
    problems: _Problems = False,
    limit: _Limit = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """List the files of a source: which environment each defines, and what is wrong with it."""
    query = {"problems": "true" if problems else None}

    async def work(api: Api) -> Document:
        return await api.all(f"sources/{number}/files", query, limit)

    found = ask(server, work)
    if output == "json":
        write_json(found)
        return
    rows = [
        (one["path"], one["environment"], time_of(one["seen_at"]), one["problem"])
        for one in found.objects("items")
    ]
    write_page(found, ("path", "environment", "changed", "problem"), rows)


@source.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="by which people know it")],
    location: Annotated[
        str,
        typer.Argument(
            metavar="LOCATION", help="https://HOST/REPOSITORY; of an administrator, /PATH, too"
        ),
    ],
    namespace: Annotated[
        str | None,
        typer.Option(help="whose environments; without it, patterns say it by '{namespace}'"),
    ] = None,
    branch: _Branch = None,
    folder: _Folder = None,
    pattern: _Pattern = None,
    removed: _Removed = None,
    edits: _Edits = None,
    activate: _Activate = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Have the files of a repository, or of a directory of the server, define environments.

    Files of this machine do so with 'pullforge watch'.
    """
    said = _said(
        branch=branch,
        folder=folder,
        patterns=pattern,
        removed=removed,
        edits=edits,
        activate=activate,
    )
    kind = "directory" if location.startswith("/") else "git"
    body = {"name": name, "kind": kind, "location": location, "namespace": namespace, **said}

    async def work(api: Api) -> Document:
        return api.document(await api.send("POST", "sources", body=body))

    _show(ask(server, work), output)


@source.command()
def update(
    number: _Number,
    name: Annotated[str | None, typer.Option(help="by which people know it")] = None,
    location: Annotated[str | None, typer.Option(help="where it is from now on")] = None,
    branch: _Branch = None,
    folder: _Folder = None,
    pattern: _Pattern = None,
    removed: _Removed = None,
    edits: _Edits = None,
    activate: _Activate = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Change a source; what is not said stays as it is. '--pattern ""' takes the usual ones."""
    body = _said(
        name=name,
        location=location,
        branch=branch,
        folder=folder,
        patterns=None if pattern is None else [one for one in pattern if one],
        removed=removed,
        edits=edits,
        activate=activate,
    )
    if not body:
        raise typer.BadParameter("say what is to be changed, as --location")

    async def work(api: Api) -> Document:
        return api.document(await api.send("PATCH", f"sources/{number}", body=body))

    _show(ask(server, work), output)


@source.command()
def look(number: _Number, server: ServerOption = None, output: OutputOption = "text") -> None:
    """Have a server look at a source at once; what could not be used is tried again."""

    async def work(api: Api) -> Document:
        return api.document(await api.send("POST", f"sources/{number}/look"))

    document = ask(server, work)
    if output == "json":
        write_json(document)
        return
    say(f"source {number} is looked at as soon as a server can: 'pullforge source show {number}'")


@source.command()
def hook(
    number: _Number,
    drop: Annotated[
        bool, typer.Option("--drop", help="have no host tell of pushes any more")
    ] = False,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Print a new secret, by which the host of a repository tells of pushes, and where it does.

    The host is told both: as a webhook for pushes, with this as its secret (GitLab: secret token).
    A secret of before is good no more.
    """

    async def work(api: Api) -> Document | None:
        method = "DELETE" if drop else "POST"
        reply = await api.send(method, f"sources/{number}/hook")
        return None if drop else api.document(reply)

    document = ask(server, work)
    if document is None:
        say(f"no host tells of pushes to source {number} any more")
    elif output == "json":
        write_json(document)
    else:
        write_fields({"url": document["url"], "secret": document["secret"]})


@source.command()
def delete(number: _Number, server: ServerOption = None, output: OutputOption = "text") -> None:
    """Delete a source; its environments stay, and are edited on the server from then on."""

    async def work(api: Api) -> None:
        await api.send("DELETE", f"sources/{number}")

    ask(server, work)
    if output == "text":
        say(f"source {number} is deleted")


def _said(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _show(document: Document, output: OutputFormat) -> None:
    if output == "json":
        write_json(document)
        return
    fields = {name: document[field] for name, field in _FIELDS.items()}
    fields["patterns"] = ", ".join(document.words("patterns")) or "the usual ones"
    fields["new versions"] = "become active" if document["activate"] else "are proposals"
    fields["looked at"] = time_of(document["looked_at"])
    if document["is_declared"]:
        fields["declared by"] = "PULLFORGE_WATCH"
    write_fields(fields)
