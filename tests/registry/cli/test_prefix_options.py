"""What people write for how a root is to be kept."""

import os
from collections.abc import Callable

import pytest
import typer

from registry.cli.prefix_options import group_of, owner_of

_NOBODY = 65534


@pytest.mark.parametrize(
    ("read", "option"), [(owner_of, "--owner"), (group_of, "--group")], ids=["owner", "group"]
)
def test_nobody_gives_files_to_others_who_may_not(read: Callable[[str], int], option: str) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(_NOBODY)
                os.setuid(_NOBODY)
            read("0")
        except typer.BadParameter as exc:
            os.write(writer, exc.message.encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        said = file.read().decode()
    os.waitpid(child, 0)
    assert said == (
        f"this process may not give files to others: leave out {option}, or run it as root"
    )


def test_files_stay_whose_they_are_by_anybodys_wish() -> None:
    assert (owner_of(str(os.geteuid())), group_of(str(os.getegid()))) == (
        os.geteuid(),
        os.getegid(),
    )
