"""What an error of the system means, and who is innocent."""

import errno
import os
import resource
import tempfile
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from builder.errors import (
    BuilderError,
    ChannelUnavailable,
    MachineUnavailable,
    PackageUnavailable,
    StoreUnavailable,
    UnknownPackage,
    WorkerLost,
)
from builder.system_errors import disk_errors, machine_errors


@contextmanager
def no_more_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.open("/dev/null", os.O_RDONLY)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def ask_nobody() -> None:
    try:
        httpx.get("http://127.0.0.1:9/", trust_env=False, verify=False)
    except (httpx.HTTPError, OSError) as exc:
        raise PackageUnavailable("the host does not answer") from exc


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "full"), StoreUnavailable),
        (OSError(errno.EDQUOT, "quota"), StoreUnavailable),
        (OSError(errno.EROFS, "read-only"), StoreUnavailable),
        (OSError(errno.EIO, "broken"), StoreUnavailable),
        (OSError(errno.ESTALE, "stale"), StoreUnavailable),
        (PermissionError(errno.EACCES, "denied"), StoreUnavailable),
        (FileNotFoundError(errno.ENOENT, "gone", "/nowhere/at/all"), StoreUnavailable),
        (NotADirectoryError(errno.ENOTDIR, "no directory", "/dev/null/x"), StoreUnavailable),
        (OSError(errno.EMFILE, "files"), MachineUnavailable),
        (OSError(errno.ENFILE, "files"), MachineUnavailable),
        (OSError(errno.ENOMEM, "memory"), MachineUnavailable),
        (BlockingIOError(errno.EAGAIN, "fork"), MachineUnavailable),
        (MemoryError(), MachineUnavailable),
        (RuntimeError("can't start new thread"), MachineUnavailable),
        (BrokenProcessPool("died"), WorkerLost),
    ],
)
def test_what_the_system_lacks_is_told_in_a_sentence(
    error: Exception, kind: type[BuilderError]
) -> None:
    with pytest.raises(kind) as caught, machine_errors():
        raise error
    assert caught.value.transient
    assert "/" not in caught.value.message


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "gone", "/tmp/pullforge-none"),
        ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
        RuntimeError("wrong"),
        ZeroDivisionError(),
        UnknownPackage("x", ["main"], "linux-64"),
        ChannelUnavailable("channel 'main' cannot be used: connection refused"),
    ],
)
def test_other_errors_stay_as_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, machine_errors():
        raise error
    assert caught.value is error


def test_a_directory_for_temporary_files_that_is_not_there_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(StoreUnavailable, match="works in"), machine_errors():
        tempfile.mkdtemp()
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "gone")])
    with pytest.raises(StoreUnavailable, match="works in"), machine_errors():
        tempfile.mkdtemp()


def test_a_file_that_cannot_be_opened_for_want_of_files_blames_the_machine() -> None:
    with no_more_files():
        with pytest.raises(MachineUnavailable), disk_errors():
            os.open("/dev/null", os.O_RDONLY)
        with pytest.raises(MachineUnavailable, match="files"), machine_errors():
            ask_nobody()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENOSPC, errno.EIO])
def test_a_channel_is_innocent_of_what_this_machine_lacks(number: int) -> None:
    """As rattler writes it."""
    cause = RuntimeError(f"failed to fetch: {os.strerror(number)} (os error {number})")
    with pytest.raises(BuilderError) as caught, machine_errors():
        raise ChannelUnavailable("channel 'main' cannot be used") from cause
    assert isinstance(caught.value, MachineUnavailable | StoreUnavailable)


@pytest.mark.parametrize("number", [errno.ECONNREFUSED, errno.ETIMEDOUT, errno.EPERM])
def test_a_channel_that_refuses_is_guilty(number: int) -> None:
    with pytest.raises(ChannelUnavailable), machine_errors():
        raise ChannelUnavailable("channel 'main' cannot be used") from OSError(number, "no")
