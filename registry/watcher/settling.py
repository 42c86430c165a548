"""When a file that changes is to be read: not while somebody is still writing it.

A look at a tree gives each path a token, which is another one whenever the file is. A path whose
token differs from what was taken last has changed; one without a token is gone. A change is due
when it was quiet for a moment; a file that goes on changing is due again and again, so that whoever
saves without end is followed all the same. What is gone is given longer: editors and ``rsync`` move
a file away before the new one comes. A text that cannot be read right after a change may be half of
one: it is held back, and looked at once more before anybody is told.

Nothing here has a clock: whoever looks says when. State is compared, and no event counted, so that
a look that is missed costs time alone. Who cannot carry a change out waits before the next look: it
is due at once.

>>> settling = Settling()
>>> settling.look({"a.yml": 1}, now=0.0), settling.wait_seconds(now=0.0)
([], 0.25)
>>> settling.look({"a.yml": 2}, now=0.2), settling.wait_seconds(now=0.2)
([], 0.25)
>>> [change] = settling.look({"a.yml": 2}, now=0.5); change
Change(path='a.yml', token=2)
>>> settling.take(change); settling.look({"a.yml": 2}, now=1.0), settling.wait_seconds(now=1.0)
([], None)
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

#: A file was quiet for so long when it is read.
QUIET_SECONDS: Final = 0.25
#: So long after its first change it is read, also if it goes on changing.
MOST_SECONDS: Final = 2.0

#: Of a path that was known before anybody looked: it is none that a look gives.
_UNSEEN: Final = object()


@dataclass(frozen=True, slots=True)
class Change:
    """A path that is not as it was taken last."""

    path: str
    #: What the look gave it; ``None``: it is gone.
    token: object | None

    @property
    def is_gone(self) -> bool:
        """Whether there is no such file any more."""
        return self.token is None


@dataclass(slots=True)
class _Moving:
    """A change that is not taken yet."""

    token: object | None
    #: When it began.
    began: float
    #: When the token was another one last.
    moved: float
    #: When what was held back is due again; ``None``: nothing was.
    held: float | None = None
    #: Whether this very text was held back before.
    is_doubted: bool = False


class Settling:
    """What was taken of a tree, and what is to be taken now; of one source, for one task."""

    def __init__(
        self,
        known: Iterable[str] = (),
        *,
        quiet_seconds: float = QUIET_SECONDS,
        most_seconds: float = MOST_SECONDS,
    ) -> None:
        """Begin with nothing taken.

        Args:
            known: Paths that were there before, as after a restart: each is a change, and one that
                no look gives is gone.
            quiet_seconds: How long a file must not change.
            most_seconds: How long a change waits at most; also what is gone, and what is held back.
        """
        self._taken: dict[str, object] = dict.fromkeys(known, _UNSEEN)
        self._moving: dict[str, _Moving] = {}
        self._quiet_seconds = quiet_seconds
        self._most_seconds = most_seconds

    def look(self, tokens: Mapping[str, object], now: float) -> list[Change]:
        """Return what is due, in the order of paths, and what is gone behind it.

        It is due again with each look until it is taken or held back.

        Args:
            tokens: Of every file that is there.
            now: In seconds; never less than before.
        """
        for path, token in tokens.items():
            if path not in self._taken or self._taken[path] != token:
                self._move(path, token, now)
            elif path in self._moving:
                del self._moving[path]  # it is again as it was taken
        for path in [one for one in self._moving if one not in tokens]:
            if path not in self._taken:
                del self._moving[path]  # it came and went
        for path in self._taken.keys() - tokens.keys():
            self._move(path, None, now)
        due = [one for one in self._moving.items() if self._due_at(one[1]) <= now]
        changes = [Change(path, moving.token) for path, moving in due]
        return sorted(changes, key=lambda change: (change.is_gone, change.path))

    def take(self, change: Change) -> None:
        """Note that a change was carried out: it is due no more."""
        if change.token is None:
            self._taken.pop(change.path, None)
        else:
            self._taken[change.path] = change.token
        moving = self._moving.get(change.path)
        if moving is not None and moving.token == change.token:
            del self._moving[change.path]

    def hold(self, change: Change, now: float) -> bool:
        """Hold back a change whose text cannot be read, and return whether it was.

        Only once: a text that is the same when it is due again is not held back any more.
        """
        moving = self._moving.get(change.path)
        if moving is None or moving.token != change.token or moving.is_doubted:
            return False
        moving.held, moving.is_doubted = now + self._most_seconds, True
        return True

    def forget(self, path: str) -> None:
        """Have a path looked at as if it were new: what was done with it is to be done again."""
        if path in self._taken:
            self._taken[path] = _UNSEEN

    def wait_seconds(self, now: float) -> float | None:
        """Return after how many seconds something may be due; ``None``: nothing is under way."""
        due = min((self._due_at(one) for one in self._moving.values()), default=None)
        return None if due is None else max(0.0, due - now)

    def _move(self, path: str, token: object | None, now: float) -> None:
        moving = self._moving.get(path)
        if moving is None:
            self._moving[path] = _Moving(token, now, now)
        elif moving.token != token:
            if moving.held is not None:  # another text: it has its own time
                moving.began = now
            moving.token, moving.moved, moving.held, moving.is_doubted = token, now, None, False

    def _due_at(self, moving: _Moving) -> float:
        if moving.held is not None:
            return moving.held
        if moving.token is None:
            return moving.moved + self._most_seconds
        return min(moving.moved + self._quiet_seconds, moving.began + self._most_seconds)
