"""``pullforge watch``: files of this machine define environments of a server."""

import asyncio
import signal
import socket
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from registry.catalog.source_patterns import Patterns, parse_patterns
from registry.catalog.source_records import Removed
from registry.cli.api import Api, Document, Refused, ask
from registry.cli.output import (
    OutputFormat,
    OutputOption,
    exit_on_remote_error,
    plain,
    say,
    write_json,
)
from registry.cli.places import NamespacePlace, ServerOption, host_of, namespace_place
from registry.cli.remote import RemoteError
from registry.cli.sending import MAX_BYTES, Sending
from registry.errors import SourceInvalid, SourceUnreachable
from registry.watcher.directories import DirectoryTree, root_name
from registry.watcher.looking import KnownFile, Looking

_KIND: Final = "remote"


def watch(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="a directory, or one file", show_default=False)
    ],
    to: Annotated[
        str, typer.Option("--to", metavar="[HOST/]NAMESPACE", help="whose environments they are")
    ],
    once: Annotated[bool, typer.Option("--once", help="send what is there now, and end")] = False,
    name: Annotated[
        str | None,
        typer.Option(help="what the server calls the source; default: as the directory"),
    ] = None,
    pattern: Annotated[
        list[str] | None,
        typer.Option(
            help="which path is which environment, e.g. '{environment}/environment.yml'; may be"
            " said several times"
        ),
    ] = None,
    removed: Annotated[
        Removed | None,
        typer.Option(help="what becomes of an environment whose file is gone; default: keep"),
    ] = None,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Have the files of a directory define environments of a namespace, as long as this runs.

    Environments are made, and have a new version with each change of their file. What cannot be
    used is told here and shown on the server, and stops nothing else. Exit code 1: the server
    refuses, or with --once, a file cannot be used.
    """
    with exit_on_remote_error():
        place = namespace_place(to)
        path = directory.absolute()
        own_name = root_name(path)
        wanted: dict[str, Any] = {
            "name": name or own_name or "root",
            "location": f"{socket.gethostname()}:{path}",
        }
        if pattern:
            wanted["patterns"] = pattern
        if removed is not None:
            wanted["removed"] = removed
        told = _Told(output)

        async def work(api: Api) -> None:
            tree = DirectoryTree(path, MAX_BYTES)
            if once:
                await _check_is_there(tree)
            source = await _source(api, place, wanted, is_named=name is not None)
            patterns = _patterns(source, own_name)
            looking = Looking(tree, patterns, await _known(api, source))
            sending = Sending(api, source.number("id"), looking, told)
            if once:
                await sending.once()
            else:
                await _until_asked(sending)

        ask(host_of(place.host, server), work)
        if once and told.problems:
            raise typer.Exit(1)


class _Told:
    """Writes what is done, a line each."""

    def __init__(self, output: OutputFormat) -> None:
        self._output = output
        #: How many files cannot be used.
        self.problems = 0

    def sent(self, path: str, file: Document) -> None:
        """Write which environment a file defines, or why it cannot be used."""
        problem = plain(str(file["problem"] or ""))
        self.problems += bool(problem)
        if self._output == "json":
            write_json(file)
        elif problem:
            say(f"{plain(path)}: {problem}")
        else:
            typer.echo(f"{plain(path)} → {plain(str(file['environment']))}")

    def gone(self, path: str) -> None:
        """Write that a file is gone."""
        if self._output == "text":
            typer.echo(f"{plain(path)} is gone")

    def waiting(self, sentence: str) -> None:
        """Write what is waited for."""
        say(f"{sentence}; trying again until it works")

    def going_on(self) -> None:
        """Write that it has come."""
        say("it works again")


async def _source(
    api: Api, place: NamespacePlace, wanted: dict[str, Any], *, is_named: bool
) -> Document:
    """Return the source that is known by the name, as it is wanted; it is made if there is none.

    Args:
        api: The server.
        place: The namespace.
        wanted: How it is to be.
        is_named: Whether somebody has said its name: then it may have been of another directory.

    Raises:
        RemoteError: The server looks at that one itself, or it is of another directory.
    """
    found = await api.all("sources", {"namespace": place.namespace})
    of_name = [one for one in found.objects("items") if one["name"] == wanted["name"]]
    if not of_name:
        body = {**wanted, "kind": _KIND, "namespace": place.namespace}
        return api.document(await api.send("POST", "sources", body=body))
    source = of_name[0]
    if source["kind"] != _KIND:
        raise RemoteError(
            f"the server looks at the source '{plain(str(source['name']))}' itself: choose another"
            " name with --name"
        )
    known = str(source["location"])
    # A pipeline runs on another machine each time: the directory alone tells one from another.
    if not is_named and _directory(known) != _directory(wanted["location"]):
        raise RemoteError(
            f"the source '{plain(wanted['name'])}' has the files of {plain(known)}: choose another"
            f" name with --name, or say --name {plain(wanted['name'])} to have it send these"
        )
    changed = {field: value for field, value in wanted.items() if source[field] != value}
    if not changed:
        return source
    try:
        reply = await api.send("PATCH", f"sources/{source.number('id')}", body=changed)
    except Refused as refused:
        # Who may send its files need not be who may change it; where they lie is for people alone.
        if refused.status != 403 or changed.keys() != {"location"}:
            raise
        return source
    return api.document(reply)


def _directory(location: str) -> str:
    """Return the path of a location.

    >>> _directory("laptop:/home/ada/envs")
    '/home/ada/envs'
    """
    return location.partition(":")[2]


async def _check_is_there(tree: DirectoryTree) -> None:
    """Refuse a directory that is not there before the server has a source of it.

    Raises:
        RemoteError: It is not there.
    """
    try:
        await tree.list(lambda _: False)
    except SourceUnreachable as exc:
        raise RemoteError(exc.message) from exc


def _patterns(source: Document, root_name: str) -> Patterns:
    """Return what the patterns of a source mean.

    Raises:
        RemoteError: One cannot be used.
    """
    texts = source.words("patterns") or None
    try:
        return parse_patterns(texts, has_namespace=True, root_name=root_name)
    except SourceInvalid as exc:
        raise RemoteError(exc.message) from exc


async def _known(api: Api, source: Document) -> dict[str, KnownFile]:
    """Return what the server knows of the files of a source."""
    found = await api.all(f"sources/{source.number('id')}/files")
    known = {}
    for one in found.objects("items"):
        defines = one["environment"] is not None
        # What could not be used may be used now: it is sent again.
        is_good = defines and not one["problem"]
        known[one.word("path")] = KnownFile(str(one["sha256"] or "") if is_good else "", defines)
    return known


async def _until_asked(sending: Sending) -> None:
    """Send until the process is asked to end, as ``systemctl stop`` does."""
    task = asyncio.ensure_future(sending.for_ever())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        # By Ctrl-C, all of this is cancelled; by SIGTERM, the task alone.
        if not task.cancelled() or asyncio.current_task().cancelling():  # type: ignore[union-attr]
            raise
