"""What is to be done about a tree; times are given, so nothing here waits."""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from conformance.sources.saving import WAYS, ConfigMap
from registry.catalog.source_patterns import parse_patterns
from registry.errors import SourceUnreachable
from registry.watcher.directories import DirectoryTree
from registry.watcher.looking import Finding, KnownFile, Looking
from registry.watcher.sniffing import looks_like_environment, looks_whole

pytestmark = pytest.mark.anyio

NUMPY = "name: a\nchannels:\n- conda-forge\ndependencies:\n- numpy\n"
PANDAS = NUMPY.replace("numpy", "pandas")


class Looker:
    """Looks at a directory at times that a test says, and does what is to be done."""

    def __init__(self, root: Path, known: Mapping[str, KnownFile] | None = None) -> None:
        root.mkdir(parents=True, exist_ok=True)
        patterns = parse_patterns(None, has_namespace=True, root_name="team")
        self.root = root
        self.looking = Looking(DirectoryTree(root, 10_000), patterns, known or {})
        self.now = 100.0

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    async def after(self, seconds: float) -> list[Finding]:
        """Look that much later."""
        self.now += seconds
        found = []
        for change in await self.looking.look(self.now):
            finding = await self.looking.read(change, self.now)
            if finding is not None:
                self.looking.done(finding)
                found.append(finding)
        return found

    async def settled(self) -> dict[str, str]:
        """Look until nothing is under way; return what was done with each file last."""
        done: dict[str, str] = {}
        wait: float | None = 0.0
        while wait is not None:
            for one in await self.after(wait):
                done[one.path] = (
                    "gone" if one.is_gone else one.problem or (one.data or b"").decode()
                )
            wait = self.looking.wait_seconds(self.now)
        return done


@pytest.fixture
def looker(tmp_path: Path) -> Looker:
    return Looker(tmp_path / "envs")


async def test_a_file_is_handed_over_once_with_its_place_and_again_when_it_changes(
    looker: Looker,
) -> None:
    looker.write("forecast/environment.yml", NUMPY)
    assert await looker.after(0) == []
    [found] = await looker.after(0.3)
    assert (found.path, str(found.place)) == ("forecast/environment.yml", "forecast")
    assert found.data == NUMPY.encode()
    assert await looker.settled() == {}
    looker.write("forecast/environment.yml", PANDAS)
    assert await looker.settled() == {"forecast/environment.yml": PANDAS}


@pytest.mark.parametrize("way", WAYS)
async def test_a_file_saved_as_editors_do_is_one_change_and_never_gone(
    looker: Looker, way: str
) -> None:
    looker.write("a.yml", NUMPY)
    await looker.settled()
    WAYS[way](looker.root / "a.yml", PANDAS)
    assert await looker.settled() == {"a.yml": PANDAS}


async def test_half_a_file_is_looked_at_again_before_anybody_is_told(looker: Looker) -> None:
    looker.write("a/environment.yml", "")
    assert await looker.after(0) == []
    assert await looker.after(0.3) == []
    looker.write("a/environment.yml", NUMPY[:20])
    assert await looker.after(0.3) == []
    looker.write("a/environment.yml", NUMPY)
    assert await looker.settled() == {"a/environment.yml": NUMPY}
    looker.write("a/environment.yml", "")
    assert await looker.settled() == {"a/environment.yml": "the file is empty"}


async def test_a_broken_file_is_handed_over_after_a_while_for_somebody_to_say_what_it_is(
    looker: Looker,
) -> None:
    looker.write("a/environment.yml", "dependencies: [numpy")
    assert await looker.settled() == {"a/environment.yml": "dependencies: [numpy"}


async def test_files_of_other_programs_are_no_environments(looker: Looker) -> None:
    looker.write("values.yaml", "replicas: 2\n")
    looker.write("chart/Chart.yaml", "apiVersion: v2\ndependencies:\n- name: redis\n")
    looker.write("role/main.yml", "dependencies: []\ngalaxy_info: {}\n")
    looker.write("other/values.yaml", "replicas: 3\n")
    looker.write("env.yml", NUMPY)
    assert await looker.settled() == {"env.yml": NUMPY}


async def test_a_file_that_becomes_an_environment_counts_and_one_that_was_one_goes_on_counting(
    looker: Looker,
) -> None:
    looker.write("env.yml", "replicas: 2\n")
    assert await looker.settled() == {}
    looker.write("env.yml", NUMPY)
    assert await looker.settled() == {"env.yml": NUMPY}
    looker.write("env.yml", "replicas: 2\n")
    assert await looker.settled() == {"env.yml": "replicas: 2\n"}, "somebody says what it lacks"


async def test_what_is_known_from_before_is_not_handed_over_again(tmp_path: Path) -> None:
    known = {
        "same.yml": KnownFile(hashlib.sha256(NUMPY.encode()).hexdigest()),
        "other.yml": KnownFile(hashlib.sha256(NUMPY.encode()).hexdigest()),
        "gone.yml": KnownFile("0" * 64),
        "emptied.yml": KnownFile("0" * 64),
    }
    looker = Looker(tmp_path, known)
    looker.write("same.yml", NUMPY)
    looker.write("other.yml", PANDAS)
    looker.write("emptied.yml", "")
    assert await looker.settled() == {
        "other.yml": PANDAS,
        "gone.yml": "gone",
        "emptied.yml": "the file is empty",
    }


async def test_when_a_lock_comes_it_takes_the_place_of_the_file_beside_it(looker: Looker) -> None:
    looker.write("a/environment.yml", NUMPY)
    await looker.settled()
    lock = "package: []\nmetadata: {}\n"
    looker.write("a/conda-lock.yml", lock)
    assert await looker.settled() == {"a/conda-lock.yml": lock, "a/environment.yml": "gone"}
    (looker.root / "a/conda-lock.yml").unlink()
    assert await looker.settled() == {"a/environment.yml": NUMPY, "a/conda-lock.yml": "gone"}


async def test_of_what_cannot_be_looked_into_nothing_is_gone(
    looker: Looker, tmp_path: Path
) -> None:
    looker.write("a/environment.yml", NUMPY)
    looker.write("b/environment.yml", NUMPY)
    await looker.settled()
    shutil.rmtree(looker.root / "a")
    (looker.root / "a").symlink_to(tmp_path)
    done = await looker.settled()
    assert done["a/environment.yml"] == "its folder a/ cannot be looked into"
    assert done["a"].startswith("it is a link to a place outside")
    (looker.root / "a").unlink()
    looker.write("a/environment.yml", NUMPY)
    assert await looker.settled() == {"a": "gone", "a/environment.yml": NUMPY}


async def test_a_directory_that_vanishes_or_is_another_empty_one_removes_nothing(
    looker: Looker,
) -> None:
    for name in "abc":
        looker.write(f"{name}.yml", NUMPY)
    await looker.settled()
    looker.root.rename(looker.root.with_name("away"))
    with pytest.raises(SourceUnreachable, match="is not there"):
        await looker.after(60)
    looker.root.mkdir()  # what a mount point is when nothing is mounted
    for _ in range(2):
        with pytest.raises(SourceUnreachable, match="where 3 were, and nothing was removed"):
            await looker.after(60)
    looker.root.rmdir()
    looker.root.with_name("away").rename(looker.root)
    assert await looker.settled() == {}


async def test_after_a_restart_an_empty_directory_is_not_believed(tmp_path: Path) -> None:
    looker = Looker(tmp_path / "envs", {"a.yml": KnownFile("0" * 64)})
    with pytest.raises(SourceUnreachable, match="nothing was removed"):
        await looker.after(0)


async def test_the_last_file_of_a_directory_can_be_removed_like_any_other(looker: Looker) -> None:
    looker.write("a.yml", NUMPY)
    await looker.settled()
    (looker.root / "a.yml").unlink()
    assert await looker.settled() == {"a.yml": "gone"}


async def test_all_files_can_be_removed_if_something_else_stays(looker: Looker) -> None:
    for name in ("a.yml", "b.yml"):
        looker.write(name, NUMPY)
    looker.write("README", "what these are")
    await looker.settled()
    for name in ("a.yml", "b.yml"):
        (looker.root / name).unlink()
    assert await looker.settled() == {"a.yml": "gone", "b.yml": "gone"}


async def test_a_config_map_that_loses_a_key_loses_its_environment_alone(tmp_path: Path) -> None:
    volume = ConfigMap(tmp_path / "envs")
    volume.write({"a.yml": NUMPY, "b.yml": NUMPY})
    looker = Looker(volume.directory)
    assert await looker.settled() == {"a.yml": NUMPY, "b.yml": NUMPY}
    volume.write({"a.yml": NUMPY})
    assert await looker.settled() == {"b.yml": "gone"}
    volume.write({"a.yml": PANDAS})
    assert await looker.settled() == {"a.yml": PANDAS}


async def test_what_was_not_taken_is_handed_over_again_when_somebody_asks(looker: Looker) -> None:
    looker.write("a.yml", NUMPY)
    looker.write("b.yml", NUMPY)
    await looker.after(0)
    looker.now += 1
    for change in await looker.looking.look(looker.now):
        finding = await looker.looking.read(change, looker.now)
        assert finding is not None
        looker.looking.done(finding, is_taken=finding.path == "a.yml")
    assert await looker.settled() == {}
    looker.looking.retry()
    assert await looker.settled() == {"b.yml": NUMPY}


async def test_a_pointer_of_git_lfs_is_called_what_it_is(looker: Looker) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    looker.write("a/conda-lock.yml", pointer)
    why = "it is a pointer of Git LFS, which is not followed"
    assert await looker.settled() == {"a/conda-lock.yml": why}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (NUMPY, True),
        ("dependencies:\n- python\n- pip:\n  - requests\n", True),
        ('{"name": "a", "dependencies": ["numpy"]}', True),
        ("dependencies: [numpy", True),
        ("channels: [conda-forge]\ndependencies:\n", True),
        ("# a comment\n@EXPLICIT\nhttps://x/y.conda\n", True),
        ("version: 6\nenvironments: {}\npackages: []\n", True),
        ("version: 1\nmetadata: {}\npackage: []\n", True),
        ("", False),
        ("dependencies: {}\nnamespace: a\n", False),
        ("name: app\nenvironment:\n  sdk: '>=3'\ndependencies:\n", False),
        ("jobs:\n  build:\n    dependencies: [a]\n", False),
        ("dependencies:\n- name: x\n  version: 1\n", False),
        ("dependencies: [[a], [b]]\n", False),
        ("\0\xff", False),
    ],
)
def test_a_text_looks_like_an_environment_or_does_not(text: str, expected: bool) -> None:
    assert looks_like_environment(text.encode("latin-1")) is expected
    assert looks_like_environment(text.encode("utf-16")) is expected or not text.isascii()


@pytest.mark.parametrize(
    ("text", "expected"),
    [(NUMPY, True), (NUMPY[:30], False), ("", False), (" \n", False), ("dependencies: [a", False)],
)
def test_a_text_seems_whole_or_does_not(text: str, expected: bool) -> None:
    assert looks_whole(text.encode()) is expected
