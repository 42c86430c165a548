"""How far a request is: what its clients see, and what replicas tell each other through the store.

::

    queued ─→ solving ─→ building ─→ done     with the key of its build
                  └─────────┴──────→ failed   with the error
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Final, Literal

from builder.lock import Told
from builder.spec import RulesDigest
from registry.images.failure import Failure
from registry.images.records import told_of_json

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
    #: What policies did to it.
    told: Told = field(default=Told())
    #: The rules that it is made by, so that whoever takes it up makes it by the same.
    rules: RulesDigest = field(default=RulesDigest(""), compare=False)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in _ENDS


def dump_status(status: RequestStatus) -> bytes:
    """Return ``status`` as JSON."""
    content = asdict(status)
    for name in ("told", "rules"):  # servers from before there were these read what they know
        if not getattr(status, name):
            del content[name]
    return json.dumps(content).encode()


def parse_status(data: bytes) -> RequestStatus:
    """Return what :func:`dump_status` wrote."""
    content = json.loads(data)
    failure = content.pop("failure")
    return RequestStatus(
        **{**content, "log": tuple(content["log"]), "told": told_of_json(content.get("told"))},
        failure=Failure.of_json(failure) if failure else None,
    )
