"""What happens to a request, as server-sent events (HTML standard, "Server-sent events").

::

    event: log         id: number of the line    data: the line
    event: progress                              data: the status document
    event: end                                   data: the same, and the stream is over

Lines have ids, so that a client that reconnects (``Last-Event-ID``) gets those that it missed.
"""

import json
from collections.abc import AsyncGenerator
from typing import Final

from registry.requests.requests import BuildRequests
from registry.requests.status import RequestStatus
from registry.web.api.documents import status_document

#: Proxies close a connection on which nothing is sent for some time; 30 s is the least of those.
_KEEP_ALIVE_SECONDS: Final = 15


async def follow(
    requests: BuildRequests, status: RequestStatus, last_line: int
) -> AsyncGenerator[bytes, None]:
    """Yield the events of a request until its end, after line ``last_line``; -1 for all lines."""
    sent = last_line + 1
    while True:
        lines, sent = status.log[sent:], max(sent, len(status.log))
        text = "".join(
            _event("log", line, number)
            for number, line in enumerate(lines, start=sent - len(lines))
        )
        name = "end" if status.has_ended else "progress"
        yield (text + _event(name, json.dumps(status_document(status)))).encode()
        if status.has_ended:
            return
        seen = status
        while (status := await requests.next(seen, _KEEP_ALIVE_SECONDS)) == seen:
            yield b": still there\n\n"


def _event(name: str, data: str, number: int | None = None) -> str:
    identity = f"id: {number}\n" if number is not None else ""
    return f"{identity}event: {name}\ndata: {data}\n\n"
