"""What there is to do, with what each kind of work takes and gives.

Everything travels as JSON: whoever can write to the broker can make workers build, but not run code
of theirs. What a worker gets is checked against its types again.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, Literal, TypeVar

from pydantic import TypeAdapter

from builder.build.image import Flavour
from builder.exports import ExportFormat
from builder.inputs import PackageList
from builder.layer import Encoding, LayerBlob, LayerPlan
from builder.lock import Lock
from builder.platforms import Subdir
from builder.records import PackageRecord
from builder.spec import EnvironmentSpec
from registry.images.executor import StoredImage

Payload = TypeVar("Payload")
Result = TypeVar("Result")

TaskName = Literal["solve", "complete", "build", "form", "layer", "chore"]
#: Who carries it out: ``builds`` mostly waits, ``layers`` computes.
Role = Literal["builds", "layers"]
ROLES: Final[tuple[Role, ...]] = ("builds", "layers")


@dataclass(frozen=True, slots=True)
class BuildTask:
    """An image that is to be built."""

    lock: Lock
    flavour: Flavour


@dataclass(frozen=True, slots=True)
class ExportTask:
    """A form of a lock that is to be put into the store."""

    lock: Lock
    form: ExportFormat
    platform: Subdir | None


@dataclass(frozen=True, slots=True)
class LayerTask:
    """A layer that is to be assembled."""

    plan: LayerPlan
    encoding: Encoding
    #: The Python that compiles its modules, with all it needs; empty where nothing is compiled.
    python: tuple[PackageRecord, ...]


@dataclass(frozen=True, slots=True)
class TaskType(Generic[Payload, Result]):
    """One kind of work."""

    name: TaskName
    role: Role
    asked: TypeAdapter[Payload]
    made: TypeAdapter[Result]
    #: Names a task by what is asked: equal names are the same work. A message under another name is
    #: not carried out: what it makes would be taken for what was asked under that name.
    name_of: Callable[[Payload], str]
    #: Whether it is refused when too much waits already; what is part of other work is not.
    is_refusable: bool = True
    #: How often a task is begun that never ends. Its worker may have been killed for other reasons,
    #: above all where one process has many tasks under way.
    attempts: int = 8

    def task_of(self, asked: Payload) -> str:
        """Return the name of the task, e.g. ``"layer-<layer key>-zstd"``."""
        return f"{self.name}-{self.name_of(asked)}"


def _name_of_list(packages: PackageList) -> str:
    return hashlib.sha256(COMPLETE.asked.dump_json(packages)).hexdigest()


SOLVE: Final = TaskType(
    "solve",
    "builds",
    TypeAdapter(EnvironmentSpec),
    TypeAdapter(Lock),
    name_of=lambda spec: spec.digest,
)
COMPLETE: Final = TaskType(
    "complete", "builds", TypeAdapter(PackageList), TypeAdapter(Lock), name_of=_name_of_list
)
BUILD: Final = TaskType(
    "build",
    "builds",
    TypeAdapter(BuildTask),
    TypeAdapter(StoredImage),
    name_of=lambda order: f"{order.lock.key}-{order.flavour}",
)
FORM: Final = TaskType(
    "form",
    "builds",
    TypeAdapter(ExportTask),
    TypeAdapter(None),
    name_of=lambda order: f"{order.lock.key}-{order.platform or 'all'}-{order.form}",
)
#: A chore of :mod:`registry.wiring.schedule`, by its name.
CHORE: Final = TaskType("chore", "builds", TypeAdapter(str), TypeAdapter(None), name_of=str)
LAYER: Final = TaskType(
    "layer",
    "layers",
    TypeAdapter(LayerTask),
    TypeAdapter(LayerBlob),
    name_of=lambda order: f"{order.plan.key}-{order.encoding}",
    is_refusable=False,
    attempts=3,
)
