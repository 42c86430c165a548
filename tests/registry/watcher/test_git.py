"""What is fetched with git, from real repositories and a real server."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from builder.network.forwarding import open_forwarding
from builder.network.hosts import Hosts
from conformance.sources.hosting import Repository as Work
from registry.errors import SourceUnreachable
from registry.watcher import git, git_program
from registry.watcher.git import GitTree, Slots
from registry.watcher.git_program import Repository
from registry.watcher.trees import Listing
from registry.wiring.network import network_of
from tests.registry.watcher.git_host import GitHost, open_git_host

pytestmark = pytest.mark.anyio

MOST = 1000


def is_yaml(path: str) -> bool:
    return path.endswith(".yml")


@pytest.fixture
def work(tmp_path: Path) -> Work:
    home = tmp_path / "home"
    home.mkdir()
    return Work(home)


def tree_of(work: Work, tmp_path: Path, **more: str) -> GitTree:
    repository = Repository(work.url, is_trusted=True)
    return GitTree(replace(repository, **more), tmp_path / "scratch" / "1.git", MOST)  # type: ignore[arg-type]


async def texts(tree: GitTree, listing: Listing | None = None) -> dict[str, bytes | None]:
    listing = listing or await tree.list(is_yaml)
    return {path: await tree.read(file) for path, file in listing.files.items()}


def in_work(work: Work, *arguments: str, given: str | None = None) -> str:
    return subprocess.run(
        ["git", *arguments],
        cwd=work.clone,
        check=True,
        capture_output=True,
        text=True,
        input=given,
    ).stdout


def made(bare: Path) -> None:
    subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True)


async def test_files_are_those_of_the_branch_as_it_is_now(work: Work, tmp_path: Path) -> None:
    tree = tree_of(work, tmp_path)
    assert not (await tree.list(is_yaml)).files
    commit = work.push({"a/environment.yml": "one", "b.yml": "b", ".github/ci.yml": "ci"})
    listing = await tree.list(is_yaml)
    assert listing.commit == commit
    assert await texts(tree, listing) == {"a/environment.yml": b"one", "b.yml": b"b"}
    before = listing.files["b.yml"]
    work.push({"a/environment.yml": "two", "b.yml": None})
    assert await texts(tree) == {"a/environment.yml": b"two"}
    assert await tree.read(before) is None
    assert (await tree.list(is_yaml)).files == (await tree.list(is_yaml)).files


async def test_history_that_was_written_anew_is_followed(work: Work, tmp_path: Path) -> None:
    tree = tree_of(work, tmp_path)
    work.push({"a.yml": "one"})
    await tree.list(is_yaml)
    in_work(work, "checkout", "--quiet", "--orphan", "fresh")
    commit = work.push({"a.yml": "two"})
    assert (await tree.list(is_yaml)).commit == commit
    assert await texts(tree) == {"a.yml": b"two"}


async def test_another_branch_and_a_folder_of_it_can_be_looked_at(
    work: Work, tmp_path: Path
) -> None:
    work.push({"envs/team/a.yml": "a", "other.yml": "o"}, branch="live")
    tree = tree_of(work, tmp_path, branch="live", folder="envs/team")
    assert await texts(tree) == {"a.yml": b"a"}


async def test_what_is_not_there_is_said_and_nothing_counts_as_removed(
    work: Work, tmp_path: Path
) -> None:
    work.push({"envs/a.yml": "a"})
    for more, why in (
        ({"branch": "nope"}, "has no branch 'nope'"),
        ({"folder": "nope"}, "the branch has no folder 'nope', and nothing was removed"),
        ({"folder": "README.md"}, "the branch has no folder"),
        ({"url": "file:///some/nope"}, "^there is no repository at 'nope'$"),
        ({"url": "ssh://git@github.com/a/b"}, "https:// alone"),
        ({"url": "ext::sh -c touch% /tmp/x"}, "https:// alone"),
        ({"url": "https://nothing.invalid/a.git"}, "the host of https://nothing.invalid/a.git"),
    ):
        with pytest.raises(SourceUnreachable, match=why):
            await tree_of(work, tmp_path, **more).list(is_yaml)
    with pytest.raises(SourceUnreachable, match="https:// alone"):
        await GitTree(Repository(work.url), tmp_path / "x.git", MOST).list(is_yaml)


async def test_an_empty_repository_has_no_commit_yet(tmp_path: Path) -> None:
    made(tmp_path / "b.git")
    repository = Repository(f"file://{tmp_path}/b.git", is_trusted=True)
    with pytest.raises(SourceUnreachable, match="has no commit yet"):
        await GitTree(repository, tmp_path / "x.git", MOST).list(is_yaml)


async def test_links_lead_to_within_as_in_a_directory(work: Work, tmp_path: Path) -> None:
    (work.clone / "v3").mkdir()
    for name, target in {
        "latest": "v3",
        "same.yml": "v3/a.yml",
        "v3/up.yml": "../b.yml",
        "secret.yml": "/etc/shadow",
        "out.yml": "../../x.yml",
        "loop": ".",
        "v3/self": "../v3",
    }.items():
        (work.clone / name).symlink_to(target)
    in_work(work, "add", ".")
    work.push({"v3/a.yml": "a", "b.yml": "b"})
    tree = tree_of(work, tmp_path)
    listing = await tree.list(is_yaml)
    assert await texts(tree, listing) == {
        "b.yml": b"b",
        "latest/a.yml": b"a",
        "same.yml": b"a",
        "v3/a.yml": b"a",
        "v3/up.yml": b"b",
    }
    why = "it is a link to something that is not in the source"
    assert listing.problems == {"out.yml": why, "secret.yml": why, "latest/up.yml": why}


async def test_many_links_and_files_keep_nobody_waiting(work: Work, tmp_path: Path) -> None:
    work.push({"a.yml": "a"})
    lines = ["blob", "mark :1", "data 1", "x"]
    for number in range(1000):
        text = f"none/{number:04}"
        lines += ["blob", f"mark :{number + 2}", f"data {len(text)}", text]
    lines += ["commit refs/heads/many", "committer a <a@b.c> 0 +0000", "data 0"]
    lines += [f"M 100644 :1 files/{number}" for number in range(20_000)]
    lines += [f"M 120000 :{number + 2} links/{number}.yml" for number in range(1000)]
    given = "\n".join([*lines, "", ""])
    in_work(work, "fast-import", "--quiet", given=given)
    in_work(work, "push", "--quiet", "origin", "many")
    tree = tree_of(work, tmp_path, branch="many")
    began = time.thread_time()
    listing = await tree.list(is_yaml)
    assert time.thread_time() < began + 0.5, "the loop of events computes"
    assert len(listing.problems) == 1000


async def test_odd_names_and_large_files_are_told_of(work: Work, tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.path.join(os.fsencode(work.clone), b"caf\xe9.yml")))  # noqa: PTH118
    odd.write_text("x")
    in_work(work, "add", ".")
    work.push({"a\nb.yml": "x", "ü.yml": "ü", "big.yml": "x" * (MOST + 1), "fits.yml": "x" * MOST})
    tree = tree_of(work, tmp_path)
    listing = await tree.list(is_yaml)
    assert await texts(tree, listing) == {"fits.yml": b"x" * MOST, "ü.yml": "ü".encode()}
    assert set(listing.problems) == {"a\\nb.yml", "caf\\xe9.yml", "big.yml"}
    assert listing.problems["big.yml"] == "it has more than 1000 bytes, and is not read"


async def test_large_blobs_are_not_fetched_where_the_host_can_leave_them_out(
    work: Work, tmp_path: Path
) -> None:
    in_work(work, "-C", str(work.bare), "config", "uploadpack.allowFilter", "true")
    (work.clone / "data.bin").write_bytes(os.urandom(3_000_000))
    (work.clone / "big.yml").write_text("x" * 2_000)
    in_work(work, "add", ".")
    work.push({"a.yml": "a"})
    tree = tree_of(work, tmp_path)
    listing = await tree.list(is_yaml)
    assert await texts(tree, listing) == {"a.yml": b"a"}
    assert list(listing.problems) == ["big.yml"]
    kept = sum(one.stat().st_size for one in (tmp_path / "scratch").rglob("*") if one.is_file())
    assert kept < 1_000_000


async def test_nothing_of_a_repository_is_carried_out_or_checked_out(
    work: Work, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    (work.clone / ".gitattributes").write_text("*.yml filter=evil diff=evil\n")
    (work.clone / ".gitmodules").write_text(
        '[submodule "x"]\n\tpath = x\n\turl = file:///\n\tupdate = !touch ran\n'
    )
    in_work(work, "config", "filter.evil.smudge", "cat")
    for name in ("post-checkout", "post-merge", "reference-transaction", "pre-auto-gc"):
        for hooks in (work.bare / "hooks", work.clone / "hooks"):
            hooks.mkdir(exist_ok=True)
            (hooks / name).write_text(f"#!/bin/sh\ntouch {mark}\n")
            (hooks / name).chmod(0o755)
    in_work(work, "add", ".")
    work.push({"a.yml": "a"})
    mark.unlink(missing_ok=True)  # a push runs the hooks of the bare one
    assert await texts(tree_of(work, tmp_path)) == {"a.yml": b"a"}
    assert not mark.exists()
    names = {one.name for one in (tmp_path / "scratch").rglob("*") if one.is_file()}
    assert not names & {"a.yml", ".gitattributes", "post-checkout"}


async def test_settings_of_whoever_runs_the_server_have_no_meaning(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.push({"a.yml": "a"})
    (tmp_path / ".gitconfig").write_text(f'[url "file:///nope"]\n\tinsteadOf = {work.url}\n')
    for name, value in {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path),
        "GIT_CONFIG_GLOBAL": str(tmp_path / ".gitconfig"),
        "GIT_DIR": "/nope",
        "GIT_SSH_COMMAND": "/nope",
    }.items():
        monkeypatch.setenv(name, value)
    assert await texts(tree_of(work, tmp_path)) == {"a.yml": b"a"}


async def test_what_was_kept_may_be_lost_or_damaged(work: Work, tmp_path: Path) -> None:
    work.push({"a.yml": "a"})
    tree = tree_of(work, tmp_path)
    await tree.list(is_yaml)
    kept = tmp_path / "scratch" / "1.git"
    work.push({"a.yml": "b"})
    (kept / "refs" / "pullforge" / "head.lock").touch()  # as of a server that was killed
    with pytest.raises(SourceUnreachable, match="lock"):
        await tree.list(is_yaml)
    assert await texts(tree) == {"a.yml": b"b"}, "it is fetched anew"
    for pack in kept.glob("objects/pack/*.pack"):
        pack.chmod(0o644)
        pack.write_bytes(b"damaged")
    with suppress(SourceUnreachable):
        await tree.list(is_yaml)
    assert await texts(tree) == {"a.yml": b"b"}
    shutil.rmtree(kept)
    assert await texts(tree) == {"a.yml": b"b"}


async def test_many_packs_are_begun_anew(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git, "_MAX_PACKS", 2)
    tree = tree_of(work, tmp_path)
    for number in range(5):
        work.push({"a.yml": str(number)})
        assert await texts(tree) == {"a.yml": str(number).encode()}
        assert len(list((tmp_path / "scratch").rglob("*.pack"))) <= 3


async def test_too_much_to_fetch_is_given_up(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_program, "_MAX_PACK_BYTES", 1_000_000)
    (work.clone / "data.bin").write_bytes(os.urandom(3_000_000))
    in_work(work, "add", ".")
    work.push({"a.yml": "a"})
    with pytest.raises(SourceUnreachable, match="has more than the 1000000 bytes"):
        await tree_of(work, tmp_path).list(is_yaml)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def host(work: Work, authority: trustme.CA) -> Iterator[GitHost]:
    with open_git_host(work.bare.parent, authority) as host:
        yield host


@asynccontextmanager
async def fetching(
    host: GitHost,
    authority: trustme.CA,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    allowed: bool = True,
    authorization: str = "",
) -> AsyncIterator[GitTree]:
    """Give a tree that is fetched as the server does, through its proxy."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    hosts = Hosts([host.place] if allowed else [])
    async with open_forwarding(hosts, tls_alone=True) as proxy:
        yield GitTree(
            Repository(f"{host.url}/environments.git", authorization=authorization),
            tmp_path / "scratch" / "1.git",
            MOST,
            network_of(proxy),
        )


async def test_a_repository_is_fetched_over_https(
    work: Work,
    host: GitHost,
    authority: trustme.CA,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work.push({"a.yml": "a"})
    async with fetching(host, authority, tmp_path, monkeypatch) as tree:
        assert await texts(tree) == {"a.yml": b"a"}
        work.push({"a.yml": "b"})
        assert await texts(tree) == {"a.yml": b"b"}


async def test_a_host_without_a_public_address_is_not_connected_to(
    host: GitHost, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fetching(host, authority, tmp_path, monkeypatch, allowed=False) as tree:
        with pytest.raises(SourceUnreachable, match="PULLFORGE_PRIVATE_NETWORKS"):
            await tree.list(is_yaml)
    assert not host.requests


async def test_a_redirect_to_a_host_that_is_not_public_is_not_followed(
    host: GitHost, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for target in ("https://169.254.169.254/", "http://127.0.0.1:1/", "file:///etc/"):
        host.locations = {"/environments.git/info/refs": target}
        async with fetching(host, authority, tmp_path, monkeypatch) as tree:
            with pytest.raises(SourceUnreachable):
                await tree.list(is_yaml)


async def test_credentials_are_sent_to_their_host_and_nowhere_by_a_redirect(
    work: Work,
    host: GitHost,
    authority: trustme.CA,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work.push({"a.yml": "a"})
    host.authorization = "Basic YTpi"
    async with fetching(host, authority, tmp_path, monkeypatch) as tree:
        with pytest.raises(
            SourceUnreachable, match="writes them into the file of PULLFORGE_CHANNEL"
        ):
            await tree.list(is_yaml)
    with open_git_host(work.bare.parent, authority) as other:
        host.locations = {"/environments.git/info/refs": f"{other.url}/environments.git/info/refs"}
        async with fetching(
            host, authority, tmp_path, monkeypatch, authorization="Basic YTpi"
        ) as tree:
            with pytest.raises(SourceUnreachable):
                await tree.list(is_yaml)
            assert not other.requests
            host.locations = {}
            assert await texts(tree) == {"a.yml": b"a"}
    kept = b"".join(one.read_bytes() for one in (tmp_path / "scratch").rglob("*") if one.is_file())
    assert b"YTpi" not in kept


async def test_a_certificate_of_nobody_known_is_refused(
    host: GitHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with fetching(host, trustme.CA(), tmp_path, monkeypatch) as tree:
        with pytest.raises(SourceUnreachable, match="certificate"):
            await tree.list(is_yaml)


async def test_a_host_that_does_not_answer_is_given_up_and_nothing_runs_on(
    host: GitHost, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.answers.clear()
    monkeypatch.setattr(git_program, "_FETCH_SECONDS", 0.7)
    async with fetching(host, authority, tmp_path, monkeypatch) as tree:
        with pytest.raises(SourceUnreachable, match=r"was not fetched within 0\.7 seconds"):
            await tree.list(is_yaml)
        assert not _running(tmp_path)
        monkeypatch.setattr(git_program, "_FETCH_SECONDS", 60)
        looking = asyncio.ensure_future(tree.list(is_yaml))
        while not _running(tmp_path):  # noqa: ASYNC110 (a process tells nobody that it runs)
            await asyncio.sleep(0.01)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        assert not _running(tmp_path)


async def test_hosts_that_take_their_time_keep_others_waiting_but_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = asyncio.Event()
    answers.set()
    under_way: list[str] = []

    async def fetch(self: git_program.Git, _ref: str) -> str:
        url = self._repository.url
        under_way.append(url)
        if "slow" in url:
            await answers.wait()
            raise SourceUnreachable("it was not fetched")
        return "0" * 40

    async def nothing(*_: object) -> bytes:
        return b""

    async def no_sizes(*_: object) -> dict[str, int]:
        return {}

    stubs = {"fetch": fetch, "prepare": nothing, "tree": nothing, "sizes": no_sizes}
    for name, stub in stubs.items():
        monkeypatch.setattr(git_program.Git, name, stub)
    slots = Slots(4)

    def tree(name: str) -> GitTree:
        repository = Repository(f"https://{name}.example/a.git")
        return GitTree(repository, tmp_path / name, MOST, slots=slots)

    slow = [tree(f"slow{number}") for number in range(8)]
    monkeypatch.setattr(git, "_SLOW_SECONDS", 0)
    await asyncio.gather(*(one.list(is_yaml) for one in slow), return_exceptions=True)
    monkeypatch.setattr(git, "_SLOW_SECONDS", 60)
    answers.clear()
    under_way.clear()
    looks = [asyncio.ensure_future(one.list(is_yaml)) for one in slow]
    async with asyncio.timeout(5):
        assert (await tree("quick").list(is_yaml)).commit == "0" * 40
    assert len(under_way) == 3
    answers.set()
    await asyncio.gather(*looks, return_exceptions=True)


def _running(tmp_path: Path) -> list[str]:
    """Return the commands that run in the scratch directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(tmp_path):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found
