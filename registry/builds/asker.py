"""Who wants the work that is being done: decides whose turn it is when there is more than can be.

Set where a request comes in, and inherited by every task that is begun for it. Work that several
want is done for whoever asked first.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

#: How urgent work can be; what nobody waits for comes last.
LEVELS: Final = (0, 1, 2, 3)
SCHEDULED: Final = 3


@dataclass(frozen=True, slots=True)
class Asker:
    """Whose work it is."""

    #: Tells one from the other: an address or the name of an account.
    client: str = ""
    #: How urgent it is, 0 first; ``None``: the more the client has under way, the less.
    level: int | None = None


_NOBODY: Final = Asker()

#: Who wants what is done now.
asker: ContextVar[Asker] = ContextVar("asker", default=_NOBODY)
