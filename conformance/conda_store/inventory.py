"""What a conda-store is to have in it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

#: When the first build was asked for.
START: Final = datetime.fromisoformat("2024-03-01T09:30:00.250000")


@dataclass(frozen=True, slots=True)
class Build:
    """One build; what its specification asks for need not be what its lock has."""

    specification: Mapping[str, Any]
    status: str = "COMPLETED"
    #: The content of ``conda-lock.yml``: what it was locked to, kept as its LOCKFILE.
    lock: Mapping[str, Any] | None = None
    #: Whether a lock was sent, which the specification then has in it.
    is_lockfile: bool = False
    status_info: str | None = None
    scheduled_on: datetime = START
    #: Whether it was deleted: it is listed nevertheless.
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class Environment:
    """A name, and its builds from the oldest to the newest."""

    namespace: str
    name: str
    builds: Sequence[Build]
    #: Which build is the current one; ``None``: none is.
    current: int | None = -1
    description: str = ""


@dataclass(frozen=True, slots=True)
class Role:
    """Who has rights in a namespace: of the first generation ``team-*/*``, of the second a name."""

    namespace: str
    other: str
    role: str
    generation: int = 1


@dataclass(frozen=True, slots=True)
class Inventory:
    """Everything, in the order in which numbers are given."""

    namespaces: Sequence[str]
    environments: Sequence[Environment]
    roles: Sequence[Role] = ()
    #: By namespace, or by ``<namespace>/<environment>``; ``""``: for everything.
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return it for :mod:`conformance.conda_store.rows`, which runs where only Python is."""
        return asdict(self)

    @property
    def builds(self) -> int:
        """How many builds there are."""
        return sum(len(one.builds) for one in self.environments)


def sized(
    namespaces: int, environments: int, builds: int, locks: Sequence[Mapping[str, Any]] = ()
) -> Inventory:
    """Return an inventory of so many of each, the same one each time.

    Of ten builds one failed, and of fifty one was canceled; each fifth environment has an older
    one as its current build.

    Args:
        namespaces: How many, of which ``team-000`` is the first.
        environments: How many in all namespaces together.
        builds: How many of all environments together, at least as many as there are environments.
        locks: What completed builds are locked to, by turns; each eighth was sent as a lock.
    """
    names = [f"team-{one:03}" for one in range(namespaces)]
    shares = [builds // environments + (one < builds % environments) for one in range(environments)]
    found, number = [], 0
    for one, share in enumerate(shares):
        name = f"env-{one:05}"
        mine = [_build(name, number + each, locks) for each in range(share)]
        number += share
        complete = [each for each, build in enumerate(mine) if build.status == "COMPLETED"]
        current = None if not complete else complete[0 if one % 5 == 4 else -1]
        namespace = names[one % namespaces]
        found.append(Environment(namespace, name, mine, current, f"what number {one} is for"))
    roles = [Role(name, f"group-{one % 7}/*", "developer") for one, name in enumerate(names)]
    roles += [
        Role(name, names[one - 1], ("viewer", "admin")[one % 2], generation=2)
        for one, name in enumerate(names)
        if one
    ]
    return Inventory(names, found, roles)


def _build(name: str, number: int, locks: Sequence[Mapping[str, Any]]) -> Build:
    at = START + timedelta(minutes=7 * number)
    specification: dict[str, Any] = {
        "name": name,
        "channels": ["conda-forge"],
        "dependencies": ["python", f"numpy >={1 + number % 3}"],
        "variables": {"NUMBER": str(number)},
        "description": f"for {name}: number {number}",
    }
    if number % 50 == 49:
        return Build(specification, "CANCELED", scheduled_on=at)
    if number % 10 == 3:
        return Build(specification, "FAILED", scheduled_on=at, status_info="it could not be solved")
    if not locks:
        return Build(specification, scheduled_on=at)
    lock = locks[number % len(locks)]
    if number % 8 == 5:
        sent = {"name": name, "description": "sent as a lock", "lockfile": lock}
        return Build(sent, lock=lock, is_lockfile=True, scheduled_on=at)
    return Build(specification, lock=lock, scheduled_on=at)
