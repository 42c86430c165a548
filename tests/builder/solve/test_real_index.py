"""Solves against records of conda-forge."""

from pathlib import Path

import pytest
from rattler import Version

from builder.errors import PolicyRefused
from builder.lock import Lock, from_yaml, to_yaml
from builder.policy import DEFAULT_VIRTUAL_PACKAGES
from builder.rules.judging import judge_lock
from builder.rules.model import AgeRule, Author, DeniedRule, Exemption, LicenceRule, Rules
from builder.solve import Solution, Solver
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


def test_rules_choose_among_real_records(tmp_path: Path) -> None:
    channel = Channel("conda-forge", made_by_others("real/repodata/conda-forge-subset").as_uri())
    company = Author("company", contact="it@example.org")

    def solve(name: str, rules: Rules) -> Solution:
        spec = EnvironmentSpec(
            (Requirement(name),), (channel,), ("linux-64",), DEFAULT_VIRTUAL_PACKAGES
        )
        solver = Solver(tmp_path / "cache", repodata_ttl_seconds=TTL_SECONDS, max_retries=0)
        return run(solver, lambda: solver.solve(spec, rules))

    def versions(solution: Solution) -> dict[str, str]:
        return {record.name: record.version for record in solution["linux-64"]}

    newest = solve("openssl", Rules())
    published = next(r.timestamp_ms for r in newest["linux-64"] if r.name == "openssl")
    assert published is not None
    age = Rules(age=(AgeRule(company, "7 days", published - 1, ("ca-certificates",)),))
    older = solve("openssl", age)
    assert Version(versions(older)["openssl"]) < Version(versions(newest)["openssl"])
    assert judge_lock(Lock(dict(older), (channel,), DEFAULT_VIRTUAL_PACKAGES), age) == ()

    denied = Rules(denied=(DeniedRule(company, f"openssl >={versions(older)['openssl']}"),))
    assert versions(solve("openssl", denied)).get("openssl") not in {
        versions(older)["openssl"],
        versions(newest)["openssl"],
    }
    # Python of conda-forge needs what GCC gives, with an exception, and GNU's readline.
    no_gpl = Rules(licences=(LicenceRule(company, denied=("GPL-3.0-*",)),))
    with pytest.raises(PolicyRefused, match=r"readline \S+ is not allowed by policy 'company'"):
        solve("python", no_gpl)
    with_waivers = Rules(
        licences=no_gpl.licences,
        exemptions=(Exemption(1, "readline"), Exemption(2, "ld_impl_linux-64")),
    )
    assert "readline" in versions(solve("python", with_waivers))
