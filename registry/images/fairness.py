"""Who wants the work that is being done, and how urgent that makes it.

Set where a request comes in, and inherited by every task that is begun for it. What several want at
once is begun for whoever asked first.
"""

from contextvars import ContextVar
from typing import Final

#: How urgent work can be, 0 first; what nobody waits for comes last.
LEVELS: Final = (0, 1, 2, 3)
SCHEDULED: Final = 3
#: From how many of a client's builds under way on each further one is a level less urgent.
_STEPS: Final = (3, 9)

#: Tells who wants what is done now from others: an address or the name of an account. Empty where
#: nobody in particular does, or where it is known already how urgent it is.
current_client: ContextVar[str] = ContextVar("current_client", default="")


def level_of(under_way: int) -> int:
    """Return how urgent the last is of so many that a client has under way."""
    return LEVELS[sum(under_way >= step for step in _STEPS)]
