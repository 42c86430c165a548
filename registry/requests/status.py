"""How far a request is: what its clients see, and what replicas tell each other through the store.

::

    queued ─→ solving ─→ building ─→ done     with the key of its build
                  └─────────┴──────→ failed   with the error
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Final, Literal

from registry.images.failure import Failure

State = Literal["queued", "solving", "building", "done", "failed"]

_ENDS: Final = frozenset({"done", "failed"})


@dataclass(frozen=True, slots=True)
class RequestStatus:
    """How far a request is."""

    #: 32 hex digits that stand for what was sent.
    id: str
    state: State = "queued"
    #: What is done now, in words, e.g. ``"assembling layers (3 of 9)"``.
    progress: str = ""
    #: How far all of it is, 0 to 100; never less than before.
    percent: int = 0
    #: The build that this led to; of a request made anew, the one before until that is done.
    key: str | None = None
    failure: Failure | None = None
    #: What happened, line by line, each with its time.
    log: tuple[str, ...] = ()
    #: When this was written, in seconds since 1970.
    at: float = field(default=0, compare=False)
    #: Whether its build is to be pinned: somebody asked for it who may pin.
    pin: bool = field(default=False, compare=False)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in _ENDS


def dump_status(status: RequestStatus) -> bytes:
    """Return ``status`` as JSON."""
    return json.dumps(asdict(status)).encode()


def parse_status(data: bytes) -> RequestStatus:
    """Return what :func:`dump_status` wrote."""
    content = json.loads(data)
    failure = content.pop("failure")
    return RequestStatus(
        **{**content, "log": tuple(content["log"])},
        failure=Failure(**failure) if failure else None,
    )
