from collections.abc import Iterator
from typing import TypeVar

import pytest

from builder.errors import BuilderError, ChannelUnavailable, Unsatisfiable, WorkersBusy
from builder.oci.models import INDEX_TYPES, MANIFEST_TYPES, OCI_MANIFEST
from builder.ports import Progress
from registry.errors import (
    ApiError,
    BlobUnavailable,
    ContentUnavailable,
    DatabaseMissing,
    DatabaseOutdated,
    DatabaseUnavailable,
    Denied,
    ManifestUnknown,
    NameUnknown,
    PolicyInvalid,
    PrefixError,
    ProviderUnavailable,
    RangeInvalid,
    ReferrersUnavailable,
    RegistryError,
    SourceFileUnreadable,
    SourceUnreachable,
    StillBuilding,
    TagInvalid,
    Unauthorized,
    Unsupported,
)
from registry.web.distribution.errors import error_answer, status_and_code

CONTAINERD = "containerd/1.6.20"


Error = TypeVar("Error", bound=Exception)


def family(root: type[Error]) -> Iterator[type[Error]]:
    yield root
    for child in root.__subclasses__():
        yield from family(child)


OF_THE_API = frozenset(family(ApiError))


@pytest.mark.parametrize(
    "kind",
    [*family(BuilderError), *(kind for kind in family(RegistryError) if kind not in OF_THE_API)],
    ids=lambda kind: kind.__name__,
)
def test_every_error_is_told(kind: type[BuilderError | RegistryError]) -> None:
    # A server with an invalid policy does not start.
    assert status_and_code(kind)[0] < 500 or kind in {
        RegistryError,
        BlobUnavailable,
        ContentUnavailable,
        DatabaseMissing,
        DatabaseOutdated,
        DatabaseUnavailable,
        PolicyInvalid,
        ProviderUnavailable,
        ReferrersUnavailable,
        # Whoever looks at files writes these down: no request is answered by them.
        SourceFileUnreadable,
        SourceUnreachable,
        # These are told where the directories are.
        *family(PrefixError),
    }


def test_an_error_of_a_pull_is_shown_by_docker() -> None:
    for kind in family(BuilderError):
        if kind is WorkersBusy:  # the one that is worth another try at once, by the client itself
            assert status_and_code(kind) == (429, "TOOMANYREQUESTS")
        elif kind.__name__ != "InvalidDigest":
            assert status_and_code(kind) == (404, "MANIFEST_UNKNOWN")


def lines_of(error: BuilderError | RegistryError, method: str, agent: str) -> dict[str, str]:
    answer = error_answer(error, method=method, headers={"user-agent": agent})
    lines = {name.decode(): value.decode() for name, value in answer.headers}
    return {"status": str(answer.status), **lines}


@pytest.mark.parametrize(
    ("error", "method", "agent", "expected"),
    [
        (Unsatisfiable("x"), "GET", "docker/20.10", {"status": "404"}),
        (Unsatisfiable("x"), "HEAD", "docker/20.10", {"status": "404"}),
        (Unsatisfiable("x"), "GET", CONTAINERD, {"status": "400"}),
        (Unsatisfiable("x"), "HEAD", CONTAINERD, {"status": "405", "allow": "GET"}),
        (Unsatisfiable("x"), "GET", "containerd/v2.4.2", {"status": "403"}),
        (Unsatisfiable("x"), "HEAD", "containerd/v2.4.2", {"status": "403"}),
        (Unsatisfiable("x"), "GET", "docker/29.0.0 containerd-client/2.1", {"status": "403"}),
        (NameUnknown("x"), "GET", "containerd/v2.4.2", {"status": "404"}),
        (ChannelUnavailable("x"), "GET", "", {"status": "404", "retry-after": "10"}),
        (ChannelUnavailable("x"), "GET", CONTAINERD, {"status": "400", "retry-after": "10"}),
        (
            ChannelUnavailable("x"),
            "HEAD",
            CONTAINERD,
            {"status": "405", "retry-after": "10", "allow": "GET"},
        ),
        (NameUnknown("x"), "HEAD", CONTAINERD, {"status": "404"}),
        (BlobUnavailable("x"), "GET", "docker/29.0", {"status": "503", "retry-after": "10"}),
        (BlobUnavailable("x"), "GET", CONTAINERD, {"status": "503", "retry-after": "10"}),
        (Unsupported("x", ["PUT"]), "POST", CONTAINERD, {"status": "405", "allow": "PUT"}),
        (RangeInvalid(10), "GET", "", {"status": "416", "content-range": "bytes */10"}),
        (StillBuilding(Progress("solve")), "GET", "", {"status": "429", "retry-after": "10"}),
        (
            StillBuilding(Progress("solve")),
            "HEAD",
            "",
            {"status": "405", "retry-after": "10", "allow": "GET"},
        ),
    ],
)
def test_each_engine_is_told_so_that_it_shows_it(
    error: BuilderError | RegistryError, method: str, agent: str, expected: dict[str, str]
) -> None:
    always = {"content-type": "application/json", "cache-control": "no-store"}
    assert lines_of(error, method, agent) == {**always, **expected}


RESOLVES = ", ".join([*sorted(MANIFEST_TYPES | INDEX_TYPES), "*/*"])
ABOUT_TO_PUSH = f"{OCI_MANIFEST}, */*"


@pytest.mark.parametrize(
    ("error", "accept", "status"),
    [
        (NameUnknown("x"), RESOLVES, 403),
        (ManifestUnknown("x"), RESOLVES, 403),
        (TagInvalid("x"), RESOLVES, 403),
        (ContentUnavailable("x"), RESOLVES, 403),
        (NameUnknown("x"), ABOUT_TO_PUSH, 404),
        (ManifestUnknown("x"), ABOUT_TO_PUSH, 404),
        (StillBuilding(Progress("solve")), RESOLVES, 429),
        (Denied("x"), RESOLVES, 403),
        (Unauthorized("x"), RESOLVES, 401),
    ],
    ids=str,
)
def test_containerd_is_told_why_a_reference_is_refused_and_may_push_what_is_not_there(
    error: RegistryError, accept: str, status: int
) -> None:
    headers = {"user-agent": "containerd/v2.4.2", "accept": accept}
    assert error_answer(error, method="GET", headers=headers).status == status
    older = {**headers, "user-agent": CONTAINERD}
    assert error_answer(error, method="GET", headers=older).status != 403 or (
        status_and_code(type(error))[0] == 403
    )
