"""Policies in files, read again when they change.

Each file ``<name>.toml`` of a directory is the policy with that name. One that cannot be used
changes nothing: what it said before holds, and what is wrong is told.
"""

import asyncio
from typing import Final

import structlog

from registry.errors import PolicyTextInvalid
from registry.policy.book import PolicyBook
from registry.policy.places import Place, PlaceUnreadable, Watched
from registry.policy.policy import Policy, read_policy
from registry.policy.reading import MAX_BYTES

_log = structlog.get_logger("registry.policy")

#: How often the directory is looked at, in seconds; what is new is taken at the second look.
LOOK_SECONDS: Final = 1.0
#: What names of the files end in.
SUFFIX: Final = ".toml"
_MAX_POLICIES: Final = 1000


class PolicyFiles:
    """Keeps a book as a directory is.

    Args:
        place: The directory.
        book: Gets what the files say.
    """

    def __init__(self, place: Place, book: PolicyBook) -> None:
        self._place = place
        self._book = book
        self._watched = Watched()
        self._policies: dict[str, Policy] = {}
        self._problems: dict[str, PolicyTextInvalid] = {}

    async def start(self) -> None:
        """Read all files.

        Raises:
            PolicyTextInvalid: One cannot be used, or the directory cannot be read: without what it
                said before, a policy would not hold.
        """
        try:
            changed, problems = await asyncio.to_thread(self._look)
        except PlaceUnreadable as exc:
            raise PolicyTextInvalid(str(self._place.path), str(exc)) from exc
        for problem in sorted(problems, key=lambda one: one.file):
            raise problem
        self._take(changed, problems)

    async def follow(self) -> None:
        """Look for changes until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Take in what has changed; never raises."""
        try:
            changed, problems = await asyncio.to_thread(self._look)
        except PlaceUnreadable as exc:
            self._book.put_problems(
                "policies", [PolicyTextInvalid(str(self._place.path), f"{exc}; what was holds")]
            )
        else:
            self._take(changed, problems)

    def _take(self, changed: list[str], problems: list[PolicyTextInvalid]) -> None:
        self._book.put_problems("policies", problems)
        if changed:
            self._book.put_files(self._policies)
            _log.info("read policies again", files=changed, policies=len(self._policies))

    def _look(self) -> tuple[list[str], list[PolicyTextInvalid]]:
        found = self._place.files()
        if len(found.stamps) > _MAX_POLICIES:
            raise PlaceUnreadable(f"it has more than {_MAX_POLICIES} policies")
        changed, gone = self._watched.changes(found)
        policies = dict(self._policies)
        for file in gone:
            policies.pop(file.removesuffix(SUFFIX), None)
            self._problems.pop(file, None)
        for file in changed:
            try:
                policy = self._read(file)
            except PlaceUnreadable as exc:
                self._watched.look_again([file])
                self._problems[file] = PolicyTextInvalid(file, str(exc))
            except PolicyTextInvalid as exc:
                self._problems[file] = exc
            else:
                policies[policy.name] = policy
                self._problems.pop(file, None)
        self._policies = policies
        return [*changed, *gone], [*found.problems.values(), *self._problems.values()]

    def _read(self, file: str) -> Policy:
        data = self._place.read(file, MAX_BYTES)
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as exc:
            line = data.count(b"\n", 0, exc.start) + 1
            raise PolicyTextInvalid(file, "it is not text in UTF-8", line=line) from exc
        return read_policy(file.removesuffix(SUFFIX), text)
