"""One file for each build, mounted by a pass, by autofs and by hand."""

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from conformance import pypi
from conformance.channel import ChannelPaths
from conformance.channel.server import ChannelServer
from conformance.clients.server import ROOT
from conformance.prefixes.nobody import as_nobody, outcome, run, run_python
from conformance.prefixes.site import SPACE, Built, Node, Site, kill
from conformance.prefixes.trees import Tree, differences, of_prefix
from registry.prefixes.mounting import mounts

_SUM = "import numpy; print(int(numpy.arange(5).sum()))"
_KILLS = 6
_DOCS = ROOT / "docs" / "prefixes.md"
_AUTOFS = ROOT / "deploy" / "prefixes" / "autofs"
#: What the recipes call the root.
_PLACE = "/srv/conda"


@dataclass(frozen=True)
class World:
    """A server with environments of all kinds."""

    site: Site
    built: Mapping[str, Built]


@pytest.fixture(scope="module")
def world(paths: ChannelPaths, channel: ChannelServer, index: ChannelServer) -> Iterator[World]:
    """Build them."""
    with Site(paths, channel.url, settings=pypi.settings(index.url)) as site:
        special = ("python=3.11", "activatedemo", "bzip2-tools", "hardlinkdemo", "symlinkdemo")
        built = {
            "numbers": site.build(f"{SPACE}/numbers", "python=3.11", "numpy"),
            "special": site.build(f"{SPACE}/special", *special, "greeter", "emptydirdemo"),
            "wheels": site.build(f"{SPACE}/wheels", "python=3.11", pip=["jmespath", "flask"]),
        }
        yield World(site, built)


@pytest.fixture
def node(world: World) -> Iterator[Node]:
    """Return a machine without anything; nothing is mounted at its end."""
    node = world.site.node()
    node.home.chmod(0o755)
    yield node
    unmount(node)


def unmount(node: Node) -> None:
    """Leave a machine as it is when it has started again."""
    for at in mounts():
        if at.is_relative_to(node.root):
            subprocess.run(["umount", at], check=True)


def mounted(node: Node) -> set[str]:
    """Return the keys of what is mounted."""
    return {at.name for at in mounts() if at.parent == node.root / "builds"}


def images(node: Node) -> dict[str, bytes]:
    """Return the files of builds by key."""
    return {path.stem: path.read_bytes() for path in (node.root / ".images").rglob("*.squashfs")}


def trees(node: Node) -> dict[str, Tree]:
    """Return what is in every build."""
    return {path.name: of_prefix(path) for path in (node.root / "builds").iterdir()}


def hard_links(prefix: Path) -> set[tuple[str, ...]]:
    """Return which files of a build are one."""
    found: dict[int, list[str]] = {}
    for path in sorted(prefix.rglob("*")):
        if path.is_file() and not path.is_symlink():
            found.setdefault(path.stat().st_ino, []).append(str(path.relative_to(prefix)))
    return {tuple(paths) for paths in found.values() if len(paths) > 1}


@pytest.mark.parametrize("mount", ["kernel", "fuse"])
def test_a_mounted_build_is_the_prefix_of_hard_links(world: World, node: Node, mount: str) -> None:
    """File by file, with times, modes and hard links of packages; somebody else works with it."""
    node.sync()
    before = trees(node)
    times = {path: path.lstat().st_mtime for path in node.root.glob("builds/*/lib/**/*.py")}
    linked = {built.key: hard_links(node.prefix(built)) for built in world.built.values()}
    assert linked[world.built["special"].key]
    node.root.rename(node.home / "before")
    node.sync("--driver", "squashfs", "--mount", mount)
    assert mounted(node) == set(before)
    for key, tree in trees(node).items():
        assert differences(before[key], tree) == {}
        assert hard_links(node.root / "builds" / key) == linked[key]
    assert {path: path.lstat().st_mtime for path in times} == times
    assert run_python(node.link(f"{SPACE}/numbers"), _SUM) == "10"
    assert run(node.link(f"{SPACE}/special") / "bin" / "greet")
    assert run(node.link(f"{SPACE}/wheels") / "bin" / "flask", "--version").startswith("Python")
    new = node.link(f"{SPACE}/numbers") / "new"
    assert "Read-only file system" in outcome("touch", new).stderr
    assert not node.status()["problems"]


def test_two_machines_make_the_same_files(world: World, node: Node) -> None:
    """At other times, with other cores, another zone and umask."""
    node.sync("--driver", "squashfs")
    one = images(node)
    assert set(one) == {built.key for built in world.built.values()}
    node.root.rename(node.home / "before")
    changed = ["env", "TZ=Asia/Tokyo", "taskset", "-c", "0", "sh", "-c", 'umask 077; exec "$@"']
    argv = [*changed, "sh", *node.argv("--driver", "squashfs")]
    subprocess.run(argv, env=node.environment, check=True, stdout=subprocess.DEVNULL)
    assert images(node) == one


def test_a_machine_that_has_started_again_is_mounted_by_one_pass(node: Node, world: World) -> None:
    """Nothing is made anew."""
    options = ("--driver", "squashfs", "--mount", "kernel")
    node.sync(*options)
    before = {path: path.stat() for path in (node.root / ".images").rglob("*.squashfs")}
    unmount(node)
    assert outcome(node.link(f"{SPACE}/numbers") / "bin" / "python", "-V").returncode != 0
    node.sync(*options)
    assert run_python(node.link(f"{SPACE}/numbers"), _SUM) == "10"
    assert {path: path.stat() for path in before} == before
    assert len(mounted(node)) == len(world.built)


def test_an_update_disturbs_nobody_and_what_goes_is_gone(world: World, node: Node) -> None:
    """Who runs in the old version keeps it; then it is unmounted, and its file removed."""
    options = ("--driver", "squashfs", "--mount", "kernel", "--grace", "0")
    built = world.site.build(f"{SPACE}/moving", "python=3.11", A="1")
    node.sync(*options)
    old = node.prefix(built)
    argv = as_nobody(node.link(built.path) / "bin" / "python", "-B", "-i", "-q")
    with subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd="/",
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write("print('ready', flush=True)\n")
        program.stdin.flush()
        assert program.stdout.readline() == "ready\n"
        other = world.site.build(built.path, "python=3.11", A="2")
        done = node.sync(*options, code=1)
        assert f"{old} is in use" in done.stdout + done.stderr
        assert node.link(built.path).resolve() == node.prefix(other)
        assert program.communicate("import decimal; print(decimal.__file__)\n")[0]
    node.sync(*options)
    assert built.key not in mounted(node)
    assert not old.exists()
    world.site.delete(built.path)
    node.sync(*options)
    assert built.key not in images(node)
    assert other.key not in images(node) | dict.fromkeys(mounted(node))


def test_a_blocked_build_goes_at_once(world: World, node: Node) -> None:
    """Although it is in use."""
    options = ("--driver", "squashfs", "--mount", "kernel")
    built = world.site.build(f"{SPACE}/blocked", "openssl")
    node.sync(*options)
    with next(path for path in node.prefix(built).rglob("*") if path.is_file()).open("rb"):
        body = {"key": built.key, "reason": "openssl has a hole"}
        world.site.admin.must(world.site.server, "POST", "/blocks", body)
        node.sync(*options)
        assert built.key not in mounted(node)
        assert not node.prefix(built).exists()
        assert built.key not in images(node)
    world.site.delete(built.path)


def test_a_root_that_was_killed_at_any_moment_is_mended(world: World, node: Node) -> None:
    """By one pass; nothing is left of what was under way."""
    options = ("--driver", "squashfs", "--mount", "kernel")
    began = time.monotonic()
    node.sync(*options)
    seconds = time.monotonic() - began
    whole, made = images(node), trees(node)
    moments = random.Random(18)
    for number in range(_KILLS):
        if number % 3 == 0:
            unmount(node)
        elif number % 3 == 1:
            for image in (node.root / ".images").rglob("*.squashfs"):
                if moments.random() < 0.7:
                    image.unlink()
        else:
            for image in (node.root / ".images").rglob("*.squashfs"):
                os.truncate(image, moments.randrange(10_000))
        with node.start(*options) as process:
            try:
                process.wait(moments.uniform(0.3, 1.0) * seconds)
            except subprocess.TimeoutExpired:
                kill(process)
        node.sync(*options)
        assert images(node) == whole
        assert mounted(node) == set(whole)
        node.require_nothing_under_way()
    assert trees(node) == made
    assert len(world.built) == len(whole)


def recipe(path: Path, node: Node, key: str = "KEY") -> str:
    """Return a file of recipes, with this root in it."""
    return path.read_text().replace(_PLACE, str(node.root)).replace("KEY", key)


@contextmanager
def autofs(node: Node) -> Iterator[list[str]]:
    """Have the recipe's maps; give what runs a program where they are."""
    folder = node.home / "etc"
    folder.mkdir()
    maps = folder / "auto.pullforge"
    maps.write_text(recipe(_AUTOFS / "auto.pullforge", node))
    master = folder / "pullforge.autofs"
    master.write_text(
        recipe(_AUTOFS / "pullforge.autofs", node).replace("/etc/auto.pullforge", str(maps))
    )
    pid = folder / "pid"
    started = 'mount --make-rprivate / && exec setsid automount --foreground -p "$0" "$1"'
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", started, pid, master],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as daemon:
        try:
            inside = ["nsenter", f"--mount=/proc/{daemon.pid}/ns/mnt"]
            waited = (
                f"until grep -q ' {node.root}/builds autofs ' /proc/mounts; do sleep 0.05; done"
            )
            subprocess.run([*inside, "sh", "-c", waited], check=True, timeout=60)
            yield inside
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(60)


def test_autofs_mounts_what_is_used_by_the_recipe(world: World, node: Node) -> None:
    """A pass beside it needs no rights, and disturbs nothing."""
    options = ("--driver", "squashfs", "--mount", "never")
    node.sync(*options)
    assert mounted(node) == set()
    key = world.built["numbers"].key
    with autofs(node) as inside:
        python = node.link(f"{SPACE}/numbers") / "bin" / "python"
        argv = [*inside, *as_nobody(python, "-B", "-c", _SUM)]
        assert subprocess.check_output(argv, text=True, cwd="/") == "10\n"
        shown = subprocess.check_output([*inside, "cat", "/proc/mounts"], text=True)
        assert f" {node.root}/builds/{key} squashfs ro,nosuid,nodev" in shown
        subprocess.run(
            [*inside, *node.argv(*options)],
            env=node.environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        assert subprocess.check_output(argv, text=True, cwd="/") == "10\n"
        missing = node.root / "builds" / ("0" * 32) / "bin"
        assert subprocess.call([*inside, "ls", missing], stderr=subprocess.DEVNULL) != 0


def test_the_commands_of_the_recipe_mount_a_build(world: World, node: Node) -> None:
    """``squashfuse``, and units that systemd takes."""
    node.sync("--driver", "squashfs")
    key = world.built["numbers"].key
    text = recipe(_DOCS, node, key)
    (command,) = re.findall(r"^\$ (mkdir -p .* && squashfuse .*)$", text, re.MULTILINE)
    subprocess.run(["sh", "-c", command], check=True)
    assert mounts()[node.prefix(world.built["numbers"])].filesystem.startswith("fuse")
    assert subprocess.check_output(
        [node.link(f"{SPACE}/numbers") / "bin" / "python", "-B", "-c", _SUM], text=True
    )
    units = node.home / "units"
    units.mkdir()
    at = str(node.root / "builds" / key)
    name = subprocess.check_output(["systemd-escape", "--path", at], text=True).strip()
    for block in re.findall(r"```ini\n(.*?)```", text, re.DOTALL):
        kind = re.match(r"\[(Mount|Automount)\]", block)
        if kind is not None:
            (units / f"{name}.{kind[1].lower()}").write_text(block)
    files = sorted(units.iterdir())
    assert len(files) == 2
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *files],
        check=False,
        capture_output=True,
        text=True,
    )
    assert not [line for line in told.stderr.splitlines() if name in line], told.stderr
