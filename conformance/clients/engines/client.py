"""What all clients have in common, so that a test can be written once for all of them."""

from dataclasses import dataclass
from typing import Protocol, Self, runtime_checkable

from conformance.clients.engines.program import Outcome

#: How long a pull may take unless the test says otherwise.
PULL_TIMEOUT_SECONDS = 300


class EngineMissing(Exception):
    """A program that the engine needs is not installed."""


class RunFailed(AssertionError):
    """A command in a container ended with an error; the message has its output."""


@dataclass(frozen=True, slots=True)
class PullResult:
    """How a pull ended."""

    returncode: int
    #: Everything the client printed, to either stream.
    output: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the client says that it has the image."""
        return self.returncode == 0

    @property
    def words(self) -> str:
        r"""The output in one line and without escapes.

        Clients break lines, and podman and containerd log in ``key="value"`` form, where a quote
        is written ``\"``.
        """
        return " ".join(self.output.replace('\\"', '"').split())

    @classmethod
    def of(cls, outcome: Outcome) -> "PullResult":
        """Return the result of a client that was run once."""
        return cls(outcome.returncode, outcome.output, outcome.seconds)


class Client(Protocol):
    """Something that pulls images.

    References are as users write them: ``127.0.0.1:5000/env/numpy:latest``.
    """

    #: For test ids, e.g. ``"containerd-1.6"``.
    name: str

    def __enter__(self) -> Self:
        """Start what must run.

        Raises:
            EngineMissing: It is not installed here.
        """
        ...

    def __exit__(self, *_: object) -> None:
        """Stop what was started and delete its data."""
        ...

    def pull(
        self,
        reference: str,
        *,
        architecture: str = "amd64",
        timeout_seconds: float = PULL_TIMEOUT_SECONDS,
    ) -> PullResult:
        """Pull an image; a failure is a result, not an exception."""
        ...

    def remove(self, reference: str) -> None:
        """Forget an image, and as far as the client can, its layers."""
        ...

    def log_in(self, host: str, name: str, password: str) -> PullResult:
        """Log in as users do; a failure is a result, and leaves no login."""
        ...

    def log_out(self, host: str) -> None:
        """Forget the login."""
        ...


@runtime_checkable
class Runner(Client, Protocol):
    """A client that also runs what it pulled."""

    def run(
        self, reference: str, *command: str, user: str | None = None, read_only: bool = False
    ) -> str:
        """Run a command in a new container without network and return its standard output.

        Raises:
            RunFailed: It did not end with 0.
        """
        ...
