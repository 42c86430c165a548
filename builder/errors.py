"""Everything that can go wrong between a name and an image.

::

    BuilderError
    ├── InvalidDigest
    ├── ImageNameError
    │   ├── MalformedName
    │   ├── MalformedTag
    │   ├── UnsupportedItem
    │   └── ChannelNotAllowed
    ├── SolveError
    │   ├── UnknownPackage
    │   ├── Unsatisfiable
    │   ├── NoWheel
    │   ├── SolveTimeout
    │   ├── ChannelUnavailable
    │   │   └── NoChannel
    │   └── IndexUnavailable
    ├── LockError
    ├── InputError
    ├── PolicyRefused
    ├── PackageError
    │   ├── PackageUnavailable
    │   ├── CorruptPackage
    │   ├── UnsafePackage
    │   └── UnsupportedPackage
    ├── BytecodeError
    ├── SandboxUnavailable
    ├── WorkerLost
    ├── WorkersBusy
    ├── WorkersUnavailable
    ├── StoreUnavailable
    ├── MachineUnavailable
    └── BaseImageError
        └── BaseImageUnavailable

Each message is one complete sentence in one line that says what is wrong and, where there is
something to do, what: it is all that a user of ``docker pull`` gets to see.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

#: What an error means to whoever made the request; a face has a status for each.
#:
#: ``invalid`` it cannot be understood, ``failed`` it is understood and cannot be done,
#: ``not_found``, ``denied``, ``conflict`` something else is in its way, ``too_large``, ``busy``
#: others are first, ``unavailable`` what it needs does not answer, ``internal`` it is no fault of
#: the request.
ErrorKind = Literal[
    "invalid",
    "failed",
    "not_found",
    "denied",
    "conflict",
    "too_large",
    "busy",
    "unavailable",
    "internal",
]


class DomainError(Exception):
    """An error that users are told, each by one sentence.

    A class says what it means: ``class NoSuchThing(DomainError, kind="not_found")``.
    """

    kind: ClassVar[ErrorKind]

    def __init_subclass__(cls, kind: ErrorKind | None = None) -> None:
        super().__init_subclass__()
        cls.kind = kind or cls.kind

    @property
    def message(self) -> str:
        """The sentence for the user, in one line."""
        return " ".join(str(self).split())


class BuilderError(DomainError, kind="failed"):
    """Something went wrong while an image was made."""

    @classmethod
    def saying(cls, message: str) -> Self:
        """Return an error of this class with a sentence that another process has made."""
        # Not by its constructor, which takes the parts of the sentence.
        error = cls.__new__(cls)
        error.args = (message,)
        return error

    @property
    def transient(self) -> bool:
        """Whether trying again later may help although the request stays the same."""
        return self.kind in {"busy", "unavailable"}


class InvalidDigest(BuilderError, kind="invalid"):
    """A digest is not written as an algorithm that is known here and its hex digits."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(
            f"'{text[:100]}' is not a digest: write 'sha256:' and 64, or 'sha512:' and 128"
            " lower-case hex digits"
        )


class ImageNameError(BuilderError, kind="invalid"):
    """The image name cannot be understood."""


class MalformedName(ImageNameError):
    """The repository part of the name does not follow the grammar."""


class MalformedTag(ImageNameError):
    """The tag is neither ``latest`` nor made of known parts."""


class UnsupportedItem(ImageNameError, kind="failed"):
    """The name asks for something this server cannot build."""


class ChannelNotAllowed(ImageNameError, kind="failed"):
    """The name asks for a channel that the administrator did not allow."""

    def __init__(self, channel: str, allowed: Sequence[str]) -> None:
        self.channel = channel
        self.allowed = tuple(allowed)
        super().__init__(
            f"channel '{channel}' is not allowed on this server, which offers {', '.join(allowed)}"
        )


class SolveError(BuilderError):
    """No set of packages could be found for the name."""


class UnknownPackage(SolveError):
    """No channel has a package of that name."""

    def __init__(
        self, name: str, channels: Sequence[str], subdir: str, suggestions: Sequence[str] = ()
    ) -> None:
        self.name = name
        self.channels = tuple(channels)
        self.subdir = subdir
        self.suggestions = tuple(suggestions)
        hint = ""
        if suggestions:
            hint = "; did you mean " + " or ".join(f"'{s}'" for s in suggestions) + "?"
        super().__init__(f"no package '{name}' in {', '.join(channels)} for {subdir}{hint}")


class Unsatisfiable(SolveError):
    """The packages exist, but no versions of them go together."""


class NoWheel(SolveError):
    """A project of PyPI has no wheel for the target: none at all, or none for its Python."""


class SolveTimeout(SolveError, kind="unavailable"):
    """The solver did not finish in the time it is given."""


class ChannelUnavailable(SolveError, kind="unavailable"):
    """A channel does not answer, or answers with something that is not a channel."""


class NoChannel(ChannelUnavailable, kind="failed"):
    """What a channel must have is not at its address; asking again does not help."""


class IndexUnavailable(SolveError, kind="unavailable"):
    """PyPI, or the index in its place, does not answer."""


class LockError(BuilderError):
    """A lock file cannot be read, or cannot be written for these packages."""


class InputError(BuilderError, kind="invalid"):
    """A file or request that describes an environment cannot be understood, or is not allowed."""

    def __init__(self, reason: str, field: str | None = None, line: int | None = None) -> None:
        # All of it goes into ``args``: the error is raised in a worker process, and pickled.
        super().__init__(reason, field, line)
        self.reason = reason
        #: What is wrong, e.g. ``"dependencies[3]"``; ``None`` for the whole.
        self.field = field
        #: Where it stands, counted from 1, where that is known.
        self.line = line

    def __str__(self) -> str:
        """Return where it is and what is wrong, e.g. ``channels[0] (line 2): …``."""
        line = f"line {self.line}" if self.line else ""
        place = f"{self.field} ({line})" if self.field and line else self.field or line
        return f"{place}: {self.reason}" if place else self.reason


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a policy refused, for programs: by it a waiver is asked for."""

    policy: str
    #: What the rule is about, a ``RuleKind`` of :mod:`builder.rules.model`.
    kind: str
    #: Who to ask, as the policy says it.
    contact: str = ""
    #: Who installs :attr:`packages`: ``conda`` or ``pypi``.
    manager: Literal["conda", "pypi"] = "conda"
    #: Specs that match exactly what would have to be let pass, e.g. ``"numpy ==2.3.1"``; none, if
    #: it is no package that was refused: then no waiver can be given.
    packages: tuple[str, ...] = ()


class PolicyRefused(BuilderError, kind="denied"):
    """A policy does not allow what was asked for.

    Args:
        message: The sentence: package, rule, policy and who to ask.
        refusal: The same for programs.
    """

    def __init__(self, message: str, refusal: Refusal | None = None) -> None:
        # All of it goes into ``args``: the error is raised in a worker process, and pickled.
        super().__init__(message, refusal)

    @property
    def refusal(self) -> Refusal | None:
        """What was refused, for programs; ``None``: it is not known."""
        found = self.args[1] if len(self.args) > 1 else None
        return found if isinstance(found, Refusal) else None

    def __str__(self) -> str:
        """Return the sentence."""
        return str(self.args[0])


class PackageError(BuilderError):
    """A package archive cannot be turned into a layer."""


class PackageUnavailable(PackageError, kind="unavailable"):
    """A package archive cannot be downloaded."""


class CorruptPackage(PackageError):
    """A package archive is damaged, or is not the one that was locked."""


class UnsafePackage(PackageError):
    """A package would write outside its prefix, or is larger than allowed."""


class UnsupportedPackage(PackageError):
    """A package uses something that cannot be put into an image."""


class BytecodeError(BuilderError):
    """The target's Python could not compile a package."""


class SandboxUnavailable(BuilderError, kind="unavailable"):
    """The server has nothing in which it could run the Python of an environment."""


class WorkerLost(BuilderError, kind="unavailable"):
    """A process that assembled a layer ended before its time."""


class WorkersBusy(BuilderError, kind="busy"):
    """More work waits for the workers than is let wait."""


class WorkersUnavailable(BuilderError, kind="unavailable"):
    """The workers cannot be reached."""


class StoreUnavailable(BuilderError, kind="unavailable"):
    """The store does not answer, or has no room left."""


class MachineUnavailable(BuilderError, kind="unavailable"):
    """This machine has no files, memory, threads or processes left."""


class BaseImageError(BuilderError):
    """The base image is not an image, or has no such platform."""


class BaseImageUnavailable(BaseImageError, kind="unavailable"):
    """The registry of the base image does not answer."""
