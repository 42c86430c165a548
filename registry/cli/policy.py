"""``pullforge policy``: what may be built, as IT and the admins of namespaces set it."""

from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from registry.cli.api import Api, Document, ask
from registry.cli.output import (
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
from registry.cli.places import ServerOption, host_of, namespace_place

policy = typer.Typer(
    cls=RemoteGroup,
    help="Set, try and show what may be built, and list what breaks it.",
    no_args_is_help=True,
)

#: The server takes no longer text.
_MAX_BYTES: Final = 256 * 1024
#: So many versions stand in one cell.
_MAX_VERSIONS: Final = 3

_File = Annotated[Path, typer.Argument(metavar="FILE", help="a policy, as TOML")]
_Name = Annotated[str, typer.Argument(metavar="NAME", help="as 'policy list' has it")]
_Own = Annotated[
    str | None,
    typer.Option(
        "--namespace", metavar="[HOST/]NAMESPACE", help="the own policy of this namespace"
    ),
]


@policy.command("list")
def list_(server: ServerOption = None, output: OutputOption = "text") -> None:
    """List the policies that hold, and what is wrong with files, as far as you may know."""

    async def work(api: Api) -> Document:
        return await api.get("policies")

    found = ask(server, work)
    if output == "json":
        write_json(found)
        return
    rows = [
        (
            one["name"],
            one["mode"],
            one["source"],
            one["set_by"],
            time_of(one["set_at"]),
            " ".join(one.words("namespaces")),
            " ".join(one.words("sentences")),
        )
        for one in found.objects("items")
    ]
    write_table(("policy", "mode", "kept in", "set by", "set", "holds in", "says"), rows)
    for one in found.objects("items"):
        _remark(one, f"policy '{plain(one.word('name'))}': ")
    for problem in found.objects("problems"):
        say(f"not used: {plain(problem.word('message'))}")


@policy.command()
def show(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="as 'policy list' has it")
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", metavar="[HOST/]NAMESPACE", help="all that holds there"),
    ] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Show a policy as it was written, or with --namespace all that holds there, in sentences."""
    host, address = _address(name, namespace)

    async def work(api: Api) -> Document:
        return await api.get(address)

    document = ask(host_of(host, server), work)
    if output == "json":
        write_json(document)
    elif namespace is None:
        for line in document.word("text").splitlines():
            typer.echo(plain(line))
    else:
        _show_held(document)


@policy.command("set")
def set_(
    file: _File,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="default: the file's name")
    ] = None,
    namespace: _Own = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Set a policy, on every server from now on; 'policy test' tries it before."""
    text = _read(file)
    host, address = _address(file.stem if name is None and namespace is None else name, namespace)

    async def work(api: Api) -> Document:
        return api.document(await api.send("PUT", address, body=text))

    document = ask(host_of(host, server), work)
    if output == "json":
        write_json(document)
        return
    said = document.part("own") if namespace is not None else document
    say(f"it holds from now on, as version {said.number('version')}")
    if namespace is None:
        for sentence in document.words("sentences"):
            typer.echo(plain(sentence))
    _remark(document)


@policy.command()
def delete(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="as 'policy list' has it")
    ] = None,
    namespace: _Own = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Have a policy hold no more."""
    host, address = _address(name, namespace)

    async def work(api: Api) -> None:
        await api.send("DELETE", address)

    ask(host_of(host, server), work)
    if output == "text":
        say("it holds no more; what it refused can be built again")


@policy.command("versions")
def versions(
    name: _Name,
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many")] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """List what a policy said, the newest first; --output json has the texts."""

    async def work(api: Api) -> Document:
        return await api.all(f"policies/{quote(name, safe='')}/versions", None, limit)

    found = ask(server, work)
    if output == "json":
        write_json(found)
        return
    rows = [(one["version"], one["by"], time_of(one["at"])) for one in found.objects("items")]
    write_page(found, ("version", "set by", "set"), rows)


@policy.command("test")
def try_(
    file: _File,
    specification: Annotated[
        Path | None,
        typer.Option("--specification", metavar="FILE", help="an environment.yml, a lock, …"),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="of the policy that it replaces")
    ] = None,
    namespace: _Own = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Tell what a policy would do to a file, and what it would find; nothing is kept.

    The exit code is 1 if the file could not be built.
    """
    body: dict[str, Any] = {"text": _read(file).decode(errors="replace"), "name": name}
    host = None
    if namespace is not None:
        place = namespace_place(namespace)
        host, body["namespace"] = place.host, place.namespace
    if specification is not None:
        body["specification"] = _read(specification).decode(errors="replace")

    async def work(api: Api) -> Document:
        return api.document(await api.send("POST", "policies/test", body=body))

    document = ask(host_of(host, server), work)
    tried = document["specification"]
    if output == "json":
        write_json(document)
    else:
        for sentence in document.words("sentences"):
            typer.echo(plain(sentence))
        _remark(document)
        if tried is not None:
            _show_tried(document.part("specification"))
        _show_existing(document.part("existing"))
    if isinstance(tried, Document) and not tried["built"]:
        raise typer.Exit(1)


@policy.command()
def findings(
    namespace: Annotated[
        str | None, typer.Argument(metavar="[[HOST/]NAMESPACE]", help="of its environments alone")
    ] = None,
    name: Annotated[str | None, typer.Option("--policy", help="of this policy alone")] = None,
    active: Annotated[
        bool, typer.Option("--active", help="only of the builds of active versions")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="at most so many")] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """List what policies have against builds that there are, and what to do about it."""
    host, address = None, "findings"
    if namespace is not None:
        place = namespace_place(namespace)
        host, address = place.host, f"{place.address}/findings"
    query = {"policy": name, "active": "true" if active else None}

    async def work(api: Api) -> Document:
        return await api.all(address, query, limit)

    found = ask(host_of(host, server), work)
    if output == "json":
        write_json(found)
        return
    columns = (
        *("environment", "version", "owner", "policy", "platform"),
        *("package", "fixed in", "what to do"),
    )
    write_page(found, columns, [_finding(one) for one in found.objects("items")])


def _remark(document: Document, before: str = "") -> None:
    """Say what of a policy does nothing on the server."""
    for remark in document.words("remarks"):
        say(f"{before}{plain(remark)}")


def _finding(one: Document) -> tuple[object, ...]:
    return (
        one["environment"] or one["key"],
        _versions(one),
        one["owner"],
        one["policy"],
        one["platform"],
        f"{one['package']} {one['version']}".strip(),
        one["fixed_in"],
        f"{one['sentence']}: {one['change']}",
    )


def _versions(one: Document) -> str:
    """Return which versions have a finding; of many, the newest ones."""
    numbers = list(one["versions"])
    more = ", …" if len(numbers) > _MAX_VERSIONS else ""
    return ", ".join(f"v{number}" for number in numbers[:_MAX_VERSIONS]) + more


def _show_held(document: Document) -> None:
    for one in document.objects("holds"):
        who = one["set_by"] or "whoever keeps the files"
        write_fields(
            {
                "policy": one["name"],
                "mode": one["mode"],
                "set by": f"{who} {time_of(one['set_at'])}".strip(),
                "ask": one["contact"],
                "for": one["description"],
            }
        )
        for sentence in one.words("sentences"):
            typer.echo(f"  {plain(sentence)}")
    if not document.objects("holds"):
        say("no policy holds there")


def _show_tried(tried: Document) -> None:
    told = tried.part("policy")
    for sentence in (*told.words("added"), *told.words("left_out"), *told.words("warnings")):
        typer.echo(plain(sentence))
    if not tried["built"]:
        typer.echo(f"it could not be built: {plain(tried.word('refused'))}")
        return
    for platform, packages in tried.part("packages").items():
        typer.echo(f"{plain(platform)}: {len(packages)} packages")
        for one in packages:
            typer.echo(plain(f"  {one['name']} {one['version']} {one['build']}".rstrip()))


def _show_existing(existing: Document) -> None:
    builds, active = existing.number("builds"), existing.number("active")
    findings = _counted(existing.number("findings"), "finding")
    environments = _counted(existing.number("environments"), "environment")
    typer.echo(
        f"of {_counted(builds, 'build')} that there {'is' if builds == 1 else 'are'}, it would"
        f" have {findings} in {environments}, {active} of them in the active version"
    )
    items = existing.objects("items")
    if items:
        columns = (
            *("environment", "version", "owner", "policy", "platform"),
            *("package", "fixed in", "finding"),
        )
        write_table(columns, [_finding(one) for one in items])


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _address(name: str | None, namespace: str | None) -> tuple[str | None, str]:
    """Return the host and address of a policy.

    Raises:
        BadParameter: None is named, or two are.
    """
    if (name is None) == (namespace is None):
        raise typer.BadParameter("say the NAME of a policy, or --namespace, and not both")
    if namespace is not None:
        place = namespace_place(namespace)
        return place.host, f"{place.address}/policy"
    return None, f"policies/{quote(name or '', safe='')}"


def _read(file: Path) -> bytes:
    """Return what a file has.

    Raises:
        BadParameter: It cannot be read.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(_MAX_BYTES + 1)
    except OSError as exc:
        raise typer.BadParameter(f"{str(file)!r} cannot be read: {exc.strerror}") from exc
    if len(data) > _MAX_BYTES:
        raise typer.BadParameter(f"{str(file)!r} has more than {_MAX_BYTES // 1024} KiB")
    return data
