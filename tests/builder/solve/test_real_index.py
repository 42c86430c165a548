"""Solves against records of conda-forge."""

from pathlib import Path

import pytest

from builder.lock import Lock, from_yaml, to_yaml
from builder.policy import DEFAULT_VIRTUAL_PACKAGES
from builder.solve import Solver
from builder.spec import Channel, EnvironmentSpec, Requirement
from tests.builder.solve.test_solve import TTL_SECONDS, run
from tests.made_by_others import made_by_others


@pytest.mark.parametrize("name", ["python", "zlib", "pip", "sqlite", "openssl"])
def test_real_records_survive_a_lock(tmp_path: Path, name: str) -> None:
    channel = Channel("conda-forge", made_by_others("real/repodata/conda-forge-subset").as_uri())
    spec = EnvironmentSpec(
        (Requirement(name),), (channel,), ("linux-64",), DEFAULT_VIRTUAL_PACKAGES
    )
    solver = Solver(tmp_path / "cache", repodata_ttl_seconds=TTL_SECONDS, max_retries=0)

    lock = Lock(
        {"linux-64": run(solver, lambda: solver.solve(spec))["linux-64"]},
        (channel,),
        DEFAULT_VIRTUAL_PACKAGES,
    )

    assert name in {record.name for record in lock.platforms["linux-64"]}
    assert {record.channel_url for record in lock.platforms["linux-64"]} == {channel.url}
    assert from_yaml(to_yaml(lock)) == lock
