"""Why work failed, as an error that outlives the process it was raised in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from builder import errors
from builder.errors import BuilderError, InputError, PolicyRefused, Refusal
from registry.errors import BuildBlocked

#: The errors that travel, by the code that stands for them in messages and in the store.
ERROR_CODES: Final[dict[str, type[BuilderError]]] = {
    "BuilderError": errors.BuilderError,
    "InvalidDigest": errors.InvalidDigest,
    "ImageNameError": errors.ImageNameError,
    "MalformedName": errors.MalformedName,
    "MalformedTag": errors.MalformedTag,
    "UnsupportedItem": errors.UnsupportedItem,
    "ChannelNotAllowed": errors.ChannelNotAllowed,
    "SolveError": errors.SolveError,
    "UnknownPackage": errors.UnknownPackage,
    "Unsatisfiable": errors.Unsatisfiable,
    "NoWheel": errors.NoWheel,
    "SolveTimeout": errors.SolveTimeout,
    "ChannelUnavailable": errors.ChannelUnavailable,
    "NoChannel": errors.NoChannel,
    "IndexUnavailable": errors.IndexUnavailable,
    "LockError": errors.LockError,
    "InputError": errors.InputError,
    "PolicyRefused": errors.PolicyRefused,
    "PackageError": errors.PackageError,
    "PackageUnavailable": errors.PackageUnavailable,
    "CorruptPackage": errors.CorruptPackage,
    "UnsafePackage": errors.UnsafePackage,
    "UnsupportedPackage": errors.UnsupportedPackage,
    "BytecodeError": errors.BytecodeError,
    "SandboxUnavailable": errors.SandboxUnavailable,
    "WorkerLost": errors.WorkerLost,
    "WorkersBusy": errors.WorkersBusy,
    "WorkersUnavailable": errors.WorkersUnavailable,
    "StoreUnavailable": errors.StoreUnavailable,
    "MachineUnavailable": errors.MachineUnavailable,
    "BaseImageError": errors.BaseImageError,
    "BaseImageUnavailable": errors.BaseImageUnavailable,
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a request or a task failed."""

    #: The code of the error's class, e.g. ``"Unsatisfiable"``.
    kind: str
    #: One complete sentence.
    message: str
    #: The part of what was sent that is at fault, e.g. ``"dependencies[3]"``.
    field: str | None = None
    #: Its line, counted from 1.
    line: int | None = None
    #: Whether the same request may succeed later.
    transient: bool = False
    #: What a policy refused, if it was that.
    refusal: Refusal | None = None

    @classmethod
    def of(cls, error: BuilderError | BuildBlocked) -> "Failure":
        """Return what is kept of an error; one that a module keeps to itself counts as its base."""
        if isinstance(error, BuildBlocked):
            return cls(BuildBlocked.__name__, error.message)
        code = next(one.__name__ for one in type(error).__mro__ if one.__name__ in ERROR_CODES)
        place = (error.field, error.line) if isinstance(error, InputError) else (None, None)
        refusal = error.refusal if isinstance(error, PolicyRefused) else None
        return cls(code, error.message, *place, error.transient, refusal)

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> "Failure":
        """Return the failure whose fields, as JSON has them, these are."""
        refusal = content.get("refusal")
        if refusal is None:
            return cls(**content)
        packages = tuple(refusal["packages"])
        return cls(**{**content, "refusal": Refusal(**{**refusal, "packages": packages})})

    def error(self) -> BuilderError:
        """Return an error of the same class that says the same."""
        kind = ERROR_CODES.get(self.kind, BuilderError)
        if kind is InputError:
            place = str(InputError("", self.field, self.line))
            return InputError(self.message.removeprefix(place), self.field, self.line)
        if kind is PolicyRefused:
            return PolicyRefused(self.message, self.refusal)
        return kind.saying(self.message)
