import errno
import os
import pickle
from pathlib import Path

import pytest

from builder.errors import MachineUnavailable
from builder.install.prefix.errors import DirectoryUnusable, PrefixTooLong, told_of
from registry.images.failure import Failure

HERE = Path("/srv/envs")


def said_of(number: int) -> str:
    with pytest.raises(MachineUnavailable) as refused, told_of(HERE):
        raise OSError(number, os.strerror(number), "/srv/envs/x")
    return refused.value.message


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "has no room left: make room there, and try again"),
        (errno.EDQUOT, "lets this user store no more (quota): make room there, and try again"),
        (errno.EROFS, "is mounted read-only: mount it so that it can be written"),
        (errno.EACCES, "may not be written by this process: run it as who owns the directory"),
        (errno.EIO, "does not work: look at the disk, or at the server that it is on"),
        (errno.EFBIG, "takes no file as large as one of a package: use another one"),
        (errno.ELOOP, "has refused something with 'Too many levels of symbolic links': look at it"),
    ],
)
def test_what_a_file_system_refuses_is_one_sentence_that_names_it(number: int, said: str) -> None:
    assert said_of(number) == f"the file system of /srv/envs {said}"


def test_what_the_machine_lacks_is_no_fault_of_the_file_system() -> None:
    assert said_of(errno.EMFILE).startswith("this server has as many files and connections open")
    assert said_of(errno.ENOMEM).startswith("this server has no memory left")


def test_other_errors_pass() -> None:
    with pytest.raises(ValueError, match="x"), told_of(HERE):
        raise ValueError("x")
    with pytest.raises(DirectoryUnusable, match="y"), told_of(HERE):
        raise DirectoryUnusable("y")


def test_one_of_another_process_says_the_same() -> None:
    error = PrefixTooLong("a-1-0", "bin/a", 10, "/srv/envs/builds")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.message, copy.room, copy.path) == (error.message, 10, "bin/a")


def test_one_that_travels_counts_as_what_it_is_based_on() -> None:
    assert Failure.of(PrefixTooLong("a-1-0", "bin/a", 10, "/srv/envs/builds")).kind == (
        "UnsupportedPackage"
    )
    assert Failure.of(DirectoryUnusable("x")).kind == "MachineUnavailable"
