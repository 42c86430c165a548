"""Commands run in images that this server has built, in every kind of sandbox."""

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from builder.errors import DomainError, SandboxUnavailable
from builder.lock import Lock
from builder.sandbox.sandbox import Sandbox, SandboxKind, find_sandbox
from builder.sandbox.trial import Trial, TrialLimits
from conformance.channel.index import index_channel
from conformance.channel.writer import PLACEHOLDER, Entry, Package, write_package
from conformance.missing import skip_unless_ci
from registry.errors import ImageUnfit
from registry.upkeep.images import ImagePlaces, RunCommand
from registry.wiring.building import host_subdir
from tests.registry.asgi import Client
from tests.registry.web.api.site import Site, build, wish
from tests.tiny_channel import IN_2025
from tests.tiny_root import root_members, write_tiny_base

pytestmark = pytest.mark.anyio

KINDS: list[SandboxKind] = ["bwrap", "landlock"]
WHERE = b"""#!/bin/sh
echo "in $CONDA_PREFIX"
cat "$CONDA_PREFIX/where"
"""
#: A script sets a variable, and a file has the prefix in it.
LOUD = Package(
    "loud",
    "1.0",
    entries=[
        Entry(
            "bin/where",
            data=b'#!/bin/sh\necho "in $CONDA_PREFIX"\ncat "$CONDA_PREFIX/where"\n',
            mode=0o755,
        ),
        Entry("where", data=f"lies in {PLACEHOLDER}.\n".encode()),
        Entry("etc/conda/activate.d/loud.sh", data=b"export LOUD=$CONDA_PREFIX/loud\n"),
    ],
    timestamp_ms=IN_2025,
)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user may pass to, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o711)
        yield Path(directory)


@pytest.fixture
def site(place: Path) -> Site:
    site = Site.make(place)
    site.settings["base"] = f"oci:{write_tiny_base(place / 'real', root_members())}"
    write_package(LOUD, site.channel)
    index_channel(site.channel)
    return site


def sandbox_of(kind: SandboxKind) -> Sandbox:
    try:
        return find_sandbox(kind)
    except SandboxUnavailable as exc:
        skip_unless_ci(exc.message)


def places(client: Client, sandbox: Sandbox, scratch: Path) -> ImagePlaces:
    async def given() -> Sandbox:
        return sandbox

    scratch.mkdir(exist_ok=True)
    forms = client.services.builds.forms
    return ImagePlaces(forms._store, forms, forms._workers, given, scratch, host_subdir())


async def locked(client: Client, body: bytes) -> Lock:
    reply = await build(client, body)
    assert reply.status in {200, 201}, reply
    lock = await client.services.builds.locked.lock(reply.json()["key"])
    assert lock is not None
    return lock


@asynccontextmanager
async def opened(site: Site, kind: SandboxKind, body: bytes) -> AsyncIterator["Runner"]:
    async with site.open() as client:
        lock = await locked(client, body)
        scratch = site.root / "scratch"
        async with places(client, sandbox_of(kind), scratch).open(lock) as run:
            yield Runner(run, next(scratch.glob("test-*")))
        assert list(scratch.iterdir()) == []


class Runner:
    """Runs commands in one image."""

    def __init__(self, run: RunCommand, directory: Path) -> None:
        self._run = run
        self.directory = directory

    async def __call__(self, command: str, **limits: float) -> Trial:
        given = replace(TrialLimits(60), **limits)  # type: ignore[arg-type] # whole numbers are, too
        return await self._run(command, given, threading.Event())

    async def said(self, command: str) -> list[str]:
        trial = await self(command)
        assert (trial.status, trial.excess) == (0, None), trial
        return trial.output.decode().splitlines()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_command_runs_in_the_environment_as_in_a_container(
    site: Site, kind: SandboxKind
) -> None:
    async with opened(site, kind, wish("loud", "tool")) as run:
        prefix = "/opt/conda" if kind == "bwrap" else str(run.directory / "root")
        assert await run.said("tool; where; echo $LOUD") == [
            "2.0",
            f"in {prefix}",
            f"lies in {prefix}.",
            f"{prefix}/loud",
        ]
        # Files can be made where they are by default, and in what programs take for their home.
        assert await run.said("echo a >here; cat here >$HOME/there; cat ~/there; ls") == [
            *("a", "here", "there"),
        ]
        assert await run.said("echo $HOME; cat here || echo gone") != ["a"]
        failed = await run("echo out; echo err >&2; exit 7")
        assert (failed.status, failed.output) == (7, b"out\nerr\n")
        assert (await run("no-such-program")).status == 127
        assert (await run("kill -9 $$ || exit 1")).status in {137, 1}
        assert (await run("nonsense ((")).status == 2
        if kind == "bwrap":
            assert await run.said("id -u; echo $FROM_BASE; cat /etc/shadow") == [
                *("65534", "a b", "root:of-the-image:::::::"),
            ]
            # Not every machine lets it have a /proc of its own.
            shown = "if [ -e /proc/self/fd ]; then ls /proc/self/fd; else echo none; fi"
            assert await run.said(shown) in (["0", "1", "2", "3"], ["none"])


async def test_where_nothing_can_be_run_one_sentence_says_why(site: Site, place: Path) -> None:
    (place / "shell-less").mkdir()
    empty = write_tiny_base(place / "shell-less", {"etc/passwd": b""})
    bare = wish("tool", base=None)
    cases: list[tuple[SandboxKind, bytes, str]] = [
        ("bwrap", bare, "the image has no base, and so no /bin/sh to run the test command with"),
        ("landlock", bare, "the image has no base, and so no /bin/sh"),
        ("none", wish("tool"), r"to let bubblewrap or landlock work \(PULLFORGE_SANDBOX=none\)"),
    ]
    scratch = place / "scratch"
    async with site.open() as client:
        for kind, body, message in cases:
            lock = await locked(client, body)
            with pytest.raises(DomainError, match=message):
                async with places(client, sandbox_of(kind), scratch).open(lock):
                    pass
        other = replace(lock, platforms={})
        with pytest.raises(ImageUnfit, match="the environment is not for linux-"):
            async with places(client, sandbox_of("none"), scratch).open(other):
                pass
    async with site.open(base=f"oci:{empty}", store=str(place / "other")) as client:
        lock = await locked(client, wish("tool"))
        with pytest.raises(ImageUnfit, match="the base image has no /bin/sh"):
            async with places(client, sandbox_of("bwrap"), scratch).open(lock):
                pass
    assert list(scratch.iterdir()) == []


async def test_a_command_that_is_not_wanted_any_more_ends_and_its_image_goes(site: Site) -> None:
    async with opened(site, "bwrap", wish("tool")) as run:
        running = asyncio.create_task(run("sleep 86398"))
        while not commands("86398"):  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.01)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        assert commands("86398") == []


def commands(argument: str) -> list[str]:
    """Return the processes that have an argument."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if argument.encode() in path.read_bytes().split(b"\0"):
                found.append(path.parent.name)
    return found
