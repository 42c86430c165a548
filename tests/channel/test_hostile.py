import hashlib
import json
from pathlib import Path

import pytest

from conformance.channel.hostile import BOMB_SIZE_BYTES, HOSTILE, Hostile, write_hostile_channel


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Hostile]:
    return write_hostile_channel(tmp_path_factory.mktemp("hostile"))


def test_every_attack_is_listed_and_only_one_has_a_wrong_hash(
    channel: dict[str, Hostile],
) -> None:
    wrong = set()
    for name, hostile in channel.items():
        repodata = json.loads((hostile.path.parent / "repodata.json").read_bytes())
        records = repodata["packages"] | repodata["packages.conda"]
        record = records[hostile.package.filename]
        data = hostile.path.read_bytes()
        assert record["size"] == len(data)
        if record["sha256"] != hashlib.sha256(data).hexdigest():
            wrong.add(name)
    assert wrong == {"wrong-hash"}
    assert channel.keys() == HOSTILE.keys()


def test_bombs_are_small_files(channel: dict[str, Hostile]) -> None:
    assert len(channel["zstd-bomb"].data) < BOMB_SIZE_BYTES / 1000
    assert len(channel["huge-paths-json"].data) < 100_000


def test_it_is_deterministic(channel: dict[str, Hostile], tmp_path: Path) -> None:
    again = write_hostile_channel(tmp_path)
    assert {n: h.data for n, h in again.items()} == {n: h.data for n, h in channel.items()}
