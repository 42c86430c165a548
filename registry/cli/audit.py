"""``pullforge audit``: what was done on a server and what was refused, for administrators."""

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import httpx
import typer

from registry.cli.api import PREFIX, Api, Document, Refused, ask, silent
from registry.cli.output import (
    OutputOption,
    exit_on_remote_error,
    plain,
    say,
    time_of,
    write_table,
)
from registry.cli.places import ServerOption
from registry.cli.remote import RemoteError

_LINES: Final = "application/x-ndjson"
_SPAN: Final = re.compile(r"([0-9]{1,6}) ?(m|min|minutes?|h|hours?|d|days?|w|weeks?)")
_UNITS: Final = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
#: Something is sent at least every 15 s while it is followed.
_TIMEOUT: Final = httpx.Timeout(10, read=60)
#: For so long a server may be away that is followed, in seconds.
_AWAY_SECONDS: Final = 120
_PAUSE_SECONDS: Final = 2
#: An event that was written late is before others that were told.
_LATE: Final = timedelta(minutes=15)
_REMEMBERED: Final = 20_000


def audit(
    actor: Annotated[str | None, typer.Option(help="who did it")] = None,
    action: Annotated[
        str | None, typer.Option(help="what; '*' for any characters, as in 'grant.*'")
    ] = None,
    namespace: Annotated[str | None, typer.Option(help="where")] = None,
    environment: Annotated[
        str | None, typer.Option(help="NAMESPACE/NAME, or NAME of --namespace")
    ] = None,
    address: Annotated[str | None, typer.Option(help="from where")] = None,
    via: Annotated[
        str | None, typer.Option(help="through what: api, cli, registry, login or service")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="from when on: '2d', '36 hours', '2026-11-01'")
    ] = None,
    until: Annotated[str | None, typer.Option(help="until when; as --since")] = None,
    changes: Annotated[
        bool,
        typer.Option("--changes", help="only what changed something: no logins, no refusals"),
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="at most so many, the newest, as text")] = 50,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="go on with what happens, until Ctrl-C")
    ] = False,
    server: ServerOption = None,
    output: OutputOption = "text",
) -> None:
    """Tell what was done and what was refused: who, through what, from where.

    As text, the newest first. With --output json it is an export: all that fits, the oldest first,
    each on a line of its own.
    """
    if environment is not None and "/" in environment:
        if namespace is not None:
            raise typer.BadParameter("say the namespace once: --environment NAMESPACE/NAME")
        namespace, environment = environment.split("/", 1)
    query = {
        "actor": actor,
        "action": action,
        "namespace": namespace,
        "environment": environment,
        "address": address,
        "via": via,
        "since": _moment("--since", since),
        "until": _moment("--until", until),
        "changes": "true" if changes else None,
    }
    with exit_on_remote_error():
        if output == "text" and not follow:
            _show(ask(server, lambda api: api.all("audit", query, limit)))
        elif follow:
            if query["since"] is None:
                query["since"] = datetime.now(UTC).isoformat()
            ask(server, lambda api: _follow(api, query, is_text=output == "text"))
        else:
            ask(server, lambda api: _export(api, query))


def _show(found: Document) -> None:
    columns = ("at", "who", "did", "where", "through", "from", "what")
    write_table(columns, [_row(one) for one in found.objects("items")])
    if found["next"] is not None:
        say("there are more: say a larger --limit, or write all with '--output json'")


def _row(event: Mapping[str, Any]) -> tuple[object, ...]:
    place = "/".join(filter(None, (event["namespace"], event["environment"])))
    if event["version"] is not None:
        place += f":v{event['version']}"
    return (
        time_of(event["at"]),
        event["actor"] or ("" if event["action"] == "login.failed" else "-"),
        event["action"],
        place,
        event["via"],
        event["address"],
        _detail(event["detail"]),
    )


def _detail(detail: Mapping[str, Any]) -> str:
    """Return what there is to know, in one line."""
    told = [
        f"{name}: {before!s} → {after!s}"
        for name, before, after in _changes(detail.get("before"), detail.get("after"))
    ]
    for name, value in detail.items():
        if name not in {"before", "after"} and value is not None:
            said = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            told.append(said if name == "sentence" else f"{name}: {said}")
    return ", ".join(told)


def _changes(before: Any, after: Any) -> list[tuple[str, object, object]]:
    was = before if isinstance(before, dict) else {}
    now = after if isinstance(after, dict) else {}
    return [(name, was.get(name, "-"), now.get(name, "-")) for name in {**was, **now}]


async def _export(api: Api, query: Mapping[str, Any]) -> None:
    try:
        async with aclosing(_lines(api, query)) as lines:
            async for line in lines:
                typer.echo(line)
    except httpx.RemoteProtocolError as exc:
        raise RemoteError(
            f"{api.server} broke off in the middle: what was written is no whole export"
        ) from exc
    except httpx.HTTPError as exc:
        raise silent(api.server, exc) from exc


async def _follow(api: Api, query: Mapping[str, Any], *, is_text: bool) -> None:
    """Write events as they happen; a stream that breaks off is taken up again."""
    clock = asyncio.get_running_loop().time
    told: deque[int] = deque(maxlen=_REMEMBERED)
    known: set[int] = set()
    wanted, seen = dict(query), clock()
    while True:
        try:
            async with aclosing(_lines(api, {**wanted, "follow": "true"})) as lines:
                async for line in lines:
                    event = _event(api, line)
                    seen = clock()
                    if event["id"] in known:
                        continue
                    if len(told) == _REMEMBERED:
                        known.discard(told[0])
                    told.append(event["id"])
                    known.add(event["id"])
                    # From a little before it, should the stream break off.
                    again = max(event["at"] - _LATE, datetime.fromisoformat(query["since"]))
                    wanted["since"] = again.isoformat()
                    _write(event, line, is_text=is_text)
        except (httpx.HTTPError, Refused) as exc:
            may_pass = not isinstance(exc, Refused) or exc.status in {429, 502, 503, 504}
            if not may_pass or clock() - seen > _AWAY_SECONDS:
                if isinstance(exc, Refused):
                    raise
                raise silent(api.server, exc) from exc
        await asyncio.sleep(_PAUSE_SECONDS)


def _event(api: Api, line: str) -> dict[str, Any]:
    """Return the event that a line has.

    Raises:
        RemoteError: It has none.
    """
    try:
        event = json.loads(line)
        return {**event, "at": datetime.fromisoformat(event["at"]), "id": int(event["id"])}
    except (TypeError, KeyError, ValueError) as exc:
        raise RemoteError(
            f"{api.server} sends what is no event: it is no pullforge server"
        ) from exc


def _write(event: Mapping[str, Any], line: str, *, is_text: bool) -> None:
    if is_text:
        at, *rest = _row(event)
        typer.echo(plain("  ".join(str(one) for one in (at, *rest) if one)))
    else:
        typer.echo(line)


async def _lines(api: Api, query: Mapping[str, Any]) -> AsyncGenerator[str, None]:
    params = {name: str(one) for name, one in query.items() if one is not None}
    url = f"{api.server}{PREFIX}/audit"
    async with api.http.stream(
        "GET", url, params=params, headers={"accept": _LINES}, timeout=_TIMEOUT
    ) as reply:
        if not reply.is_success:
            await reply.aread()
            raise api.refusal(reply)
        async for line in reply.aiter_lines():
            if line:
                yield line


def _moment(option: str, text: str | None) -> str | None:
    """Return a time as the server takes it: one of the calendar, or before now.

    Raises:
        typer.BadParameter: It is neither.
    """
    if text is None:
        return None
    match = _SPAN.fullmatch(text.strip())
    if match is not None:
        span = timedelta(seconds=int(match[1]) * _UNITS[match[2][0]])
        try:
            return (datetime.now(UTC) - span).isoformat()
        except OverflowError as exc:
            raise typer.BadParameter(f"{option} is long ago: write less") from exc
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as exc:
        raise typer.BadParameter(
            f"{option} is a time such as '2d', '36 hours', '2026-11-01' or '2026-11-01T12:00:00Z'"
        ) from exc
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
