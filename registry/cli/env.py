"""``pullforge env``: environments with names, versions and a history, on a server."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from registry.catalog.slugs import environment_slug
from registry.cli import env_contents, env_run, env_settings, env_versions
from registry.cli.api import Api, Document, Refused, ask
from registry.cli.ending import WaitOption, policy_lines, told_ending, wait_for_asked
from registry.cli.env_details import detailed, details_of, how_it_is, listed, newest_of, size_of
from registry.cli.following import OPEN
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
    EnvironmentArgument,
    EnvironmentPlace,
    NamespacePlace,
    ServerOption,
    TaggedArgument,
    environment_place,
    host_of,
    namespace_place,
    untagged_place,
    version_number,
)
from registry.cli.remote import RemoteError

env = typer.Typer(
    cls=RemoteGroup,
    help="Make, change, show and run named environments of a server.",
    no_args_is_help=True,
)

_File = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FILE]",
        help="environment.yml, a lock, a list; '-': standard input",
    ),
]
_Note = Annotated[str, typer.Option(help="what is new in this version")]


@env.command()
def create(
    to: Annotated[str, typer.Option("--to", metavar="[HOST/]NAMESPACE/NAME")],
    file: _File = None,
    description: Annotated[str, typer.Option(help="what it is for")] = "",
    note: _Note = "",
    wait: WaitOption = True,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Make an environment from a file, wait for its first version, and print the line to pull it.

    Without a file it has no version yet. The namespace of your own name is made if it is missing.
    Exit code 1: the version could not be built, or the environment could not be made.
    """
    place, data = untagged_place(to), _read(file)

    async def work(api: Api) -> Document:
        made = await _made(api, place, data, description, note)
        if data is None:
            return made
        found = _place_of(place, made)
        version = made.part("version")
        if wait:
            version = await wait_for_asked(api, found, version.number("number"))
            made = await api.get(found.address)
        return Document({**made, "version": version})

    document = ask(host_of(place.host, server), work)
    found = _place_of(place, document)
    if output == "json":
        write_json(document)
    elif data is None:
        typer.echo(plain(document.word("path")))
        say(f"it has no version yet: pullforge env update {found.written} FILE")
    if data is not None:
        try:
            told_ending(found, document.part("version"), output)
        except typer.Exit:
            update_it = f"pullforge env update {found.written} FILE"
            say(f"'{plain(found.path)}' is there without a version: '{update_it}'")
            raise


@env.command("list")
def list_(
    namespace: Annotated[
        str | None, typer.Argument(metavar="[[HOST/]NAMESPACE]", help="of this namespace alone")
    ] = None,
    search: Annotated[str, typer.Option(help="in name or description")] = "",
    package: Annotated[str, typer.Option(help="those whose active version has it")] = "",
    version: Annotated[str, typer.Option(help="exactly this version of the package")] = "",
    deleted: Annotated[
        bool, typer.Option("--deleted", help="also those of the namespace that can be restored")
    ] = False,
    mine: Annotated[
        bool, typer.Option("--mine", help="only where you, or a group of yours, have a role")
    ] = False,
    building: Annotated[
        bool, typer.Option("--building", help="only where a version is being made, or waits")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many")] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """List the environments that you may see; with --package, those that have it."""
    place = NamespacePlace(None, "") if namespace is None else namespace_place(namespace)
    if version and not package:
        raise typer.BadParameter("--version is that of a --package: say which one")
    if deleted and namespace is None:
        raise typer.BadParameter("--deleted is for the environments of a NAMESPACE: say which one")
    query: dict[str, Any] = {"search": search, "package": package, "version": version}
    flags = {"deleted": deleted, "mine": mine, "building": building}
    query |= {name: "true" for name, is_on in flags.items() if is_on}
    path = "environments" if namespace is None else f"{place.address}/environments"

    async def work(api: Api) -> Document:
        found = await listed(api, path, query, limit)
        if namespace is not None and not found.objects("items"):
            # A namespace that is not there has no environments, too: this says which it is.
            await api.get(place.address)
        await _tell_strangers(api)
        return found

    found = ask(host_of(place.host, server), work)
    if output == "json":
        write_json(found)
        return
    rows = [
        (
            one["path"],
            f"v{one['active']}" if one["active"] is not None else None,
            newest_of(one),
            size_of(one),
            time_of(details_of(one).get("last_used_at")),
            "deleted" if one["deleted_at"] is not None else None,
            one["description"],
        )
        for one in found.objects("items")
    ]
    columns = ("environment", "active", "newest", "size", "last used", "", "description")
    write_page(found, columns, rows)


@env.command()
def show(name: TaggedArgument, server: ServerOption = None, output: OutputOption = "text") -> None:
    """Show an environment, or with ':v7' one of its versions."""
    place = environment_place(name)
    if place.tag is not None and place.tag != "latest":
        number = version_number(place.tag)
        path, columns = place.version(number), env_versions.FIELDS
    elif place.tag is not None:
        path, columns = f"{place.address}/active", env_versions.FIELDS
    else:
        path, columns = place.address, _FIELDS

    async def work(api: Api) -> Document:
        return await (detailed(api, path) if place.tag is None else api.get(path))

    document = ask(host_of(place.host, server), work)
    if output == "json":
        write_json(document)
    else:
        fields = {title: document[field] for title, field in columns.items()}
        waits = {"test": document.get("test_command") or None, "proposal": document.get("proposal")}
        fields |= waits | {"blocked": document.get("blocked")} | _kept(document)
        write_fields({**fields, **how_it_is(document)})
        for line in policy_lines(document):
            typer.echo(line)


def _kept(document: Document) -> dict[str, Any]:
    """Return which file defines an environment, and whether it is archived; of a version, nothing.

    Answers of older servers say nothing of it.
    """
    managed: dict[str, Any] = document.get("managed") or {}
    file = f"{managed['path']} of the source '{managed['source']}'" if managed else None
    return {
        "defined by": file,
        "its problem": managed.get("problem"),
        "archived": document.get("archived_at"),
    }


_FIELDS = {
    "environment": "path",
    "name": "name",
    "description": "description",
    "active": "active",
    "image": "image",
    "made by": "created_by",
    "made": "created_at",
    "changed": "updated_at",
}


@env.command()
def update(
    name: EnvironmentArgument,
    file: _File = None,
    note: _Note = "",
    description: Annotated[
        str | None, typer.Option(help="what the environment is for, from now on")
    ] = None,
    activate: Annotated[
        bool, typer.Option("--activate/--no-activate", help="make it active when it is built")
    ] = True,
    propose: Annotated[
        bool, typer.Option("--propose", help="have it wait as a proposal, instead of being active")
    ] = False,
    renew: Annotated[
        bool,
        typer.Option(
            "--renew", help="solve anew, also if nothing was changed; the file is optional"
        ),
    ] = False,
    wait: WaitOption = True,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Ask for a new version of an environment, wait for it, and print the line to pull it.

    With --renew and no file, the active version's file is solved again. With --description alone,
    there is no new version. Exit code 1: the version could not be built.
    """
    place, data = untagged_place(name), _read(file)
    if data is None and not renew and description is None:
        raise typer.BadParameter("say a FILE, --renew, or --description")

    async def work(api: Api) -> tuple[Document, bool]:
        changed: Document | None = None
        if description is not None:
            sent = {"description": description}
            changed = api.document(await api.send("PATCH", place.address, body=sent))
        if data is None and not renew:
            assert changed is not None
            return changed, False
        specification = data if data is not None else await _active_file(api, place)
        query = {
            "note": note,
            "activate": str(activate).lower(),
            "renew": str(renew).lower(),
            **({"propose": "true"} if propose else {}),  # older servers do not know it
        }
        reply = await api.send("POST", f"{place.address}/versions", query=query, body=specification)
        version = api.document(reply)
        if reply.status_code == 200 and version.word("state") not in OPEN:
            say(f"nothing was changed: version {version['number']} is what you sent")
            if version.get("blocked"):
                say(f"but {plain(str(version['blocked']))}")
        if wait:
            version = await wait_for_asked(api, place, version.number("number"))
        return version, True

    document, is_version = ask(host_of(place.host, server), work)
    if output == "json":
        write_json(document)
    elif not is_version:
        typer.echo(plain(document.word("path")))
    if is_version:
        told_ending(place, document, output)
    if is_version and propose:
        say(f"'pullforge proposal show {place.written}' tells what it changes, if it waits")


@env.command()
def copy(
    name: EnvironmentArgument,
    to: Annotated[str, typer.Argument(metavar="NAMESPACE/NAME")],
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Make a new environment that begins with the active version; no bytes are copied."""
    _relocate("copy", name, to, server, output)


@env.command()
def move(
    name: EnvironmentArgument,
    to: Annotated[str, typer.Argument(metavar="NAMESPACE/NAME")],
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Give an environment another name or namespace, with all its versions; no bytes are copied."""
    _relocate("move", name, to, server, output)


@env.command()
def delete(
    name: EnvironmentArgument, server: ServerOption = None, output: OutputOption = "text"
) -> None:
    """Delete an environment; it can be restored."""
    place = untagged_place(name)

    async def work(api: Api) -> None:
        await api.send("DELETE", place.address)

    ask(host_of(place.host, server), work)
    if output == "text":
        say(f"deleted {place.path}; pullforge env restore {place.written} brings it back")


@env.command()
def restore(
    name: EnvironmentArgument, server: ServerOption = None, output: OutputOption = "text"
) -> None:
    """Restore the environment of that name deleted last, as it was."""
    place = untagged_place(name)

    async def work(api: Api) -> Document:
        return api.document(await api.send("POST", f"{place.address}/restore"))

    _show_path(ask(host_of(place.host, server), work), output)


@env.command()
def access(
    name: EnvironmentArgument, server: ServerOption = None, output: OutputOption = "text"
) -> None:
    """Tell what you may do with an environment, and why."""
    place = untagged_place(name)

    async def work(api: Api) -> Document:
        return await api.get(f"{place.address}/access")

    document = ask(host_of(place.host, server), work)
    if output == "json":
        write_json(document)
        return
    write_fields({"user": document["user"] or "(nobody)", "role": document["role"] or "(none)"})
    write_table(
        ("you may", ""),
        [(what, "yes" if may else "no") for what, may in document.part("may").items()],
    )
    for reason in document.words("reasons"):
        typer.echo(plain(reason))


def _relocate(verb: str, name: str, to: str, server: str | None, output: OutputFormat) -> None:
    place, target = untagged_place(name), untagged_place(to)
    if target.host not in {None, place.host}:
        raise typer.BadParameter("both are on one server: write the second without a host")

    async def work(api: Api) -> Document:
        body = {"namespace": target.namespace, "name": target.name}
        return api.document(await api.send("POST", f"{place.address}/{verb}", body=body))

    _show_path(ask(host_of(place.host, server), work), output)


def _show_path(document: Document, output: OutputFormat) -> None:
    if output == "json":
        write_json(document)
    else:
        typer.echo(plain(document.word("path")))


def _read(file: Path | None) -> bytes | None:
    """Return what is to be sent.

    Raises:
        BadParameter: The file cannot be read.
    """
    if file is None:
        return None
    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as exc:
        raise typer.BadParameter(f"{file} cannot be read ({exc.strerror})") from exc


def _place_of(place: EnvironmentPlace, document: Document) -> EnvironmentPlace:
    """Return where an environment is that was made under a name: its slug may be another."""
    namespace, name = document.word("namespace"), document.word("slug")
    return EnvironmentPlace(place.host, namespace, name)


async def _made(
    api: Api, place: EnvironmentPlace, data: bytes | None, description: str, note: str
) -> Document:
    """Make an environment, and its namespace if that is one's own and missing."""

    async def post() -> Document:
        path = f"{NamespacePlace(place.host, place.namespace).address}/environments"
        if data is None:
            body = {"name": place.name, "description": description}
            return api.document(await api.send("POST", path, body=body))
        query = {"name": place.name, "description": description, "note": note}
        return api.document(await api.send("POST", path, query=query, body=data))

    try:
        return await post()
    except Refused as refused:
        if refused.code == "CATALOG_NAME_TAKEN":
            taken = EnvironmentPlace(place.host, place.namespace, environment_slug(place.name))
            if not await _is_there(api, taken):
                raise
            hint = f"'pullforge env update {taken.written} FILE' makes a new version of it"
            raise RemoteError(f"{refused}; {hint}") from refused
        if refused.code != "NAMESPACE_UNKNOWN":
            raise
        me = await api.get("users/me")
        mine = f"/api/v1/{NamespacePlace(None, place.namespace).address}"
        if me.part("links").get("namespace") != mine:
            raise
        await api.send("POST", "namespaces", body={"name": me["name"]})
        say(f"made the namespace {place.namespace}")
    return await post()


async def _tell_strangers(api: Api) -> None:
    """Tell whoever has not logged in that they see what everyone may see."""
    if "authorization" in api.http.headers:
        return
    try:
        await api.get("users/me")
    except Refused as refused:
        if refused.status == 401:
            login = f"'pullforge login {api.host}'"
            say(f"you are not logged in, and see what everyone may see: {login}")


async def _is_there(api: Api, place: EnvironmentPlace) -> bool:
    """Tell whether it is an environment that has the name, and no pushed repository."""
    try:
        await api.get(place.address)
    except Refused:
        return False
    return True


async def _active_file(api: Api, place: EnvironmentPlace) -> bytes:
    active = await api.get(f"{place.address}/active")
    path = f"{place.version(active.number('number'))}/specification"
    return (await api.send("GET", path)).content


env.command("set")(env_settings.set_)
env.command()(env_versions.versions)
env.command()(env_versions.activate)
env.command()(env_versions.diff)
env.command()(env_versions.wait)
env.command()(env_versions.log)
env.command()(env_versions.cancel)
env.command()(env_contents.packages)
env.command()(env_contents.layers)
env.command()(env_contents.having)
env.command(context_settings={"allow_interspersed_args": False})(env_run.run)
