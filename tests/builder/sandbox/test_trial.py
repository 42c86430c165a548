"""Hostile commands in an image and in a prefix: they do no harm, and nothing of them is left."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from builder.errors import SandboxUnavailable
from builder.sandbox import rooted
from builder.sandbox.processes import family
from builder.sandbox.rooted import MOUNTS, WRITABLE, rooted_command
from builder.sandbox.sandbox import find_sandbox
from builder.sandbox.trial import Excess, Trial, TrialLimits, run_trial
from conformance.missing import skip_unless_ci
from tests.tiny_root import root_members

#: By which the processes of these tests are known among all others.
MARK = "86399"
MUCH = "head -c 90m /dev/zero | tail"
DEEP = "cd; while mkdir -p a/a/a/a/a/a/a/a/a/a && cd a; do :; done; sleep 9"
RunShell = Callable[..., Trial]
KINDS = ["rooted", "landlock"]


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """An image that every user of the machine may pass to."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        root = Path(directory) / "root"
        for name in MOUNTS:
            (root / name).mkdir(parents=True)
        for name, content in root_members().items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            assert isinstance(content, bytes)
            path.write_bytes(content)
            path.chmod(0o755)
        yield root


def command_of(
    kind: str, root: Path, work: Path, command: str, limits: TrialLimits
) -> tuple[Sequence[str], int | None]:
    try:
        sandbox = find_sandbox("bwrap" if kind == "rooted" else "landlock")
    except SandboxUnavailable as exc:
        skip_unless_ci(exc.message)
    if kind == "rooted":
        made = rooted_command(sandbox.bwrap, root, command, {"PATH": "/bin"}, limits)
        return made.argv, made.user
    argv = sandbox.command(
        ["/bin/sh", "-c", command],
        prefix=root,
        environment={"PATH": "/usr/bin:/bin", "HOME": str(work)},
        writable=work,
        programs=True,
        limits=limits.of_each,
        supervised=True,
    )
    return argv, None


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def run(kind: str, root: Path, tmp_path: Path) -> Iterator[RunShell]:
    def given(command: str, **limits: float) -> Trial:
        held = replace(TrialLimits(60), **limits)  # type: ignore[arg-type] # whole numbers are, too
        argv, user = command_of(kind, root, tmp_path, command, held)
        written: Sequence[str | Path] = tuple(WRITABLE) if kind == "rooted" else (tmp_path,)
        return run_trial(argv, held, threading.Event(), written=written, user=user)

    yield given
    assert left() == []


def left() -> list[str]:
    """Return the processes of these tests that are there."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if MARK.encode() in line and path.parent.name != str(os.getpid()):
            found.append(str(line))
    return found


@pytest.mark.parametrize(
    ("command", "limits", "excess"),
    [
        (f"trap '' TERM INT HUP; while :; do sleep {MARK}; done", {"seconds": 0.5}, "time"),
        (f"exec >&- 2>&-; sleep {MARK}", {"seconds": 0.5}, "time"),
        (f"{MUCH} & {MUCH}; wait", {"memory_bytes": 128 << 20}, "memory"),
        ("cd; i=0; while i=$((i+1)); do : >$i; done", {"files": 500}, "disk"),
        (DEEP, {"files": 500}, "disk"),
    ],
    ids=["ignores signals", "closes its output", "memory", "files", "deep"],
)  # fmt: skip
def test_what_takes_too_much_is_ended(
    run: RunShell, command: str, limits: dict[str, float], excess: Excess
) -> None:
    found = run(command, **limits)
    assert (found.status, found.excess) == (None, excess), found.output


def test_processes_are_not_more_than_there_may_be(run: RunShell) -> None:
    """The kernel refuses them, or the command is ended."""
    found = run(f"while :; do sleep {MARK} & done", processes=30)
    assert found.excess == "processes" or b"fork" in found.output, found


def test_one_process_has_no_more_memory_than_it_may(run: RunShell) -> None:
    found = run("tail /dev/zero", memory_bytes=128 << 20)
    # It fails by the kernel's limit, unless what watches them all sees it before.
    if found.excess != "memory":
        assert found.status not in {0, None}
        assert b"memory" in found.output


def test_a_disk_is_not_filled(run: RunShell, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooted, "WRITABLE", {"/tmp": 8 << 20})
    if kind == "rooted":  # what is full is its own file system, in memory
        found = run("cd; head -c 30m /dev/zero >a; echo x >/a; echo x >/dev/a; ls")
        assert (found.status, found.output.splitlines()[-1]) == (0, b"a")
        assert b"No space left on device" in found.output
        assert found.output.count(b"Read-only file system") == 2
        return
    for command in (
        "cd; i=0; while i=$((i+1)); do head -c 1m /dev/zero >$i; done",
        # A file without a name is seen all the same.
        "exec 3>$HOME/a; rm $HOME/a; while :; do head -c 1m /dev/zero >&3; done",
        # So is what is behind a closed door.
        "cd; mkdir -m 300 a; while :; do head -c 1m /dev/zero >>a/b; done",
    ):
        assert run(command, disk_bytes=8 << 20).excess == "disk"


def threads_of(user: int) -> int:
    """Return how many threads a user has, in all processes."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            if process.stat().st_uid == user:
                count += len(list((process / "task").iterdir()))
    return count


def test_a_bomb_of_processes_goes_off_harmlessly(root: Path, tmp_path: Path) -> None:
    """With bubblewrap: the kernel bounds whom it cannot count among root's."""
    limits = TrialLimits(3, processes=100)
    argv, user = command_of("rooted", root, tmp_path, "b() { b | b & }; b; sleep 2", limits)
    if not (user or os.geteuid()):
        skip_unless_ci("this machine lets none but root have namespaces")
    # The kernel counts all that runs for the same user, and so what other tests have running.
    most_of_user = threads_of(user or os.geteuid()) + 100
    argv = [part.replace("ulimit -p 4096", f"ulimit -p {most_of_user}") for part in argv]
    # What other tests have running in this process is none of it.
    before = {one.pid for one in family(os.getpid())}
    most = 0
    stopping = threading.Event()

    def count() -> None:
        nonlocal most
        while not stopping.wait(0.1):
            most = max(most, len(family(os.getpid())))

    counting = threading.Thread(target=count)
    counting.start()
    try:
        found = run_trial(argv, limits, threading.Event(), user=user)
    finally:
        stopping.set()
        counting.join()
    assert b"fork" in found.output or found.excess == "processes", found
    assert most < 300
    assert {one.pid for one in family(os.getpid())} <= before


def test_what_goes_on_in_the_background_ends_with_the_command(run: RunShell) -> None:
    began = time.monotonic()
    found = run(f"sleep {MARK} & (sleep {MARK} >/dev/null 2>&1 &) ; echo done; exit 3")
    assert (found.status, found.output) == (3, b"done\n")
    assert time.monotonic() - began < 30


def test_a_command_cannot_end_whoever_started_it(run: RunShell) -> None:
    killed = run(f"kill -9 $PPID; kill -0 {os.getpid()} && echo reached; echo alive")
    said = killed.output.splitlines()
    assert (killed.status, said[-1]) == (0, b"alive")
    assert b"reached" not in said


def test_modes_that_cannot_be_changed_stay_and_nothing_is_said(
    kind: str, root: Path, tmp_path: Path
) -> None:
    """Whoever copies files sets them; with landlock, it would be possible of others' files."""
    outside = tmp_path.with_name("outside")
    outside.touch(mode=0o600)
    work = tmp_path / "work"
    work.mkdir(mode=0o777)
    program = f"chmod 4777 {outside} && touch -d 2020-01-01 {outside}" * (kind == "landlock")
    command = f"cd && echo x >a && chmod 700 a && {program or ':'}"
    argv, user = command_of(kind, root, work, command, TrialLimits(60))
    found = run_trial(argv, TrialLimits(60), threading.Event(), user=user)
    assert (found.status, found.output) == (0, b"")
    assert outside.stat().st_mode & 0o7777 == 0o600
    assert outside.stat().st_mtime > time.time() - 1000


def test_only_the_end_of_much_output_is_kept(run: RunShell) -> None:
    found = run("head -c 30m /dev/zero; echo; echo end", output_bytes=1000)
    assert found.status == 0
    assert len(found.output) == 1000
    assert found.output.endswith(b"\0\nend\n")


def test_a_command_ends_when_the_server_does(kind: str, root: Path, tmp_path: Path) -> None:
    argv, user = command_of(kind, root, tmp_path, f"sleep {MARK} & sleep {MARK}", TrialLimits(60))
    stopping = threading.Event()
    threading.Timer(0.5, stopping.set).start()
    assert run_trial(argv, TrialLimits(60), stopping, user=user).excess == "stopped"
    assert left() == []


def test_nothing_is_left_of_a_command_whose_server_was_killed(
    kind: str, root: Path, tmp_path: Path
) -> None:
    argv, user = command_of(kind, root, tmp_path, f"sleep {MARK} & sleep {MARK}", TrialLimits(60))
    program = (
        "import sys, threading; from builder.sandbox.trial import TrialLimits, run_trial\n"
        "user, *argv = sys.argv[1:]\n"
        "run_trial(argv, TrialLimits(60), threading.Event(), user=int(user) if user else None)"
    )
    server = subprocess.Popen([sys.executable, "-c", program, str(user or ""), *argv])
    deadline = time.monotonic() + 60
    while len(left()) < 2:
        assert time.monotonic() < deadline
    server.send_signal(signal.SIGKILL)
    server.wait()
    while left():
        assert time.monotonic() < deadline


#: What a command of an image may try; what can be done is said, a word each.
TRY = 'try() { name=$1; shift; ( "$@" ) >/dev/null 2>&1 && echo "$name"; }\n'
READS = """
descriptors() {
    # Not every machine lets it have a /proc of its own.
    if [ -e /proc/self/fd ]; then [ "$(ls /proc/self/fd)" != "$(echo 0; echo 1; echo 2; echo 3)" ]
    else for n in 3 4 5 6 7 8 9; do ( : <&$n ) && return 0; done; return 1; fi
}
try secret cat "@secret@"
try environment cat /proc/@server@/environ
try root ls /proc/@server@/root/
try signal kill -0 @server@
try variables sh -c '[ -n "$PULLFORGE_SECRET" ]'
try shadow sh -c 'read -r line </etc/shadow; [ "$line" != "root:of-the-image:::::::" ]'
try descriptors descriptors
"""
#: Harmless where it can be done.
OPENS = """
opens() { : >>"$1"; }
try outside opens "@secret@"
for place in / /bin /etc /opt /dev /proc /sys; do try "$place" opens "$place/pullforge-test"; done
try program opens /bin/sh
try kernel opens /proc/sys/kernel/hostname
"""


def test_a_hostile_command_in_an_image_reaches_nothing_else(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULLFORGE_SECRET", "hunter2")
    secret = tmp_path / "secret"
    secret.write_text("hunter2")

    def tried(text: str) -> str:
        return TRY + text.replace("@secret@", str(secret)).replace("@server@", str(os.getpid()))

    hostile = tried(f"{READS}{OPENS}echo end")
    argv, user = command_of("rooted", root, tmp_path, hostile, TrialLimits(60))
    found = run_trial(argv, TrialLimits(60), threading.Event(), user=user)
    assert found.output == b"end\n"
    # A test of the test: without a sandbox it can.
    free = ["/bin/sh", "-c", tried(READS)]
    freely = subprocess.run(free, capture_output=True, check=False, text=True).stdout.split()
    assert {"secret", "environment", "root", "signal", "variables"} <= set(freely)


def sleeping() -> Path:
    """Return what ``/proc`` has of the command that sleeps, as soon as it does."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if path.read_bytes() == f"sleep\0{MARK}\0".encode():
                    return path.parent
    raise AssertionError("it does not sleep")


def test_the_network_of_a_command_is_its_own(root: Path, tmp_path: Path) -> None:
    """It has nothing but a loopback, on which nobody else is."""
    limits, ending = TrialLimits(60), threading.Event()
    argv, user = command_of("rooted", root, tmp_path, f"exec sleep {MARK}", limits)
    running = threading.Thread(target=run_trial, args=(argv, limits, ending), kwargs={"user": user})
    with socket.create_server(("127.0.0.1", 0)):
        running.start()
        try:
            # From outside: not every machine lets it have a /proc of its own.
            net = sleeping() / "net"
            lines = [
                line
                for name in ("dev", "tcp", "route")
                for line in (net / name).read_text().splitlines()
            ]
        finally:
            ending.set()
            running.join()
    assert [line.split(":")[0].strip() for line in lines if ":" in line] == ["lo"]
    assert len([line for line in lines if "Rem" in line or "rem_address" in line]) == 1


def test_where_a_proc_of_its_own_is_refused_a_command_runs_without(root: Path) -> None:
    """As in most containers, which show their processes parts of theirs alone."""
    program = (
        "import sys, threading; from pathlib import Path\n"
        "from builder.sandbox import rooted; from builder.sandbox.sandbox import find_sandbox\n"
        "from builder.sandbox.trial import TrialLimits, run_trial\n"
        "limits, bwrap = TrialLimits(30), find_sandbox('bwrap').bwrap\n"
        "made = rooted.rooted_command(bwrap, Path(sys.argv[1]), 'ls /proc; echo $LD_ORIGIN_PATH',"
        " {'PATH': '/bin'}, limits)\n"
        "print(run_trial(made.argv, limits, threading.Event(), user=made.user))"
    )
    mask = "mount --bind /dev/null /proc/version && exec"
    outcome = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "/bin/sh", "-c", f'{mask} "$@"', "sh",
         sys.executable, "-c", program, str(root)],
        capture_output=True, text=True, check=False, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    if outcome.returncode:
        skip_unless_ci(f"no user namespaces: {outcome.stderr[-300:]}")
    assert r"output=b'/opt/conda/bin\n'" in outcome.stdout
    assert "status=0" in outcome.stdout
