"""What may help against an error: one sentence for whoever has asked, beside that of the error."""

from collections.abc import Mapping
from typing import Final

_AGAIN: Final = "Try again in a moment; if it stays so, tell whoever runs this service."
_WRITE: Final = "Mend the line that is named: docs/inputs.md has what can be written."
_OTHER: Final = "Ask for another version or build of the package, or leave it out."
_LOCK: Final = "Send the specification instead of the lock, and have it solved here."

#: By the code that stands for an error's class in messages and in the store.
_BY_CODE: Final[Mapping[str, str]] = {
    "BuilderError": "",
    "InvalidDigest": _WRITE,
    "ImageNameError": _WRITE,
    "MalformedName": _WRITE,
    "MalformedTag": _WRITE,
    "InputError": _WRITE,
    "UnsupportedItem": "Write it into an environment.yml: names of images cannot say everything.",
    "ChannelNotAllowed": "Take one of the channels that the sentence names.",
    "SolveError": "Loosen the conditions on versions, or ask for fewer packages at once.",
    "UnknownPackage": "Check how it is written, or add the channel that has it.",
    "Unsatisfiable": "Loosen or remove one of the conditions that the sentence names.",
    "NoWheel": "Ask for another version of it, or for the package of conda.",
    "SolveTimeout": "Say which versions of the largest packages you want: there is less to try.",
    "ChannelUnavailable": _AGAIN,
    "NoChannel": "Check the address or the name of the channel.",
    "IndexUnavailable": _AGAIN,
    "LockError": _LOCK,
    "PolicyRefused": "Ask for a waiver, or choose what the policy lets pass.",
    "PackageError": _OTHER,
    "PackageUnavailable": _AGAIN,
    "CorruptPackage": _OTHER,
    "UnsafePackage": _OTHER,
    "UnsupportedPackage": _OTHER,
    "BytecodeError": "Ask for another version of Python, or of the package.",
    "SandboxUnavailable": "Tell whoever runs this service: scripts of packages cannot be run here.",
    "WorkerLost": _AGAIN,
    "WorkersBusy": _AGAIN,
    "WorkersUnavailable": _AGAIN,
    "StoreUnavailable": _AGAIN,
    "MachineUnavailable": _AGAIN,
    "BaseImageError": "Check the reference of the base, or take the default.",
    "BaseImageUnavailable": _AGAIN,
    "BuildBlocked": "Change what is asked for, so that another build comes of it.",
}


def suggestion_for(code: str) -> str:
    """Return a sentence on what may help; empty: nobody knows.

    Args:
        code: As a :class:`registry.images.failure.Failure` has it, e.g. ``"Unsatisfiable"``.
    """
    return _BY_CODE.get(code, "")
