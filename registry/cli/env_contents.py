"""``pullforge env``, about what versions consist of: packages and layers."""

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.filesize import decimal

from registry.cli.api import Api, Document, ask
from registry.cli.env_versions import active_of, number_of
from registry.cli.output import (
    OutputOption,
    plain,
    say,
    write_fields,
    write_json,
    write_page,
    write_table,
)
from registry.cli.places import (
    EnvironmentPlace,
    ServerOption,
    TaggedArgument,
    environment_place,
    host_of,
    version_number,
)

_Platform = Annotated[str, typer.Option(help="another than the first, as 'linux-aarch64'")]


def packages(
    name: TaggedArgument,
    platform: _Platform = "",
    search: Annotated[str, typer.Option(help="in the names of packages")] = "",
    requested: Annotated[
        bool, typer.Option("--requested", help="only what was asked for, or added by a policy")
    ] = False,
    advisories: Annotated[
        bool, typer.Option("--advisories", help="only those with a known vulnerability")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many")] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """List the packages of a version, the active one if none is said; '*' was asked for."""
    place = environment_place(name)
    query: dict[str, Any] = {"platform": platform, "search": search}
    query |= {"requested": "true"} if requested else {}
    query |= {"advisories": "true"} if advisories else {}

    async def work(api: Api) -> Document:
        path = f"{place.version(await _said_or_active(api, place))}/packages"
        whole = await api.get(path, {"platform": platform, "limit": 1})
        return Document({**whole, **await api.all(path, query, limit)})

    found = ask(host_of(place.host, server), work)
    if output == "json":
        write_json(found)
        return
    rows = [
        (
            "*" if one["is_requested"] else None,
            one["name"],
            one["version"],
            one["build"],
            one["channel"] or one["manager"],
            one["licence"],
            _size(one["size_bytes"]),
            _about(one),
        )
        for one in found.objects("items")
    ]
    columns = ("", "package", "version", "build", "from", "licence", "size", "")
    write_page(found, columns, rows)
    for one in found.objects("requested"):
        if one["version"] is None:
            say(f"'{plain(str(one['spec']))}' was asked for, and is not there")


def layers(
    name: TaggedArgument,
    platform: _Platform = "",
    before: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="that a node has; default: the one before"),
    ] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Show the layers of a version, the active one if none is said, and what a node fetches."""
    place = environment_place(name)
    query: dict[str, Any] = {"platform": platform}
    if before is not None:
        query["before"] = version_number(before)

    async def work(api: Api) -> Document:
        number = await _said_or_active(api, place)
        return await api.get(f"{place.version(number)}/layers", query)

    found = ask(host_of(place.host, server), work)
    if output == "json":
        write_json(found)
        return
    rows = [
        (
            "+" if one["is_new"] else None,
            _size(one["size_bytes"]),
            one.word("digest")[:19],
            ", ".join(one.words("packages")) or plain(one.word("kind")),
        )
        for one in found.objects("layers")
    ]
    write_table(("", "size", "digest", "packages"), rows)
    write_fields({"platform": found["platform"], "size": _size(found["size_bytes"])})
    fetched = found.get("fetched")
    if isinstance(fetched, Mapping) and fetched["bytes"] is not None:
        said = f"{decimal(fetched['bytes'])} in {fetched['layers']} layers"
        typer.echo(f"a node that has v{fetched['version']} fetches {said}")
    if not found["is_there"]:
        say("it is not in the store at this moment: pulling it makes it again")


def having(
    package: Annotated[str, typer.Argument(metavar="PACKAGE", help="its name")],
    version: Annotated[str, typer.Option(help="a condition on it, such as '>=3,<3.2'")] = "",
    namespace: Annotated[str, typer.Option(help="in this namespace alone")] = "",
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many")] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """List the environments whose active version has a package, and which version of it."""
    query = {"version": version, "namespace": namespace}

    async def work(api: Api) -> Document:
        return await api.all(f"packages/{quote(package, safe='')}/environments", query, limit)

    found = ask(server, work)
    if output == "json":
        write_json(found)
        return
    rows = [
        (
            one["environment"],
            f"v{one['active']}",
            f"{one['version']} {one['build'] or ''}".rstrip(),
            one["advisories"] or None,
            one["owner"],
        )
        for one in found.objects("items")
    ]
    write_page(found, ("environment", "active", plain(package), "advisories", "owner"), rows)


async def _said_or_active(api: Api, place: EnvironmentPlace) -> int:
    """Return the number of the version that was said, or of the active one."""
    return await (active_of if place.tag is None else number_of)(api, place)


def _size(size_bytes: object) -> str | None:
    return decimal(size_bytes) if isinstance(size_bytes, int) else None


def _about(package: Document) -> str:
    """Return what there is to know of a package beside what it is."""
    found = [
        f"{one['id']}" + (f" (fixed in {one['fixed_in']})" if one["fixed_in"] else "")
        for one in package.objects("advisories")
    ]
    found += [str(one["sentence"]) for one in package.objects("findings")]
    if package["added_because"]:
        found.append(str(package["added_because"]))
    return "; ".join(found)
